"""Headers of a change: what they say is what the record says, and nonsense is a DecodeError."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.headers import (
    ACL,
    AGAIN,
    EVENT_ID,
    OP,
    ORIGIN,
    RECEIVED,
    TRACE,
    VERSION,
    Again,
    headers_of,
    stated_again,
    stated_change,
)
from schemas.versions import Op, StatedVersion
from tests.unit.streams.records import AT, change
from tests.unit.streams.records import ORIGIN as CAME_FROM


def stated(**changed: bytes | None) -> dict[str, bytes]:
    headers = dict(headers_of(change(Op.ACL, acl=("staff", "user:ada"), sequence=7)))
    for name, value in changed.items():
        headers.pop(f"ms-{name}")
        if value is not None:
            headers[f"ms-{name}"] = value
    return headers


def test_headers_say_of_a_change_what_its_body_says() -> None:
    record = change(Op.ACL, acl=("staff", "user:ada"), sequence=7)
    found = stated_change(headers_of(record))
    assert (found.op, found.version, found.acl) == (Op.ACL, StatedVersion(1, 7, 1), ("staff", "user:ada"))
    assert (found.event_id, found.origin, found.received_at) == ("e1", CAME_FROM, AT)
    assert found.traceparent is None


def test_what_a_change_does_not_carry_is_absent() -> None:
    found = stated_change(headers_of(change()))
    assert found.acl is None
    assert found.version == StatedVersion(1, None, 0)
    nobody = stated_change(headers_of(change(Op.ACL, acl=())))
    assert nobody.acl == (), "nobody is not the same as not saying"


@pytest.mark.parametrize("name", ["op", "version", "event-id", "origin", "received"])
def test_a_missing_header_is_a_decode_error(name: str) -> None:
    with pytest.raises(DecodeError):
        stated_change(stated(**{name: None}).items())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("op", b"rename"),
        ("version", b"1.2"),
        ("version", b"1..x"),
        ("version", b"1.-2.0"),
        ("version", b"1.99999999999999999999.0"),
        ("acl", b"staff"),
        ("acl", b'["staff", 1]'),
        ("acl", b'{"a": "b"}'),
        ("acl", b'["\\ud800"]'),
        ("acl", b"[" * 100_000),
        ("origin", b'["webhook"]'),
        ("received", b"yesterday"),
        ("received", b"2026-01-01T00:00:00"),
        ("event-id", b"\xff"),
    ],
)
def test_a_header_that_does_not_read_back_is_a_decode_error(name: str, value: bytes) -> None:
    with pytest.raises(DecodeError):
        stated_change(stated(**{name: value}).items())


@given(st.lists(st.tuples(st.sampled_from([OP, VERSION, ACL, EVENT_ID, ORIGIN, RECEIVED, TRACE]), st.binary())))
def test_nonsense_is_never_anything_but_a_decode_error(headers: list[tuple[str, bytes]]) -> None:
    with pytest.raises(DecodeError):
        stated_change(headers)


@given(st.integers(0, 2**40), st.one_of(st.none(), st.integers(0, 2**63 - 1)), st.integers(0, 3))
def test_a_stated_version_reads_back(epoch: int, sequence: int | None, rank: int) -> None:
    version = StatedVersion(epoch, sequence, rank)
    assert StatedVersion.parse(str(version)) == version
    assert StatedVersion.parse(str(replace(version, sequence=5))).sequence == 5


@pytest.mark.parametrize("again", [None, *Again])
def test_a_mark_is_read_back_and_says_nothing_about_the_change(again: Again | None) -> None:
    headers = headers_of(change(), again)
    assert stated_again(headers) is again
    assert stated_change(headers) == stated_change(headers_of(change()))


@pytest.mark.parametrize("value", [b"", b"HEALED", b"replayed", b"\xff"])
def test_a_mark_that_is_not_known_is_none(value: bytes) -> None:
    assert stated_again([(AGAIN, value)]) is None
