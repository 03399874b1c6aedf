"""Both adapters of the versioned index, behind one fixture."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from index.memory import MemoryIndex
from index.model import IndexIdentity, first_head
from index.port import VersionedIndex
from index.weaviate import StoreAddress, WeaviateIndex
from index.weaviate.administration import Administration
from index.weaviate.schema import Collections
from schemas.identity import Tenant, tenant_name
from tests.contract.index_rows import NOW, index_record

BareShard = Callable[[], Awaitable[Tenant]]
"""Makes a tenant whose creation was cut off: a shard without head."""

OpenIndex = Callable[[str], Awaitable[VersionedIndex]]
"""Opens an index by the name of its incarnation, on the adapter under test; the same name is the same index."""

PREFIX = "Contract"
SHARED = f"c{uuid.uuid4().hex[:12]}"
"""The incarnation that all tests share, each with tenants of its own."""


@pytest.fixture(params=["memory", "weaviate"])
def store(request: pytest.FixtureRequest) -> StoreAddress | None:
    """The adapter under test: a Weaviate, or None for the twin."""
    if request.param == "memory":
        return None
    reached = request.getfixturevalue("weaviate_address")
    return StoreAddress(reached.http, reached.grpc, reached.api_key)


@pytest.fixture
async def open_index(store: StoreAddress | None) -> AsyncIterator[OpenIndex]:
    in_memory: dict[str, MemoryIndex] = {}
    async with AsyncExitStack() as stack:

        async def open_one(incarnation: str) -> VersionedIndex:
            identity = IndexIdentity("g1", incarnation)
            if store is None:
                return in_memory.setdefault(incarnation, MemoryIndex(identity))
            index = WeaviateIndex(store, identity, prefix=PREFIX, page_rows=7)
            stack.push_async_callback(index.close)
            if incarnation != SHARED:
                stack.push_async_callback(WeaviateIndex(store, identity, prefix=PREFIX).drop)
            return index

        yield open_one


@pytest.fixture
async def index(open_index: OpenIndex) -> VersionedIndex:
    """An index that was created; tests share it, so they use tenants of their own."""
    index = await open_index(SHARED)
    await index.create(index_record(index.identity))
    return index


@pytest.fixture
async def tenant(index: VersionedIndex) -> Tenant:
    """A new tenant with its first head."""
    return await new_tenant(index)


async def new_tenant(index: VersionedIndex) -> Tenant:
    """Another one."""
    tenant = tenant_name(f"t{uuid.uuid4().hex[:10]}")
    await index.create_tenant(first_head(tenant, NOW))
    return tenant


@pytest.fixture
def bare_shard(index: VersionedIndex, store: StoreAddress | None) -> BareShard:
    async def make() -> Tenant:
        tenant = tenant_name(f"b{uuid.uuid4().hex[:10]}")
        if isinstance(index, MemoryIndex):
            await index.create_tenant(first_head(tenant, NOW))
            index._shards[tenant].heads.clear()
        elif store is not None:
            collections = Collections.of(index.identity, PREFIX).of_tenants
            await Administration(store).create_shards(collections, f"t_{tenant}")
        return tenant

    return make


@pytest.fixture
def incarnation() -> str:
    """Name of an incarnation that does not exist yet."""
    return f"n{uuid.uuid4().hex[:12]}"
