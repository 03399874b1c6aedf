"""The body of a webhook request: all of it or nothing, with the place of what is wrong."""

import base64
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.webhook.events import Fault, InvalidBodyError, parse_events
from schemas.versions import Op

UPSERT = {"op": "upsert", "doc_id": "a", "body": "text"}


def faults(content: object) -> tuple[Fault, ...]:
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    with pytest.raises(InvalidBodyError) as caught:
        parse_events(body)
    return caught.value.faults


def test_one_event_may_come_alone() -> None:
    (event,) = parse_events(orjson.dumps({**UPSERT, "labels": {"a": "b"}, "acl": ["x"], "version": 3}))
    assert (event.op, event.doc_id, event.body) == (Op.UPSERT, "a", b"text")
    assert (event.labels, event.acl, event.version) == ({"a": "b"}, ("x",), 3)


def test_several_come_in_a_list_and_keep_their_order() -> None:
    events = parse_events(orjson.dumps({"events": [{**UPSERT, "doc_id": str(number)} for number in range(1000)]}))
    assert [event.doc_id for event in events] == [str(number) for number in range(1000)]


def test_a_body_may_be_base64() -> None:
    (event,) = parse_events(
        orjson.dumps({"op": "upsert", "doc_id": "a", "body_base64": base64.b64encode(b"\xff").decode()})
    )
    assert event.body == b"\xff"


def test_a_time_is_iso_8601() -> None:
    (event,) = parse_events(orjson.dumps({**UPSERT, "event_time": "2026-01-10T10:00:00+01:00"}))
    assert event.event_time == datetime(2026, 1, 10, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"op": "replace"}, "op"),
        ({"op": None}, "op"),
        ({"doc_id": 7}, "doc_id"),
        ({"doc_id": None}, "doc_id"),
        ({"version": "7"}, "version"),
        ({"version": 7.0}, "version"),
        ({"version": True}, "version"),
        ({"acl": "public"}, "acl"),
        ({"acl": [1]}, "acl.0"),
        ({"labels": {"a": 1}}, "labels.a"),
        ({"labels": []}, "labels"),
        ({"event_time": 1700000000}, "event_time"),
        ({"event_time": "yesterday"}, "event_time"),
        ({"tenant": "other"}, "tenant"),
        ({"body_base64": "eA=="}, "body_base64"),
        ({"body": None, "body_base64": "e"}, "body_base64"),
        ({"body": 1}, "body"),
    ],
)
def test_a_wrong_field_is_named_with_its_event(change: dict[str, object], field: str) -> None:
    (fault,) = faults({"events": [UPSERT, {**UPSERT, **change}]})
    assert (fault.event, fault.field) == (1, field)


def test_every_wrong_event_is_named_up_to_a_limit() -> None:
    assert [fault.event for fault in faults({"events": [{}, UPSERT, {"op": "upsert"}]})] == [0, 0, 2]
    assert len(faults({"events": [{}] * 50})) == 20


@pytest.mark.parametrize(
    "content", [[], 7, None, "x", {"events": []}, {"events": {}}, {"events": [UPSERT], "more": 1}, {}, {"events": [7]}]
)
def test_anything_else_is_no_batch(content: object) -> None:
    assert faults(content)


def test_more_than_a_thousand_events_are_refused() -> None:
    (fault,) = faults({"events": [UPSERT] * 1001})
    assert "limit of 1000" in fault.detail


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": NaN}', b'"\\ud800"', b"\xff", b"[" * 5000, b'{"op": "upsert"}x'])
def test_what_is_not_json_is_told_by_its_place(body: bytes) -> None:
    with pytest.raises(InvalidBodyError, match=r"not JSON: line \d+, column \d+") as caught:
        parse_events(body)
    assert caught.value.reason == "malformed_json"


SECRET_TEXT = "Ada Lovelace"


@pytest.mark.parametrize(
    "event",
    [
        {**UPSERT, "body": SECRET_TEXT, "version": "x"},
        {**UPSERT, "title": [SECRET_TEXT]},
        {**UPSERT, "event_time": SECRET_TEXT},
        {**UPSERT, "op": SECRET_TEXT},
        {**UPSERT, "body": None, "body_base64": SECRET_TEXT},
    ],
)
def test_a_fault_never_repeats_what_was_sent(event: object) -> None:
    with pytest.raises(InvalidBodyError) as caught:
        parse_events(orjson.dumps(event))
    assert SECRET_TEXT not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["op", "doc_id", "events", "x"]), inner)
    ),
    max_leaves=8,
)


@given(json_values)
def test_any_json_is_read_or_refused(content: object) -> None:
    try:
        events = parse_events(orjson.dumps(content))
    except InvalidBodyError as error:
        events = ()
        assert error.faults  # noqa: PT017 - either outcome is right
    assert all(event.op for event in events)


@pytest.mark.parametrize("member", ["acl", "labels"])
def test_an_event_with_too_many_entries_is_refused_before_each_of_them_is_looked_at(member: str) -> None:
    entries: object = [1] * 100_000 if member == "acl" else {str(number): number for number in range(100_000)}
    (fault,) = faults({"op": "acl", "doc_id": "a", member: entries})
    assert (fault.event, fault.field) == (0, member)
    assert "100000 entries" in fault.detail


def test_an_event_with_too_many_members_is_refused_before_each_of_them_is_looked_at() -> None:
    (fault,) = faults({"op": "delete", "doc_id": "a"} | {f"m{number}": 1 for number in range(100_000)})
    assert (fault.event, fault.field) == (0, "")
