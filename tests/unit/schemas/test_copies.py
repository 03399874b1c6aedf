"""Copies of changes: the same change under the same key, in the version its first place gave it."""

import pytest

from schemas.codec import decode, encode
from schemas.copies import copied, copy_of
from schemas.errors import DecodeError
from schemas.headers import Again, stated_again, stated_change
from schemas.records import Coordinates, DocumentChange
from schemas.topics import CHANGES
from schemas.versions import Op, StatedVersion
from tests.unit.streams.records import change

PLACE = Coordinates(topic=CHANGES, partition=3, offset=41)


@pytest.mark.parametrize("op", [Op.UPSERT, Op.DELETE])
def test_a_copy_differs_from_its_change_in_the_version_written_in_alone(op: Op) -> None:
    record = change(op, acl=None, body=b"text" if op is Op.UPSERT else None)
    copy = copy_of(encode(record), PLACE, Again.HEALED)
    found = decode(copy.value, DocumentChange)
    assert found == record.model_copy(update={"version": record.version.fixed_at(41)})
    assert (copy.topic, copy.partition, copy.key) == (CHANGES, 3, record.key)
    assert stated_again(copy.headers) is Again.HEALED
    assert stated_change(copy.headers).version == found.version == StatedVersion(1, 41, found.version.rank)


def test_a_copy_of_a_copy_keeps_the_version() -> None:
    once = copy_of(encode(change()), PLACE, Again.REPAIR)
    later = PLACE.model_copy(update={"offset": 99})
    assert copy_of(once.value, later, Again.REPAIR) == once


def test_the_acl_of_a_change_is_copied_under_its_own_key() -> None:
    record = change(acl=("staff",))
    copy = copied(record.acl_copy(41), PLACE, Again.HEALED)
    found = decode(copy.value, DocumentChange)
    assert (copy.key, found.op, found.acl) == (record.document.acl_key, Op.ACL, ("staff",))
    assert found.version == record.version.fixed_at(41), "the rank of the change it came with"


def test_what_is_no_change_has_no_copy() -> None:
    with pytest.raises(DecodeError):
        copy_of(b"nothing", PLACE)
