"""Authentication: bearer tokens (JWT, RFC 7519) and API keys. The one module that imports jwt.

The algorithm follows from the key, never from the token: a shared secret verifies HS256 alone, a public key the one
algorithm of its kind. There is no anonymous mode.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeGuard

import jwt
from jwt import PyJWK, PyJWKSet

from runtime.clock import Clock
from runtime.settings import Settings
from schemas.errors import ConfigError, InvalidNameError
from serving.api_keys import ApiKeys, load_api_keys
from serving.caller import QUERY, Caller, caller
from serving.problems import ProblemError, forbidden, unauthenticated

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
"""What a public key of the JWKS may verify, one per kind of key."""
SHARED_ALGORITHM = "HS256"
LEEWAY_SECONDS = 5
SHORTEST_SECRET = 32
_MOST_VERIFIED = 4096

_NO_JWT = "The token is not a valid JWT; an API key goes into `X-Api-Key: <key>`."
_REQUIRED = ["exp", "iss", "aud", "sub", "tenant"]
_WHAT = {
    jwt.ExpiredSignatureError: "The token has expired: get a new one.",
    jwt.InvalidAudienceError: "The token is for another audience.",
    jwt.InvalidIssuerError: "The token is of another issuer.",
    jwt.ImmatureSignatureError: "The token is not valid yet.",
    jwt.InvalidSignatureError: "The token's signature does not hold.",
    jwt.InvalidAlgorithmError: "The token is signed with an algorithm that its key does not have.",
    jwt.MissingRequiredClaimError: "The token lacks a claim: exp, iss, aud, sub and tenant are required.",
}


@dataclass(frozen=True, slots=True)
class JwtKey:
    """What verifies a signature, and the only algorithm it does so with."""

    id: str | None
    algorithm: str
    verifier: PyJWK | str


JwtKeys = tuple[JwtKey, ...]


@dataclass(frozen=True, slots=True)
class KeysNow:
    """The keys that hold at this moment."""

    jwt: Callable[[], JwtKeys]
    api: Callable[[], ApiKeys]
    look_again: Callable[[], object] = lambda: None
    """Called for a token of an unknown key, which may have been published a moment ago; cheap where nothing was."""


class Authenticator:
    """Turns the headers of a request into a caller."""

    def __init__(self, keys: KeysNow, issuer: str, audience: str, clock: Clock) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._verified: dict[bytes, Caller] = {}
        self._verified_by: JwtKeys = ()

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Who asks. Raises ProblemError (401)."""
        scheme, _, credential = headers.get("Authorization", "").strip().partition(" ")
        key = headers.get("X-Api-Key") or (credential.strip() if scheme.lower() == "apikey" else "")
        if key:
            found = self._keys.api().caller(key, self._clock.now())
            if found is None:
                raise unauthenticated("The API key is unknown or has expired.", challenge="ApiKey")
            return found
        token = credential.strip()
        if scheme.lower() != "bearer" or not token:
            raise unauthenticated("Send `Authorization: Bearer <token>` or `X-Api-Key: <key>`.", challenge="Bearer")
        if not token.isascii():
            raise unauthenticated(_NO_JWT)
        return self._bearer(token)

    def holds(self, headers: Mapping[str, str], caller: Caller) -> bool:
        """Whether the credentials that opened a long request are still good, and still this caller's: an edit of the
        keys may have taken groups from it.
        """
        try:
            return self.caller(headers) == caller
        except ProblemError:
            return False

    def _bearer(self, token: str) -> Caller:
        """Who a token names. One that held is not verified again before it expires or the keys change: verifying took
        most of a cached answer's time.
        """
        keys = self._keys.jwt()
        if keys is not self._verified_by:
            self._verified.clear()
            self._verified_by = keys
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is not None and known.expires is not None and datetime.now(UTC) < known.expires:
            return known
        found = _caller_of(self._verify(token))
        if self._keys.jwt() is not keys:
            return found
        if len(self._verified) >= _MOST_VERIFIED:
            self._verified.clear()
        self._verified[digest] = found
        return found

    def _verify(self, token: str) -> Mapping[str, object]:
        """The claims of a token that holds now."""
        try:
            key = self._key_of(token)
            return jwt.decode(
                token,
                key.verifier,
                algorithms=[key.algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED},
            )
        except jwt.PyJWTError as error:
            raise unauthenticated(_what(error)) from None

    def _key_of(self, token: str) -> JwtKey:
        """The key the token names, or the only one there is. Raises jwt.InvalidTokenError."""
        key_id = jwt.get_unverified_header(token).get("kid")
        found = _named(self._keys.jwt(), key_id)
        if found is None:
            self._keys.look_again()
            found = _named(self._keys.jwt(), key_id)
        if found is None:
            raise jwt.InvalidSignatureError("no such key")
        return found


def _named(keys: JwtKeys, key_id: object) -> JwtKey | None:
    if len(keys) == 1 and (key_id is None or keys[0].id in {None, key_id}):
        return keys[0]
    return next((key for key in keys if key_id is not None and key.id == key_id), None)


def require(caller: Caller, scope: str) -> None:
    """Raises ProblemError (403) for a caller without the scope."""
    if scope not in caller.scopes:
        raise forbidden(f"This needs the scope {scope!r}.")


def _what(error: jwt.PyJWTError) -> str:
    for kind, detail in _WHAT.items():
        if isinstance(error, kind):
            return detail
    return _NO_JWT


