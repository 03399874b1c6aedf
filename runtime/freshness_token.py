"""Freshness tokens: what the webhook's 202 hands out and `at_least` of a query takes back.

A token says "this register of this document at this version or higher". It is sealed (AES-256-GCM, the tenant as
associated text), so that a client learns nothing from it and can make none; another tenant's token does not open.
"""

import base64
import binascii
import os
from dataclasses import dataclass
from typing import Literal, NewType

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import ConfigError, MillstreamError, PermanentError
from schemas.identity import Document, Tenant
from schemas.versions import Version

TokenKey = NewType("TokenKey", bytes)
Register = Literal["content", "acl"]

PREFIX = "mf1."
_KEY_BYTES = 32
_NONCE_BYTES = 12
_MAX_CHARS = 4096


class InvalidTokenError(PermanentError):
    """A freshness token that this tenant never got from here."""

    reason = "invalid_token"


@dataclass(frozen=True, slots=True)
class FreshnessToken:
    """What a token promises to wait for."""

    document: Document
    register: Register
    version: Version
    stated: bool = False
    """A reader named the change; else it was given to who made it."""


def token_key(text: str) -> TokenKey:
    """Read MILLSTREAM_TOKEN_KEY. Raises ConfigError."""
    try:
        key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigError("MILLSTREAM_TOKEN_KEY: needs base64url of 32 random bytes; `millstream up` generates one")
    return TokenKey(key)


def seal(key: TokenKey, document: Document, register: Register, version: Version, *, stated: bool = False) -> str:
    """A url-safe token for one register of one document. `stated`: as in FreshnessToken."""
    said = [document.source, document.doc_id, register, str(version)]
    plain = orjson.dumps([*said, "stated"] if stated else said)
    nonce = os.urandom(_NONCE_BYTES)
    sealed = nonce + AESGCM(key).encrypt(nonce, plain, _bound_to(document.tenant))
    return PREFIX + base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def open_token(key: TokenKey, token: str, tenant: Tenant) -> FreshnessToken:
    """Read a token back. Raises InvalidTokenError for one that was changed, or that another tenant got."""
    try:
        if not token.startswith(PREFIX) or len(token) > _MAX_CHARS:
            raise ValueError
        text = token.removeprefix(PREFIX)
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        plain = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound_to(tenant))
        source, doc_id, register, version, *stated = orjson.loads(plain)
        document = Document.checked(tenant, source, doc_id)
        return FreshnessToken(document, _register(register), Version.parse(version), stated=bool(stated))
    except (ValueError, InvalidTag, MillstreamError):
        raise InvalidTokenError("this freshness token was not given to this tenant, or it was changed") from None


def _register(text: str) -> Register:
    if text == "content":
        return "content"
    if text == "acl":
        return "acl"
    raise ValueError


def _bound_to(tenant: Tenant) -> bytes:
    return f"{PREFIX}{tenant}".encode()
