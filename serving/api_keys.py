"""API keys: random 32 bytes, stored as plain SHA-256.

Slow password hashes defend guessable secrets; 256 random bits cannot be guessed, so a fast hash is right and costs a
request nothing. Every entry is compared, in constant time.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from schemas.errors import ConfigError, InvalidNameError
from serving.caller import QUERY, Caller, caller

_PREFIX = "msk_"


class ApiKey(BaseModel):
    """One entry of the file: whose key it is, and the hash of the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    tenant: str
    sub: str
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = (QUERY,)
    expires: AwareDatetime | None = None


class ApiKeys:
    """The keys of one file, read once."""

    def __init__(self, entries: Sequence[ApiKey]) -> None:
        """Raises InvalidNameError for an entry whose names do not pass the door."""
        self._entries = tuple(
            (
                bytes.fromhex(entry.sha256),
                entry.expires,
                caller(entry.tenant, entry.sub, entry.groups, entry.scopes, "api_key", entry.expires),
            )
            for entry in entries
        )

    def caller(self, key: str, now: datetime) -> Caller | None:
        """Whose key it is; None for an unknown or expired one."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        found: Caller | None = None
        for known, expires, owner in self._entries:
            if hmac.compare_digest(known, digest) and (expires is None or now < expires):
                found = owner
        return found


def load_api_keys(path: Path) -> ApiKeys:
    """Read the file. Raises ConfigError with one line."""
    try:
        return ApiKeys(_read(path))
    except InvalidNameError as error:
        raise ConfigError(f"MILLSTREAM_API_KEYS_FILE: {error}") from None


def _read(path: Path) -> tuple[ApiKey, ...]:
    try:
        return TypeAdapter(tuple[ApiKey, ...]).validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"MILLSTREAM_API_KEYS_FILE: {path} cannot be read: {type(error).__name__}") from None
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise ConfigError(f"MILLSTREAM_API_KEYS_FILE, {where}: {first['msg']}") from None


def new_api_key(
    key_id: str,
    tenant: str,
    subject: str,
    groups: Sequence[str] = (),
    scopes: Sequence[str] = (QUERY,),
    expires: datetime | None = None,
) -> tuple[str, ApiKey]:
    """A fresh key, shown once, and its entry for the file. Raises InvalidNameError."""
    caller(tenant, subject, groups, scopes, "api_key")
    key = _PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    owner = ApiKey(
        id=key_id,
        sha256=digest,
        tenant=tenant,
        sub=subject,
        groups=tuple(groups),
        scopes=tuple(scopes),
        expires=expires,
    )
    return key, owner


def add_api_key(path: Path, entry: ApiKey) -> None:
    """Put an entry into the file, made where it is missing; its owner's alone afterwards. Raises ConfigError, also for
    an id that is taken.
    """
    entries = _read(path) if path.exists() else ()
    if any(known.id == entry.id for known in entries):
        raise ConfigError(f"{path} has a key named {entry.id} already: give another name with --id")
    written = [json.loads(each.model_dump_json(exclude_none=True)) for each in (*entries, entry)]
    work = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        handle = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as output:
            output.write(json.dumps(written, indent=2) + "\n")
        work.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