def _caller_of(claims: Mapping[str, object]) -> Caller:
    tenant, subject = claims.get("tenant"), claims.get("sub")
    groups, scopes = claims.get("groups", []), claims.get("scopes", [])
    if isinstance(scopes, str):
        scopes = scopes.split()
    if not isinstance(tenant, str) or not isinstance(subject, str):
        raise unauthenticated("The claims tenant and sub are strings.")
    if not _is_strings(groups) or not _is_strings(scopes):
        raise unauthenticated("The claims groups and scopes are lists of strings.")
    try:
        return caller(tenant, subject, groups, scopes, "jwt", _time_of(claims["exp"]))
    except InvalidNameError as error:
        raise unauthenticated(f"A claim of the token is not allowed: {error}.") from None


def _time_of(expires: object) -> datetime | None:
    """`exp` as a time; None for one beyond the calendar."""
    try:
        return datetime.fromtimestamp(float(str(expires)), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _is_strings(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def build_authenticator(settings: Settings, clock: Clock, keys: KeysNow | None = None) -> Authenticator:
    """Read secrets once, unless `keys` gives those that hold now.

    Raises ConfigError: no credentials at all, a weak secret, a JWKS not public.
    """
    if keys is None:
        jwt_keys, api_keys = jwt_keys_of(settings), api_keys_of(settings)
        keys = KeysNow(lambda: jwt_keys, lambda: api_keys)
    if not keys.jwt() and settings.api_keys_file is None and not settings.jwt_jwks_url:
        raise ConfigError("set MILLSTREAM_JWT_SECRET, MILLSTREAM_JWT_JWKS_FILE or _URL, or MILLSTREAM_API_KEYS_FILE")
    return Authenticator(keys, settings.jwt_issuer, settings.jwt_audience, clock)


def jwt_keys_of(settings: Settings) -> JwtKeys:
    """What verifies bearer tokens: the public keys of the JWKS file where the settings name one, else the shared secret
    where there is one. Raises ConfigError.
    """
    return _public_keys(settings) if settings.jwt_jwks_file is not None else _shared_key(settings)


def api_keys_of(settings: Settings) -> ApiKeys:
    """The keys of the file that the settings name, none where they name none. Raises ConfigError."""
    return ApiKeys(()) if settings.api_keys_file is None else load_api_keys(settings.api_keys_file)


def _shared_key(settings: Settings) -> tuple[JwtKey, ...]:
    secret = settings.jwt_secret.get_secret_value()
    if secret and len(secret.encode()) < SHORTEST_SECRET:
        raise ConfigError(f"MILLSTREAM_JWT_SECRET: at least {SHORTEST_SECRET} bytes")
    return (JwtKey(None, SHARED_ALGORITHM, secret),) if secret else ()


def _public_keys(settings: Settings) -> JwtKeys:
    path, name = settings.jwt_jwks_file, "MILLSTREAM_JWT_JWKS_FILE"
    assert path is not None
    try:
        keys = PyJWKSet.from_json(path.read_text(encoding="utf-8")).keys
    except (OSError, ValueError, jwt.PyJWTError) as error:
        raise ConfigError(f"{name}: {path} is no JWKS ({type(error).__name__})") from None
    if any(key.algorithm_name not in ALGORITHMS for key in keys):
        raise ConfigError(f"{name}: only {', '.join(sorted(ALGORITHMS))} keys are accepted")
    return _checked(keys, name)


def published_keys(text: str) -> JwtKeys:
    """Those keys of an identity provider's JWKS that may verify tokens; it publishes others beside them.

    Raises ConfigError where there is none, and for what would weaken authentication.
    """
    name = "MILLSTREAM_JWT_JWKS_URL"
    try:
        keys = PyJWKSet.from_json(text).keys
    except (ValueError, jwt.PyJWTError) as error:
        raise ConfigError(f"{name}: what is published is no JWKS ({type(error).__name__})") from None
    usable = [key for key in keys if key.algorithm_name in ALGORITHMS and key.public_key_use in {None, "sig"}]
    if not usable:
        raise ConfigError(f"{name}: no {', '.join(sorted(ALGORITHMS))} key is published")
    return _checked(usable, name)


def _checked(keys: Sequence[PyJWK], name: str) -> JwtKeys:
    if any(hasattr(key.key, "private_bytes") for key in keys):
        raise ConfigError(f"{name}: holds a private key; the API needs the public ones alone")
    if len(keys) > 1 and len({key.key_id for key in keys} - {None}) != len(keys):
        raise ConfigError(f"{name}: several keys need a `kid` each")
    return tuple(JwtKey(key.key_id, key.algorithm_name, key) for key in keys)


def issue_token(
    settings: Settings,
    tenant: str,
    sub: str,
    groups: Sequence[str],
    scopes: Sequence[str] = (QUERY,),
    ttl: timedelta = timedelta(hours=1),
) -> str:
    """A bearer token under the shared secret, valid for `ttl`. Raises ConfigError, InvalidNameError."""
    secret = settings.jwt_secret.get_secret_value()
    if not secret:
        raise ConfigError("tokens are issued under MILLSTREAM_JWT_SECRET: run `millstream up`, or set it")
    checked = caller(tenant, sub, groups, scopes, "jwt")
    now = int(time.time())
    claims = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "iat": now,
        "exp": now + int(ttl.total_seconds()),
        "tenant": checked.tenant,
        "sub": sub,
        "groups": list(groups),
        "scopes": sorted(checked.scopes),
    }
    return jwt.encode(claims, secret, algorithm=SHARED_ALGORITHM)
