"""Clearing a source: what is older than the cut goes, in a version that loses to everything newer."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.changes import Event, Receipt, append_change, change_from
from connectors.clear import (
    Clearing,
    Cut,
    Newest,
    before_offsets,
    newest_contents,
    older_than,
    told_before,
    truncated,
)
from runtime.log_port import MemoryLog, StoredRecord
from schemas.codec import decode
from schemas.errors import TransientError
from schemas.records import Coordinates, DocumentChange, Origin
from schemas.sources import SourceConfig
from schemas.topics import CHANGES
from schemas.versions import Op, Rank, Version
from tests.unit.streams.records import topics

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
WIKI = SourceConfig(name="wiki", tenant="acme", kind="webhook", default_acl=("staff",))
ERP = SourceConfig(name="erp", tenant="acme", kind="webhook", versioning="source", epoch=3)
CLEAR = Receipt(NOW, "clear/1", Origin(connector="clear", reference="clear/1"))


def receipt(event_id: str) -> Receipt:
    return Receipt(NOW, event_id, Origin(connector="webhook", reference=event_id))


class Shop:
    """A log with changes of several sources."""

    def __init__(self, log: MemoryLog | None = None) -> None:
        self.log = log or MemoryLog()

    async def post(self, source: SourceConfig, *events: Event) -> None:
        for number, event in enumerate(events):
            await append_change(self.log, topics(), change_from(event, source, receipt(f"e{number}"), 1000))

    def clearing(self, source: SourceConfig) -> Clearing:
        return Clearing(source, lambda: list(self.log.records(CHANGES)), self.log, topics())

    def present(self, source: SourceConfig) -> set[str]:
        newest = newest_contents(self.log.records(CHANGES), source.source)
        return {document.doc_id for document, content in newest.items() if content.op is Op.UPSERT}

    def ends(self) -> dict[int, int]:
        ends: dict[int, int] = {}
        for record in self.log.records(CHANGES):
            ends[record.coordinates.partition] = record.coordinates.offset + 1
        return ends


def upsert(doc: str, version: int | None = None, acl: tuple[str, ...] | None = None) -> Event:
    return Event(Op.UPSERT, doc, version=version, body=b"text", acl=acl)


async def test_every_document_of_the_source_goes_and_others_stay() -> None:
    shop = Shop()
    await shop.post(WIKI, upsert("a", acl=("hr",)), upsert("b#1"), upsert("c/wiki/d"), Event(Op.DELETE, "b#1"))
    await shop.post(ERP, upsert("a", 7))
    cut = before_offsets(WIKI.epoch, shop.ends())
    assert await shop.clearing(WIKI).count(cut) == 2
    assert await shop.clearing(WIKI).once(cut, CLEAR) == 2
    assert shop.present(WIKI) == set()
    assert shop.present(ERP) == {"a"}
    assert await shop.clearing(WIKI).once(cut, CLEAR) == 0


async def test_what_is_written_after_the_clear_began_stays() -> None:
    shop = Shop()
    await shop.post(WIKI, upsert("a"), upsert("b"))
    cut = before_offsets(WIKI.epoch, shop.ends())
    await shop.post(WIKI, upsert("a"))
    assert await shop.clearing(WIKI).once(cut, CLEAR) == 1
    assert shop.present(WIKI) == {"a"}


async def test_a_source_that_states_versions_is_cleared_below_one() -> None:
    shop = Shop()
    await shop.post(ERP, upsert("a", 5), upsert("b", 9), upsert("c", 8))
    cut = truncated(Version(3, 8, Rank.DELETE))
    assert await shop.clearing(ERP).once(cut, CLEAR) == 2
    assert shop.present(ERP) == {"b"}
    await shop.post(ERP, upsert("a", 6))
    assert shop.present(ERP) == {"b"}
    await shop.post(ERP, upsert("a", 9))
    assert shop.present(ERP) == {"a", "b"}


async def test_a_delete_says_whose_it_is_and_keeps_the_acl() -> None:
    shop = Shop()
    await shop.post(WIKI, upsert("a", acl=("hr",)))
    await shop.clearing(WIKI).once(before_offsets(WIKI.epoch, shop.ends()), CLEAR)
    *_, record = shop.log.records(CHANGES)
    change = decode(record.value or b"", DocumentChange)
    assert (change.op, change.event_id, change.acl, change.default_acl) == (Op.DELETE, "clear/1", None, ("staff",))
    assert record.key == "acme/wiki/a"


async def test_a_failed_append_is_raised_after_the_others_and_the_clear_may_run_again() -> None:
    failing = {"acme/wiki/a"}
    log = MemoryLog(refuse=lambda _topic, key: TransientError("down") if key in failing else None)
    shop = Shop(log)
    failing.clear()
    await shop.post(WIKI, upsert("a"), upsert("b"))
    failing.add("acme/wiki/a")
    cut = before_offsets(WIKI.epoch, shop.ends())
    with pytest.raises(TransientError):
        await shop.clearing(WIKI).once(cut, CLEAR)
    assert shop.present(WIKI) == {"a"}
    failing.clear()
    assert await shop.clearing(WIKI).once(cut, CLEAR) == 1


def test_a_record_without_headers_is_read_by_its_body_and_nonsense_is_passed_by() -> None:
    at = Coordinates(topic=CHANGES, partition=0, offset=4)
    change = change_from(upsert("a"), WIKI, receipt("e"), 1000)
    from schemas.codec import encode

    records = [
        StoredRecord(at, "acme/wiki/a", encode(change)),
        StoredRecord(at, "acme/wiki/b", b"nonsense"),
        StoredRecord(at, "wiki/", b""),
        StoredRecord(at, None, b""),
    ]
    (newest,) = newest_contents(records, WIKI.source).values()
    assert newest == Newest(Version(1, 4, Rank.UPSERT), Op.UPSERT, "e", 0)


def test_records_read_are_told_now_and_then() -> None:
    at = Coordinates(topic=CHANGES, partition=0, offset=0)
    told: list[int] = []
    newest_contents([StoredRecord(at, None, None)] * 2500, WIKI.source, told.append)
    assert told == [1000, 1000]


def content(version: Version, event_id: str = "e") -> Newest:
    return Newest(version, Op.UPSERT, event_id, 0)


VERSIONS = st.builds(Version, st.integers(1, 3), st.integers(1, 50), st.sampled_from([0, 4, 8]))
CUTS: list[Callable[[Version], Cut]] = [
    older_than,
    lambda at: truncated(Version(at.epoch, at.sequence, at.rank + Rank.DELETE)),
]


@pytest.mark.parametrize("make", CUTS)
@given(VERSIONS, VERSIONS)
@example(Version(1, 1, 4), Version(1, 1, 0))
def test_a_delete_beats_what_it_deletes_and_loses_to_what_stays(
    make: Callable[[Version], Cut], cut: Version, version: Version
) -> None:
    if make is older_than:
        cut = Version(cut.epoch, cut.sequence, Rank.UPSERT)
    stated = make(cut)(content(version))
    if stated is None:
        assert version >= cut
        return
    deleted = stated.at(0)
    assert version < deleted or version.sequence == cut.sequence - 1
    assert all(deleted < Version(cut.epoch, cut.sequence + more, Rank.UPSERT) for more in (1, 2))


def test_what_stands_at_a_snapshot_may_still_come_after_its_clear() -> None:
    stated = older_than(Version(1, 799, Rank.UPSERT))(content(Version(1, 776, Rank.UPSERT)))
    assert stated is not None
    assert Version(1, 776, Rank.UPSERT) < stated.at(0) < Version(1, 799, Rank.UPSERT)


def test_an_empty_snapshot_spares_what_was_told_after_it() -> None:
    cut = told_before(Coordinates(topic="cdc.wiki", partition=0, offset=10))
    told = {"cdc.wiki/0/9": True, "cdc.wiki/0/10": False, "cdc.wiki/0/11": False, "clear/1": True, "cdc.x/0/11": True}
    assert {name: cut(content(Version(1, 80, 4), name)) is not None for name in told} == told
    stated = cut(content(Version(1, 80, 4), "cdc.wiki/0/9"))
    assert stated is not None
    assert Version(1, 80, 4) < stated.at(0) < Version(1, 80, 8)
