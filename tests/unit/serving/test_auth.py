"""Bearer tokens and API keys: what holds, and every attack that must not."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from runtime.clock import ManualClock
from runtime.metrics import ALERTS, Metrics
from runtime.watched_files import WatchedFiles
from schemas.errors import ConfigError, InvalidNameError
from serving.api_keys import ApiKeys, add_api_key, load_api_keys, new_api_key
from serving.auth import Authenticator, KeysNow, build_authenticator, issue_token, jwt_keys_of
from serving.caller import Caller
from serving.problems import ProblemError
from tests.unit.serving.world import SECRET, settings

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()

Claims = dict[str, Any]


def claims(**changed: object) -> Claims:
    """Good claims, with changes; None takes one away."""
    good: Claims = {
        "iss": "millstream-dev",
        "aud": "millstream",
        "exp": int(time.time()) + 60,
        "tenant": "acme",
        "sub": "ada",
        "groups": ["red"],
        "scopes": ["query"],
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


def signed(payload: Claims, key: Any = SECRET, algorithm: str = "HS256", **headers: str) -> str:
    return jwt.encode(payload, key, algorithm=algorithm, headers=headers or None)


def shared() -> Authenticator:
    return build_authenticator(settings(), ManualClock())


def who(authenticator: Authenticator, token: str) -> Caller:
    return authenticator.caller({"Authorization": f"Bearer {token}"})


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    """Three public keys, named."""
    keys = [
        json.loads(RSAAlgorithm.to_jwk(RSA.public_key())) | {"kid": "r"},
        json.loads(ECAlgorithm.to_jwk(EC.public_key())) | {"kid": "e"},
        json.loads(OKPAlgorithm.to_jwk(ED.public_key())) | {"kid": "o"},
    ]
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": keys}))
    return path


def test_an_issued_token_names_its_tenant_principals_and_scopes() -> None:
    token = issue_token(settings(), "acme", "ada", ["red"], ["query", "history"], timedelta(minutes=1))
    caller = who(shared(), token)
    assert (caller.tenant, caller.subject) == ("acme", "ada")
    assert caller.principals == {"red", "user:ada", "public"}
    assert caller.scopes == {"query", "history"}


def test_scopes_may_be_a_list_or_parted_by_spaces_and_unknown_ones_are_nothing() -> None:
    assert who(shared(), signed(claims(scopes="query history root"))).scopes == {"query", "history"}


def test_a_token_without_groups_has_its_subject_and_public() -> None:
    assert who(shared(), signed(claims(groups=None))).principals == {"user:ada", "public"}
    assert who(shared(), signed(claims(groups=[]))).principals == {"user:ada", "public"}


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _public_pem() -> bytes:
    return RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _confused(key: bytes) -> str:
    """HS256 under a public key's bytes, made by hand: the library refuses to."""
    head = _b64(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "r"}).encode())
    body = _b64(json.dumps(claims()).encode())
    return f"{head}.{body}.{_b64(hmac.new(key, f'{head}.{body}'.encode(), hashlib.sha256).digest())}"


def _unsigned(algorithm: str = "none") -> str:
    return f"{_b64(json.dumps({'alg': algorithm}).encode())}.{_b64(json.dumps(claims()).encode())}."


ATTACKS: dict[str, Callable[[], str]] = {
    "alg none": lambda: signed(claims(), None, "none"),
    "alg none by hand": _unsigned,
    "alg None in another case": lambda: _unsigned("nOnE"),
    "signature cut off": lambda: signed(claims()).rsplit(".", 1)[0] + ".",
    "signature of another secret": lambda: signed(claims(), "another secret, also longer than 32 bytes"),
    "a stronger algorithm than the key's": lambda: signed(claims(), SECRET + SECRET, "HS512"),
    "the same secret under HS512": lambda: signed(claims(), SECRET + "x" * 64, "HS512"),
    "RS256 of a stranger": lambda: signed(claims(), RSA, "RS256"),
    "claims changed after signing": lambda: _swapped(signed(claims()), claims(tenant="other")),
    "expired": lambda: signed(claims(exp=int(time.time()) - 60)),
    "no exp": lambda: signed(claims(exp=None)),
    "exp as text": lambda: signed(claims(exp="tomorrow")),
    "not valid yet": lambda: signed(claims(nbf=int(time.time()) + 600)),
    "another audience": lambda: signed(claims(aud="elsewhere")),
    "no audience": lambda: signed(claims(aud=None)),
    "another issuer": lambda: signed(claims(iss="elsewhere")),
    "no issuer": lambda: signed(claims(iss=None)),
    "no tenant": lambda: signed(claims(tenant=None)),
    "a tenant that cannot exist": lambda: signed(claims(tenant="Other Tenant")),
    "a tenant of another type": lambda: signed(claims(tenant=["acme", "other"])),
    "no subject": lambda: signed(claims(sub=None)),
    "an empty subject": lambda: signed(claims(sub="")),
    "a subject with a trailing space": lambda: signed(claims(sub="ada ")),
    "a subject with a control character": lambda: signed(claims(sub="a\nda")),
    "groups as text": lambda: signed(claims(groups="red")),
    "groups of numbers": lambda: signed(claims(groups=[1])),
    "a group that claims to be a user": lambda: signed(claims(groups=["user:bob"])),
    "a group that claims to be everyone": lambda: signed(claims(groups=["public"])),
    "a group with a leading space": lambda: signed(claims(groups=[" red"])),
    "scopes of numbers": lambda: signed(claims(scopes=[1])),
    "a critical header nobody knows": lambda: jwt.encode(
        claims(), SECRET, algorithm="HS256", headers={"crit": ["x"], "x": 1}
    ),
    "garbage": lambda: "garbage",
    "dots": lambda: "..",
    "not text": lambda: "\udcff.\udcff.\udcff",
    "empty": lambda: "",
}


