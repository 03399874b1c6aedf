"""The pure pieces of the Weaviate adapter: when reads fail at once, how rows are cut into messages, what legs ask."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.model import OPEN
from index.port import LegFilter
from index.weaviate.breaker import FAILURES, PAUSE_SECONDS, Breaker
from index.weaviate.legs import batches, leg_conditions
from index.weaviate.query import Condition, Operator, Row
from index.weaviate.rows import document_of_key, microseconds
from schemas.errors import InvalidNameError
from schemas.identity import Document, Source, Tenant


def test_the_breaker_opens_after_failures_in_a_row() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed(0.0)
    breaker.succeeded()
    for _ in range(FAILURES):
        assert breaker.admits(0.0)
        breaker.failed(0.0)
    assert not breaker.admits(0.0)


def test_an_open_breaker_lets_one_probe_through_a_pause() -> None:
    breaker = _open_at(10.0)
    assert not breaker.admits(10.0 + PAUSE_SECONDS - 0.01)
    assert breaker.admits(10.0 + PAUSE_SECONDS)
    assert not breaker.admits(10.0 + PAUSE_SECONDS)
    assert breaker.admits(10.0 + 2 * PAUSE_SECONDS)


def test_a_probe_decides_whether_the_breaker_closes() -> None:
    breaker = _open_at(10.0)
    assert breaker.admits(12.0)
    breaker.failed(12.0)
    assert not breaker.admits(12.5)
    assert breaker.admits(14.0)
    breaker.succeeded()
    assert all(breaker.admits(14.0) for _ in range(5))


def _open_at(now: float) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(now)
    return breaker


@given(st.lists(st.integers(0, 60), max_size=40), st.integers(1, 9), st.integers(1, 300))
def test_batches_hold_all_rows_in_order_within_their_limits(sizes: list[int], max_rows: int, max_bytes: int) -> None:
    rows = [Row(str(number), {}, vector=b"x" * size) for number, size in enumerate(sizes)]
    cut = list(batches(rows, max_rows=max_rows, max_bytes=max_bytes))
    assert [row for batch in cut for row in batch] == rows
    for batch in cut:
        assert 0 < len(batch) <= max_rows
        assert len(batch) == 1 or sum(len(row.vector or b"") for row in batch) <= max_bytes


def test_the_text_of_a_row_counts_for_its_batch() -> None:
    rows = [Row(str(number), {"text": "ü" * 100, "acl": ("public",) * 3}) for number in range(3)]
    assert [len(batch) for batch in batches(rows, max_bytes=500)] == [1, 1, 1]


def test_a_leg_always_asks_for_its_position_and_its_principals() -> None:
    asked = leg_conditions(LegFilter(at=7, principals=frozenset({"b", "a"})))
    assert asked == (
        Condition("from_seq", Operator.AT_MOST, 7),
        Condition("to_seq", Operator.ABOVE, 7),
        Condition("acl", Operator.ANY_OF, ("a", "b")),
    )


def test_no_list_of_a_leg_is_empty() -> None:
    where = LegFilter(
        at=1, principals=frozenset({"a"}), sources=(), labels=("x=y",), after=datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert all(condition.value != () for condition in leg_conditions(where))


@given(st.text(min_size=1, max_size=20))
def test_a_stored_key_is_the_document_it_was_made_of(doc_id: str) -> None:
    try:
        document = Document.checked("acme", "docs", doc_id)
    except InvalidNameError:
        return
    assert document_of_key(document.key) == document


def test_a_doc_id_may_look_like_an_escape() -> None:
    for doc_id in ("%23", "%2523", "%25", "#", "%#acl", "a#acl"):
        document = Document.checked("acme", "docs", doc_id)
        assert document_of_key(document.key) == document


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1),
        (datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC), 1_772_366_400_000_001),
        (datetime(9999, 12, 31, tzinfo=UTC), OPEN),
        (datetime(1, 1, 1, tzinfo=UTC), -OPEN),
    ],
)
def test_times_are_microseconds_that_a_double_holds(time: datetime, expected: int) -> None:
    assert microseconds(time) == expected
    assert int(float(expected)) == expected


def test_a_document_of_a_source_with_slashes_in_its_name_reads_back() -> None:
    document = Document(Tenant("acme"), Source("docs"), Document.checked("acme", "docs", "a/b/c").doc_id)
    assert document_of_key(document.key).doc_id == "a/b/c"
