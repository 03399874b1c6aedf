"""The packed manifest of a document row."""

import base64
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.manifest import ChunkId, Entry, pack, unpack
from schemas.errors import BrokenIndexError

entries = st.builds(
    Entry,
    chunk_id=st.uuids().map(lambda made: ChunkId(str(made))),
    hash=st.binary(min_size=16, max_size=16).map(bytes.hex),
    page=st.none() | st.integers(1, 65_535),
    start=st.integers(0, 2**32 - 1),
    end=st.integers(0, 2**32 - 1),
    part=st.integers(0, 65_535),
    page_breaks=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 65_535)), max_size=3).map(tuple),
)


@given(st.lists(entries, max_size=40))
def test_what_was_packed_unpacks_in_order(manifest: list[Entry]) -> None:
    assert unpack(pack(manifest)) == tuple(manifest)


def test_an_empty_manifest_is_empty_text() -> None:
    assert pack([]) == ""
    assert unpack("") == ()


def test_a_chunk_takes_59_characters() -> None:
    entry = Entry(ChunkId(str(uuid.UUID(int=1))), "00" * 16, None, 0, 0)
    assert len(pack([entry] * 4000)) <= 4000 * 59


def test_a_character_is_on_the_page_that_began_before_it() -> None:
    entry = Entry(ChunkId(str(uuid.UUID(int=1))), "00" * 16, 2, 0, 90, page_breaks=((30, 3), (60, 5)))
    assert [entry.page_at(place) for place in (0, 29, 30, 59, 60, 90)] == [2, 2, 3, 3, 5, 5]


def test_a_break_of_a_chunk_that_is_not_there_is_a_broken_index() -> None:
    entry = Entry(ChunkId(str(uuid.UUID(int=1))), "00" * 16, 2, 0, 90, page_breaks=((30, 3),))
    with pytest.raises(BrokenIndexError):
        unpack("." + pack([entry]).partition(".")[2])


def test_pages_beyond_the_last_that_fits_are_that_page() -> None:
    entry = Entry(ChunkId(str(uuid.UUID(int=1))), "00" * 16, 70_000, 0, 0)
    assert unpack(pack([entry]))[0].page == 65_535


@pytest.mark.parametrize("text", ["not base64!", "QQ==", base64.b64encode(b"x" * 41).decode(), "Ünïcode", " "])
def test_what_is_not_a_manifest_is_a_broken_index(text: str) -> None:
    with pytest.raises(BrokenIndexError) as raised:
        unpack(text)
    assert "manifest" in str(raised.value)