def _swapped(token: str, payload: Claims) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{_b64(json.dumps(payload).encode())}.{signature}"


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_no_attack_on_a_bearer_token_succeeds(attack: Callable[[], str]) -> None:
    token = attack()
    with pytest.raises(ProblemError) as caught:
        who(shared(), token)
    problem = caught.value.problem
    assert problem.status == 401
    assert problem.headers["WWW-Authenticate"].startswith("Bearer")
    assert "ada" not in problem.detail


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(RSA, "RS256", "r"), (EC, "ES256", "e"), (ED, "EdDSA", "o")])
def test_a_key_of_the_jwks_verifies_its_own_algorithm(jwks: Path, key: Any, algorithm: str, kid: str) -> None:
    authenticator = build_authenticator(settings(jwt_jwks_file=str(jwks)), ManualClock())
    assert who(authenticator, signed(claims(), key, algorithm, kid=kid)).tenant == "acme"


def test_with_a_jwks_neither_confusion_nor_another_key_nor_the_shared_secret_holds(jwks: Path) -> None:
    authenticator = build_authenticator(settings(jwt_jwks_file=str(jwks)), ManualClock())
    for token in (
        _confused(_public_pem()),
        _confused(jwks.read_bytes()),
        signed(claims(), RSA, "RS256", kid="e"),
        signed(claims(), RSA, "RS512", kid="r"),
        signed(claims(), RSA, "PS256", kid="r"),
        signed(claims(), RSA, "RS256", kid="unknown"),
        signed(claims(), RSA, "RS256"),
        signed(claims(), kid="r"),
        signed(claims()),
        signed(claims(), rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256", kid="r"),
    ):
        with pytest.raises(ProblemError):
            who(authenticator, token)


def test_one_key_needs_no_kid(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [json.loads(ECAlgorithm.to_jwk(EC.public_key()))]}))
    authenticator = build_authenticator(settings(jwt_jwks_file=str(path)), ManualClock())
    assert who(authenticator, signed(claims(), EC, "ES256")).tenant == "acme"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (json.dumps({"keys": [json.loads(RSAAlgorithm.to_jwk(RSA))]}), "private"),
        (json.dumps({"keys": [{"kty": "oct", "k": _b64(b"x" * 32)}]}), "only"),
        (json.dumps({"keys": [json.loads(ECAlgorithm.to_jwk(EC.public_key()))] * 2}), "kid"),
        (json.dumps({"keys": []}), "JWKS"),
        ("nonsense", "JWKS"),
    ],
)
def test_a_jwks_that_would_weaken_authentication_stops_the_start(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=says):
        build_authenticator(settings(jwt_jwks_file=str(path)), ManualClock())


def test_a_short_secret_or_no_credential_at_all_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        build_authenticator(settings(jwt_secret="short"), ManualClock())
    with pytest.raises(ConfigError, match="MILLSTREAM_JWT_SECRET"):
        build_authenticator(settings(jwt_secret=""), ManualClock())


def test_tokens_are_not_issued_without_a_secret_nor_for_names_that_would_be_refused() -> None:
    with pytest.raises(ConfigError, match="millstream up"):
        issue_token(settings(jwt_secret=""), "acme", "ada", [])
    with pytest.raises(InvalidNameError):
        issue_token(settings(), "acme", "ada", ["public"])


def test_an_api_key_holds_in_either_header_until_it_expires(tmp_path: Path) -> None:
    key, entry = new_api_key("k1", "acme", "robot", ["red"], expires=datetime(2026, 1, 2, tzinfo=UTC))
    _, other = new_api_key("k2", "other", "robot")
    path = tmp_path / "keys.json"
    add_api_key(path, other)
    add_api_key(path, entry)
    assert key not in path.read_text()
    clock = ManualClock()
    authenticator = build_authenticator(settings(api_keys_file=str(path), jwt_secret=""), clock)
    for headers in ({"X-Api-Key": key}, {"Authorization": f"ApiKey {key}"}):
        caller = authenticator.caller(headers)
        assert caller.tenant == "acme"
        assert caller.principals == {"red", "user:robot", "public"}
    for wrong in (key[:-1], key + "x", "", "é"):
        with pytest.raises(ProblemError):
            authenticator.caller({"X-Api-Key": wrong})
    with pytest.raises(ProblemError):
        authenticator.caller({"Authorization": f"Bearer {signed(claims())}"})
    clock.advance(86_400)
    with pytest.raises(ProblemError, match="expired"):
        authenticator.caller({"X-Api-Key": key})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("nonsense", "JSON"),
        ('[{"id": "a"}]', "0.sha256"),
        (json.dumps([{"id": "a", "sha256": "0" * 64, "tenant": "acme", "sub": "a", "groups": ["public"]}]), "public"),
        (json.dumps([{"id": "a", "sha256": "0" * 64, "tenant": "acme", "sub": "a", "key": "secret"}]), "0.key"),
    ],
)
def test_a_broken_file_of_api_keys_stops_the_start_without_showing_its_content(
    tmp_path: Path, content: str, says: str
) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=says) as caught:
        build_authenticator(settings(api_keys_file=str(path)), ManualClock())
    assert "secret" not in str(caught.value).replace("MILLSTREAM_JWT_SECRET", "")


