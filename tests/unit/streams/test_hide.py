"""The stage `hide`: what it passes on, what it leaves out and why that is safe, and what it cannot read."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from runtime.clock import ManualClock
from runtime.log_port import MemoryLog
from runtime.metrics import RECORDS, Metrics
from schemas.codec import decode
from schemas.errors import TransientError
from schemas.headers import headers_of, stated_change
from schemas.records import Coordinates, DocumentChange, Hide
from schemas.topics import CHANGES, HIDES
from schemas.versions import RANKS, Op, StatedVersion, Version
from streams.agents import hide_agent
from streams.core.hides import LastAcls, hide_of
from streams.hide import Hider, LeftOut, Sent, TakesNothing, Unreadable
from streams.journal import Journal
from streams.window import Delivery, Lease
from tests.unit.streams.records import AT, change, document, topics

NOW = ManualClock().now()


def delivery(record: DocumentChange, offset: int = 0) -> Delivery:
    """A change as documents.changes delivers it; its body is never looked at."""
    partition = topics().partition(CHANGES, document=record.document)
    at = Coordinates(topic=CHANGES, partition=partition, offset=offset)
    return Delivery(at, record.key.encode(), b"no schema decodes this", headers_of(record))


def acl(sequence: int, *principals: str, doc: str = "a") -> Hide:
    """A hide with these principals."""
    stated = stated_change(headers_of(change(Op.ACL, doc=doc, acl=principals, sequence=sequence)))
    at = Coordinates(topic=CHANGES, partition=0, offset=sequence)
    made = hide_of(document(doc), stated, at, AT)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("op", "acl", "deleted", "carried"),
    [
        (Op.DELETE, None, True, None),
        (Op.ERASE, None, True, None),
        (Op.DELETE, ("staff",), True, ("staff",)),
        (Op.ACL, ("staff",), False, ("staff",)),
        (Op.ACL, (), False, ()),
        (Op.UPSERT, ("staff",), False, ("staff",)),
    ],
)
def test_what_a_change_takes_away(
    op: Op, acl: tuple[str, ...] | None, deleted: bool, carried: tuple[str, ...] | None
) -> None:
    at = Coordinates(topic=CHANGES, partition=3, offset=12)
    hide = hide_of(document("a"), stated_change(headers_of(change(op, doc="a", acl=acl))), at, NOW)
    assert hide is not None
    assert (hide.deleted, hide.acl, hide.version) == (deleted, carried, Version(1, 12, RANKS[op]))
    assert (hide.change, hide.received_at, hide.prepared_at) == (at, AT, NOW)
    assert hide.op is (Op.ACL if op is Op.UPSERT else op)


def test_an_upsert_that_keeps_the_acl_takes_nothing_away() -> None:
    at = Coordinates(topic=CHANGES, partition=3, offset=12)
    assert hide_of(document("a"), stated_change(headers_of(change(doc="a"))), at, NOW) is None


def test_an_equal_newer_acl_is_left_out_and_one_that_comes_back_is_not() -> None:
    """A, A, B, A."""
    acls = LastAcls()
    sent = [acls.choose(acl(n, who)) for n, who in enumerate(("staff", "staff", "board", "staff"))]
    assert [hide and hide.version.sequence for hide in sent] == [0, None, 2, 3]


def test_an_older_acl_is_left_out_and_brings_back_a_newer_one_that_was_left_out() -> None:
    acls = LastAcls()
    assert acls.choose(acl(5, "staff")) is not None
    assert acls.choose(acl(3, "board")) is None, "the index has a newer one"
    assert acls.choose(acl(8, "staff")) is None
    brought_back = acls.choose(acl(6, "board"))
    assert brought_back == acl(8, "staff"), "should 8 become a dead letter, 6 would be in force"
    assert acls.choose(acl(7, "board")) is None


def test_deletes_are_always_sent_and_do_not_touch_the_last_acl() -> None:
    acls = LastAcls()
    acls.choose(acl(1, "staff"))
    delete = acl(2, "staff").model_copy(update={"deleted": True, "acl": None})
    assert acls.choose(delete) == delete
    assert acls.choose(delete) == delete
    assert acls.choose(acl(3, "staff")) is None


def test_what_is_forgotten_is_sent_again() -> None:
    acls = LastAcls(room=2)
    for doc in "abc":
        assert acls.choose(acl(1, "staff", doc=doc)) is not None
    assert acls.choose(acl(2, "staff", doc="c")) is None
    assert acls.choose(acl(2, "staff", doc="a")) is not None, "there was no room for it"
    acls.forget(document("c"))
    assert acls.choose(acl(3, "staff", doc="c")) is not None


async def test_a_change_and_its_copy_are_one_hide_under_the_documents_key_in_the_tenants_partition() -> None:
    log = MemoryLog()
    hider, lease = Hider(log, topics(), ManualClock()), Lease()
    record = change(acl=("staff",))
    first = await hider.pass_on(delivery(record, 4), lease)
    assert isinstance(first, Sent)
    assert await hider.pass_on(delivery(record.acl_copy(4), 5), lease) == LeftOut()
    assert await hider.pass_on(delivery(change(), 6), lease) == TakesNothing()
    (stored,) = log.records(HIDES, topics().partition(HIDES, tenant=record.tenant))
    assert stored.key == record.document.key
    sent = decode(stored.value or b"", Hide)
    assert (sent.version, sent.acl, sent.origin) == (Version(1, 4, 0), ("staff",), record.origin)
    assert first == Sent(sent, stored.coordinates)


async def test_a_new_lease_remembers_nothing() -> None:
    """Another process may have seen an acl of the document meanwhile."""
    hider = Hider(MemoryLog(), topics(), ManualClock())
    first, second = Lease(), Lease()
    assert isinstance(await hider.pass_on(delivery(change(Op.ACL, acl=("staff",)), 1), first), Sent)
    assert await hider.pass_on(delivery(change(Op.ACL, acl=("staff",)), 2), first) == LeftOut()
    assert isinstance(await hider.pass_on(delivery(change(Op.ACL, acl=("staff",)), 9), second), Sent)


async def test_what_cannot_be_read_is_left_to_prepare_and_nothing_is_left_out_after_it() -> None:
    hider, lease = Hider(MemoryLog(), topics(), ManualClock()), Lease()
    record = change(Op.ACL, acl=("staff",))
    good = delivery(record, 1)
    assert isinstance(await hider.pass_on(good, lease), Sent)
    misplaced = good.coordinates.model_copy(update={"partition": (good.coordinates.partition + 1) % 8})
    for broken in (
        replace(good, headers=()),
        replace(good, key=b"nonsense"),
        replace(good, key=None),
        replace(good, coordinates=misplaced),
    ):
        assert await hider.pass_on(broken, lease) == Unreadable()
    assert isinstance(await hider.pass_on(delivery(record, 7), lease), Sent), "what was unreadable may have been an acl"


async def test_a_hide_that_the_log_does_not_acknowledge_is_not_passed_on() -> None:
    hider = Hider(MemoryLog(refuse=lambda *_: TransientError("no broker")), topics(), ManualClock())
    with pytest.raises(TransientError):
        await hider.pass_on(delivery(change(Op.DELETE)), Lease())


def test_a_hide_keeps_a_stated_version() -> None:
    record = change(Op.DELETE, sequence=77)
    at = Coordinates(topic=CHANGES, partition=0, offset=3)
    hide = hide_of(record.document, stated_change(headers_of(record)), at, AT)
    assert hide is not None
    assert hide.version == StatedVersion(1, 77, 2).at(0)


async def test_every_change_is_counted_and_only_one_that_takes_something_away_is_logged() -> None:
    """A backlog of upserts passes at three times the speed without a line each; `prepare` leaves one anyway."""
    metrics, clock = Metrics(), ManualClock()
    work = hide_agent(Hider(MemoryLog(), topics(), clock), Journal("hide", metrics, clock))
    with capture_logs() as lines:
        for offset, record in enumerate((change(), change(Op.DELETE), change(Op.ACL, acl=("staff",)))):
            await work(delivery(record, offset), Lease())
    assert [(line["outcome"], line["op"]) for line in lines] == [("sent", "delete"), ("sent", "acl")]
    assert metrics.value(RECORDS, stage="hide", outcome="takes_nothing") == 1
    assert metrics.value(RECORDS, stage="hide", outcome="sent") == 2
