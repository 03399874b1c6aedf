"""The development profile of one project, in its `.millstream/`: generated once, readable by its owner only.

profile.json holds ports and the project's id, secrets.json the keys, webhook_secrets.json one signing secret a source;
data/<part> and logs/ lie beside them. `environment` turns it into the MILLSTREAM_* settings of every process.
"""

import base64
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from infra.local.cache import file_lock
from infra.local.ports import Ports
from schemas.errors import ConfigError

PREFIX = "MILLSTREAM_"


@dataclass(frozen=True, slots=True)
class Secrets:
    """Never printed: each is a random value of at least 24 bytes."""

    weaviate_api_key: str = field(repr=False)
    token_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    postgres_password: str = field(repr=False)
    redaction_key: str = field(repr=False, default="")
    """Empty only as read from a profile of an earlier release."""

    @classmethod
    def generate(cls) -> "Secrets":
        return cls(
            weaviate_api_key=secrets.token_urlsafe(24),
            token_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            jwt_secret=secrets.token_urlsafe(48),
            postgres_password=secrets.token_urlsafe(24),
            redaction_key=secrets.token_urlsafe(32),
        )

    def completed(self) -> "Secrets":
        """With a redaction key."""
        return self if self.redaction_key else replace(self, redaction_key=secrets.token_urlsafe(32))


@dataclass(frozen=True, slots=True)
class Profile:
    """One project's ports, keys and folders."""

    state_dir: Path
    project: str
    ports: Ports
    secrets: Secrets

    @property
    def log_dir(self) -> Path:
        return self.state_dir / "logs"

    @property
    def secrets_file(self) -> Path:
        return self.state_dir / "secrets.json"

    @property
    def webhook_secrets_file(self) -> Path:
        return self.state_dir / "webhook_secrets.json"

    @property
    def api_keys_file(self) -> Path:
        """Hashed API keys."""
        return self.state_dir / "api_keys.json"

    @property
    def connect_secrets_dir(self) -> Path:
        return self.state_dir / "connect-secrets"

    @property
    def sources_file(self) -> Path:
        return self.state_dir / "sources.applied.yaml"

    @property
    def postgres_dsn(self) -> str:
        return f"postgresql://postgres:{self.secrets.postgres_password}@127.0.0.1:{self.ports.postgres}/postgres"

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`environ` with every MILLSTREAM_* setting of this profile that it does not set itself."""
        ports = self.ports
        settings = {
            "STATE_DIR": str(self.state_dir),
            "LOG_DIR": str(self.log_dir),
            "SOURCES_FILE": str(self.sources_file),
            "WEBHOOK_SECRETS_FILE": str(self.webhook_secrets_file),
            "KAFKA_BOOTSTRAP": f"127.0.0.1:{ports.kafka}",
            "CONNECT_URL": f"http://127.0.0.1:{ports.connect}",
            "CONNECT_SECRETS_DIR": str(self.connect_secrets_dir),
            "POSTGRES_DSN": self.postgres_dsn,
            "WEAVIATE_HTTP": f"127.0.0.1:{ports.weaviate_http}",
            "WEAVIATE_GRPC": f"127.0.0.1:{ports.weaviate_grpc}",
            "WEAVIATE_API_KEY": self.secrets.weaviate_api_key,
            "INGEST_PORT": str(ports.ingest),
            "API_PORT": str(ports.api),
            "TOKEN_KEY": self.secrets.token_key,
            "REDACTION_KEY": self.secrets.redaction_key,
            "JWT_SECRET": self.secrets.jwt_secret,
        }
        if self.api_keys_file.exists():
            settings["API_KEYS_FILE"] = str(self.api_keys_file)
        return {PREFIX + name: value for name, value in settings.items()} | dict(environ)

    def ensure_webhook_secrets(self, sources: Iterable[str]) -> dict[str, str]:
        """A signing secret for each source: those there are kept, missing ones generated. Returns all of them."""
        known: dict[str, str] = json.loads(self.webhook_secrets_file.read_text())
        missing = [name for name in sources if name not in known]
        for name in missing:
            known[name] = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        if missing:
            write_private(self.webhook_secrets_file, json.dumps(known, indent=2) + "\n")
        return known


def write_private(file: Path, text: str) -> None:
    """Replace a file atomically, mode 0600 from its first byte."""
    work = file.with_name(f".{file.name}.{os.getpid()}.new")
    handle = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as output:
        output.write(text)
    work.replace(file)


def load_or_create(state_dir: Path, environ: Mapping[str, str], ports: Ports | None = None) -> Profile:
    """The profile of `state_dir`, generated where it is missing; data and log folders exist afterwards.

    Ports: `ports` where given, else those remembered, else the defaults; MILLSTREAM_PORT_* in `environ` change them.
    Raises ConfigError when a file of the profile cannot be read.
    """
    state_dir = state_dir.absolute()
    for folder in (state_dir, state_dir / "data", state_dir / "logs"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file_lock(state_dir / "profile.lock"):  # two first calls at once must not make two sets of keys
        return _load_or_create(state_dir, environ, ports)


def _load_or_create(state_dir: Path, environ: Mapping[str, str], ports: Ports | None) -> Profile:
    existing = read(state_dir)
    project = existing.project if existing else secrets.token_hex(6)
    remembered = ports or (existing.ports if existing else Ports())
    profile = Profile(
        state_dir,
        project,
        remembered.overridden(environ),
        existing.secrets.completed() if existing else Secrets.generate(),
    )
    if profile != existing:
        kept = {"version": 1, "project": project, "ports": profile.ports.as_dict()}
        write_private(profile.secrets_file, json.dumps(asdict(profile.secrets), indent=2) + "\n")
        write_private(state_dir / "profile.json", json.dumps(kept, indent=2) + "\n")
    if not profile.webhook_secrets_file.exists():
        write_private(profile.webhook_secrets_file, "{}\n")
    if not profile.api_keys_file.exists():
        write_private(profile.api_keys_file, "[]\n")
    return profile


def read(state_dir: Path) -> Profile | None:
    """The profile of `state_dir`; None where there is none. Raises ConfigError when it cannot be read."""
    state_dir = state_dir.absolute()
    file = state_dir / "profile.json"
    if not file.exists():
        return None
    try:
        kept = json.loads(file.read_text())
        keys = json.loads((state_dir / "secrets.json").read_text())
        return Profile(state_dir, str(kept["project"]), Ports(**kept["ports"]), Secrets(**keys))
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{file} or secrets.json beside it is broken: restore it, or remove both for new keys"
        ) from None
