"""Freshness tokens: sealed, bound to a tenant, told apart from anything else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.freshness_token import FreshnessToken, InvalidTokenError, Register, TokenKey, open_token, seal, token_key
from schemas.errors import ConfigError
from schemas.identity import Document, Tenant
from schemas.versions import Version

KEY = TokenKey(bytes(range(32)))
ACME = Tenant("acme")
DOCUMENT = Document.checked("acme", "wiki", "a/b #1 ä")


@given(st.sampled_from(["content", "acl"]), st.integers(0, 2**40), st.integers(0, 2**63), st.integers(0, 3))
def test_what_was_sealed_opens(register: Register, epoch: int, sequence: int, rank: int) -> None:
    version = Version(epoch, sequence, rank)
    token = seal(KEY, DOCUMENT, register, version)
    assert open_token(KEY, token, ACME) == FreshnessToken(DOCUMENT, register, version)


def test_a_token_is_url_safe_and_tells_nothing() -> None:
    token = seal(KEY, DOCUMENT, "content", Version(1, 7, 0))
    assert token.startswith("mf1.")
    assert set(token[4:]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert b"wiki" not in base64.urlsafe_b64decode(token[4:] + "===")
    assert token != seal(KEY, DOCUMENT, "content", Version(1, 7, 0))


def test_another_tenants_token_does_not_open() -> None:
    with pytest.raises(InvalidTokenError, match="not given to this tenant"):
        open_token(KEY, seal(KEY, DOCUMENT, "content", Version(1, 7, 0)), Tenant("other"))


def test_another_keys_token_does_not_open() -> None:
    with pytest.raises(InvalidTokenError):
        open_token(TokenKey(bytes(32)), seal(KEY, DOCUMENT, "content", Version(1, 7, 0)), ACME)


@given(st.integers(0, 100), st.characters())
def test_a_changed_token_does_not_open(place: int, char: str) -> None:
    token = seal(KEY, DOCUMENT, "acl", Version(1, 7, 1))
    place %= len(token)
    changed = token[:place] + char + token[place + 1 :]
    if char != token[place] and place < len(token) - 1:  # the last character has bits that base64 ignores
        with pytest.raises(InvalidTokenError):
            open_token(KEY, changed, ACME)


@pytest.mark.parametrize("token", ["", "mf1.", "mf2.AAAA", "mf1.ÄÖ", "mf1." + "A" * 10_000, "mf1.AAAA", "\ud800"])
def test_anything_else_is_no_token(token: str) -> None:
    with pytest.raises(InvalidTokenError):
        open_token(KEY, token, ACME)


def test_the_key_is_read_with_and_without_padding() -> None:
    padded = base64.urlsafe_b64encode(KEY).decode()
    assert token_key(padded) == token_key(padded.rstrip("=")) == KEY


@pytest.mark.parametrize("text", ["", "short", "*" * 43, base64.urlsafe_b64encode(bytes(16)).decode()])
def test_a_key_of_another_length_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigError, match="MILLSTREAM_TOKEN_KEY"):
        token_key(text)