def test_a_missing_file_of_api_keys_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        build_authenticator(settings(api_keys_file="/nowhere/keys.json"), ManualClock())


def test_a_token_that_held_is_not_verified_again_until_it_expires() -> None:
    authenticator, token = shared(), signed(claims())
    assert who(authenticator, token) is who(authenticator, token)
    late = signed(claims(exp=int(time.time()) - 1))
    assert who(authenticator, late) is not who(authenticator, late)  # within the leeway, and verified each time


def test_a_token_that_held_is_refused_once_it_has_expired() -> None:
    authenticator, token = shared(), signed(claims(exp=int(time.time()) - 60))
    long_ago = replace(who(authenticator, signed(claims())), expires=datetime.now(UTC) - timedelta(seconds=60))
    authenticator._verified[hashlib.sha256(token.encode()).digest()] = long_ago
    with pytest.raises(ProblemError, match="expired"):
        who(authenticator, token)


def test_what_did_not_hold_is_never_remembered() -> None:
    authenticator, token = shared(), signed(claims(), SECRET + "x")
    for _ in range(2):
        with pytest.raises(ProblemError, match="signature"):
            who(authenticator, token)


def test_a_key_that_was_taken_back_opens_nothing_any_more(tmp_path: Path) -> None:
    key, entry = new_api_key("k1", "acme", "robot")
    path = tmp_path / "keys.json"
    add_api_key(path, entry)
    metrics = Metrics()
    keys = WatchedFiles([path], partial(load_api_keys, path), metrics, what="api_keys")
    configured = settings(api_keys_file=str(path), jwt_secret="")
    authenticator = build_authenticator(configured, ManualClock(), KeysNow(tuple, lambda: keys.current))
    robot = authenticator.caller({"X-Api-Key": key})
    assert authenticator.holds({"X-Api-Key": key}, robot)
    path.write_text("[")
    keys.reload()
    assert authenticator.holds({"X-Api-Key": key}, robot), "a broken edit changes nothing"
    assert metrics.value(ALERTS, alert="api_keys_broken") == 1
    path.write_text("[]")
    keys.reload()
    assert not authenticator.holds({"X-Api-Key": key}, robot)


def test_keys_of_the_jwks_rotate_while_it_runs_and_a_broken_or_missing_file_keeps_the_last_ones(jwks: Path) -> None:
    configured, metrics = settings(jwt_jwks_file=str(jwks)), Metrics()
    keys = WatchedFiles([jwks], partial(jwt_keys_of, configured), metrics, what="jwks")
    no_api_keys = ApiKeys(())
    held = KeysNow(lambda: keys.current, lambda: no_api_keys, keys.reload)
    authenticator = build_authenticator(configured, ManualClock(), held)
    old = signed(claims(), EC, "ES256", kid="e")
    assert who(authenticator, old).subject == "ada"
    for broken in ("[", None):
        jwks.write_text(broken) if broken is not None else jwks.unlink()
        with pytest.raises(ProblemError):
            who(authenticator, signed(claims(), EC, "ES256", kid="new"))
        assert who(authenticator, old).subject == "ada"
    assert metrics.value(ALERTS, alert="jwks_broken") == 2
    rotated = ec.generate_private_key(ec.SECP256R1())
    new = json.loads(ECAlgorithm.to_jwk(rotated.public_key())) | {"kid": "new"}
    jwks.write_text(json.dumps({"keys": [new]}))
    assert who(authenticator, signed(claims(), rotated, "ES256", kid="new")).subject == "ada", "read at once"
    with pytest.raises(ProblemError):
        who(authenticator, old)


def test_a_long_request_does_not_outlive_the_groups_of_its_key(tmp_path: Path) -> None:
    key, entry = new_api_key("k1", "acme", "robot", ["board", "staff"])
    keys = ApiKeys([entry])
    configured = settings(api_keys_file=str(tmp_path / "keys.json"), jwt_secret="")
    authenticator = build_authenticator(configured, ManualClock(), KeysNow(tuple, lambda: keys))
    robot = authenticator.caller({"X-Api-Key": key})
    assert authenticator.holds({"X-Api-Key": key}, robot)
    keys = ApiKeys([entry.model_copy(update={"groups": ("staff",)})])
    assert not authenticator.holds({"X-Api-Key": key}, robot)
