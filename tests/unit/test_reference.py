"""The serial reference, by example: what other tests compare whole indexes with."""

from itertools import permutations

from index.model import ContentState
from schemas.records import Coordinates, DocumentChange
from schemas.topics import CHANGES
from schemas.versions import Op, StatedVersion, Version
from tests.reference import Expected, Logged, reference
from tests.unit.streams.records import change


def at(offset: int, record: DocumentChange) -> Logged:
    return Logged(record, Coordinates(topic=CHANGES, partition=0, offset=offset))


def upsert(sequence: int | None, body: str, acl: tuple[str, ...] | None = None) -> DocumentChange:
    return change(sequence=sequence, body=body.encode(), acl=acl)


def of_one(*changes: DocumentChange) -> Expected:
    (found,) = reference(at(offset, record) for offset, record in enumerate(changes)).values()
    return found


def test_the_highest_version_counts_in_any_order_and_however_often() -> None:
    changes = [at(number, upsert(number, f"edition {number}")) for number in range(4)]
    for order in permutations(changes + changes[:1]):
        (found,) = reference(order).values()
        assert (found.body, found.content_version) == (b"edition 3", Version(1, 3, 0))


def test_without_a_version_the_log_is_the_order() -> None:
    assert of_one(upsert(None, "first"), upsert(None, "second")).body == b"second"


def test_of_equal_versions_the_first_in_the_log_is_kept() -> None:
    one, other = at(3, upsert(7, "first")), at(4, upsert(7, "second"))
    assert [found.body for found in reference([other, one]).values()] == [b"first"]


def test_a_delete_keeps_the_acl_and_stays_whatever_comes_late() -> None:
    found = of_one(upsert(1, "text", ("hr",)), change(Op.DELETE, sequence=3), upsert(2, "late"))
    assert (found.content, found.acl, found.is_tombstone) == (ContentState.DELETED, frozenset({"hr"}), True)


def test_the_default_acl_applies_only_where_none_was_ever_set() -> None:
    assert of_one(upsert(1, "text")).acl == {"staff"}
    assert of_one(change(Op.ACL, acl=(), sequence=0), upsert(1, "text")).acl == frozenset()
    assert of_one(change(Op.ACL, acl=("hr",), sequence=0)).content is ContentState.ABSENT


def test_registers_are_independent() -> None:
    found = of_one(upsert(5, "new"), change(Op.ACL, acl=("hr",), sequence=9), upsert(3, "old", ("board",)))
    assert (found.body, found.acl) == (b"new", frozenset({"hr"}))
    assert (found.content_version, found.acl_version) == (Version(1, 5, 0), Version(1, 9, 1))


def test_at_one_sequence_an_erasure_outranks_a_delete_an_acl_and_an_upsert() -> None:
    changes = [change(Op.ERASE, sequence=1), change(Op.DELETE, sequence=1), upsert(1, "text")]
    assert of_one(*changes).content_version == Version(1, 1, 3)
    assert of_one(*reversed(changes)).content_version == Version(1, 1, 3)


def test_a_later_epoch_outranks_every_sequence() -> None:
    later = upsert(1, "restored").model_copy(update={"version": StatedVersion(2, 0, 0)})
    assert of_one(later, upsert(900, "before")).body == b"restored"


def test_a_copy_of_an_acl_and_what_says_nothing_change_nothing() -> None:
    first = upsert(None, "text", ("hr",))
    assert of_one(first, first.acl_copy(0)) == of_one(first)
    assert of_one(first, change(body=None), change(Op.ACL)) == of_one(first)
