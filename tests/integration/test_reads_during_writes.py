"""A slice of `python -m tests.soak reads`: at no published position does a reader of the real store see two versions of
a document, miss a row, or meet one that it may not read.
"""

import uuid

import pytest

from index.model import IndexIdentity
from index.weaviate import StoreAddress, WeaviateIndex
from tests.conftest import WeaviateAddress
from tests.soak.reads import PREFIX, Place, during_writes, is_clean

pytestmark = pytest.mark.parts

READS = 1000


async def test_every_read_during_writes_is_of_one_state_whole_and_permitted(weaviate_address: WeaviateAddress) -> None:
    address = StoreAddress(weaviate_address.http, weaviate_address.grpc, weaviate_address.api_key)
    place = Place(address, IndexIdentity("g1", f"r{uuid.uuid4().hex[:8]}"))
    try:
        found = await during_writes(place, READS, seconds=200.0, readers=1, seed=1, say=print)
    finally:
        index = WeaviateIndex(place.address, place.identity, prefix=PREFIX)
        await index.drop()
        await index.close()
    assert is_clean(found), found
    assert found["reads"] == READS
