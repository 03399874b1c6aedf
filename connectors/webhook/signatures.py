"""Who may send for which source: signing secrets, and the check of a Standard Webhooks signature.

The signature itself is the `standardwebhooks` library's (HMAC-SHA256 over `id.timestamp.body`). The check takes the
time as an argument, tries every secret and every signature given, and costs the same for a source that does not exist.
"""

import binascii
import hmac
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from standardwebhooks.webhooks import Webhook

from schemas.errors import ConfigError

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

TOLERANCE = timedelta(minutes=5)
ENV_PREFIX = "MILLSTREAM_WEBHOOK_SECRET_"
MIN_SECRET_BYTES = 24
MAX_SIGNATURES = 8

# No full stop: it separates the signed parts, and an id with one could be read as another id and timestamp.
_ID = re.compile(r"[!-\-/-~]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{1,11}")
Secret = Webhook
_NOBODY = Secret(bytes(MIN_SECRET_BYTES))


@dataclass(frozen=True, slots=True)
class Secrets:
    """The signing secrets of every source; more than one while a secret is being rotated."""

    by_source: Mapping[str, tuple[Secret, ...]] = field(repr=False)

    def of(self, source: str | None) -> tuple[Secret, ...]:
        """The source's secrets; for None or a source without any, one that no signature was made with."""
        return self.by_source.get(source or "", ()) or (_NOBODY,)

    def has(self, source: str) -> bool:
        """Whether the source has a secret."""
        return bool(self.by_source.get(source))


def load_secrets(file: Path | None, environment: Mapping[str, str], sources: Iterable[str]) -> Secrets:
    """Read the secrets file (JSON object: source -> `whsec_…` or a list of them); the environment wins.

    Raises ConfigError for a file that others may read, for what is not a secret, and for a source without one.
    """
    stated = {} if file is None else _read(file)
    found: dict[str, tuple[Secret, ...]] = {}
    for source in sources:
        variable = ENV_PREFIX + source.upper().replace("-", "_")
        given = environment.get(variable)
        texts = given.split() if given is not None else stated.get(source, [])
        if not texts:
            raise ConfigError(f"source {source} has no signing secret: put one into {file} or set {variable}")
        found[source] = tuple(_secret(text, source) for text in texts)
    return Secrets(found)


def _read(file: Path) -> dict[str, list[str]]:
    try:
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"{file} holds secrets and others may read it: chmod 600 {file}")
        content = orjson.loads(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"MILLSTREAM_WEBHOOK_SECRETS_FILE: {file}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{file} is not JSON: line {error.lineno}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: needs one JSON object, source -> secret")
    stated: dict[str, list[str]] = {}
    for source, given in content.items():
        texts = given if isinstance(given, list) else [given]
        if not all(isinstance(text, str) for text in texts):
            raise ConfigError(f"{file}, {source}: a secret or a list of secrets")
        stated[source] = texts
    return stated


def _secret(text: str, source: str) -> Secret:
    try:
        key = binascii.a2b_base64(text.removeprefix("whsec_") + "==")
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < MIN_SECRET_BYTES:
        raise ConfigError(f"source {source}: a secret is whsec_ and base64 of at least {MIN_SECRET_BYTES} random bytes")
    return Secret(key)


def is_signed(secrets: Iterable[Secret], headers: Mapping[str, str], body: str, now: datetime) -> bool:
    """Whether one of the secrets signed this id, timestamp and body, within TOLERANCE of `now`.

    `headers` has lower-case names. What is wrong is not told: it would help to guess.
    """
    message_id = headers.get(ID_HEADER, "")
    stamp = headers.get(TIMESTAMP_HEADER, "")
    given = headers.get(SIGNATURE_HEADER, "").split(" ")[:MAX_SIGNATURES]
    well_formed = bool(_ID.fullmatch(message_id) and _TIMESTAMP.fullmatch(stamp))
    if not well_formed:
        message_id = ""
    sent = datetime.fromtimestamp(int(stamp), UTC) if well_formed else now
    matches = False
    for secret in secrets:
        expected = secret.sign(message_id, sent, body).encode()
        for signature in given:
            matches |= hmac.compare_digest(expected, signature.encode(errors="replace"))
    return matches and well_formed and abs(now - sent) <= TOLERANCE


def signed_headers(secret: Secret, body: bytes, now: datetime, message_id: str) -> dict[str, str]:
    """The three Standard Webhooks headers for a body."""
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(int(now.timestamp())),
        SIGNATURE_HEADER: secret.sign(message_id, now.astimezone(UTC), body.decode()),
    }
