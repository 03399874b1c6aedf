"""What WeaviateIndex makes of a store that is not there, refuses its key or breaks off: errors that say so, no text."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from index.model import IndexIdentity, first_head
from index.weaviate import StoreAddress, WeaviateIndex
from index.weaviate.breaker import FAILURES
from index.weaviate.newest import NewestRows
from schemas.errors import AmbiguousWriteError, ConfigError, PermanentError, TransientError
from schemas.identity import Tenant
from tests.conftest import WeaviateAddress
from tests.contract.index_rows import NOW, SECRET, chunk_row, document, document_row, everyone, index_record, vector

ACME = Tenant("acme")


@pytest.fixture
def silent_port() -> Iterator[str]:
    """An address that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed_port() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@asynccontextmanager
async def opened(address: str, read_seconds: float = 5.0) -> AsyncIterator[WeaviateIndex]:
    """An index at this address."""
    store = StoreAddress(http="127.0.0.1:1", grpc=address, api_key="a-key")
    index = WeaviateIndex(store, IndexIdentity("g1", "i1"), read_seconds=read_seconds)
    try:
        yield index
    finally:
        await index.close()


async def test_reads_of_a_store_that_is_not_there_are_transient(closed_port: str) -> None:
    async with opened(closed_port) as index:
        with pytest.raises(TransientError):
            await index.heads(ACME)
        with pytest.raises(TransientError):
            await index.vector_leg(ACME, vector(1.0), everyone(), 5)
        with pytest.raises(TransientError):
            await index.record()
        assert not await index.ready()


async def test_a_read_that_gets_no_answer_ends_with_its_budget(silent_port: str) -> None:
    async with opened(silent_port, read_seconds=0.05) as index:
        with pytest.raises(TransientError):
            await index.heads(ACME)


async def test_after_failures_in_a_row_reads_fail_without_being_sent(closed_port: str) -> None:
    async with opened(closed_port) as index:
        for _ in range(FAILURES):
            with pytest.raises(TransientError, match="does not answer"):
                await index.heads(ACME)
        with pytest.raises(TransientError, match="pause"):
            await index.heads(ACME)


async def test_a_write_to_a_store_that_is_not_there_is_ambiguous_and_still_tried(closed_port: str) -> None:
    async with opened(closed_port) as index:
        for _ in range(FAILURES + 2):
            with pytest.raises(AmbiguousWriteError):
                await index.insert_documents(ACME, [document_row(document(ACME), 1)])


async def test_creation_in_a_store_that_is_not_there_is_transient(closed_port: str) -> None:
    async with opened(closed_port) as index:
        with pytest.raises(TransientError):
            await index.create(index_record(index.identity))
        with pytest.raises(TransientError):
            await index.create_tenant(first_head(ACME, NOW))


@pytest.mark.parametrize("http", ["localhost", "127.0.0.1:http", "127.0.0.1:5", ""])
async def test_an_address_that_is_none_is_a_configuration_error(http: str) -> None:
    store = StoreAddress(http=http, grpc="127.0.0.1:5", api_key="a-key")
    index = WeaviateIndex(store, IndexIdentity("g1", "i1"))
    with pytest.raises(ConfigError, match="host:port"):
        await index.create_tenant(first_head(ACME, NOW))
    await index.close()


@pytest.fixture
async def real(weaviate_address: WeaviateAddress) -> AsyncIterator[WeaviateIndex]:
    """An index in the run's Weaviate, with one tenant."""
    store = StoreAddress(weaviate_address.http, weaviate_address.grpc, weaviate_address.api_key)
    index = WeaviateIndex(store, IndexIdentity("g1", f"f{uuid.uuid4().hex[:12]}"), prefix="Failures")
    await index.create(index_record(index.identity))
    await index.create_tenant(first_head(ACME, NOW))
    yield index
    await index.close()
    again = WeaviateIndex(store, index.identity, prefix="Failures")
    await again.drop()
    await again.close()


async def test_a_refused_api_key_is_a_configuration_error(weaviate_address: WeaviateAddress) -> None:
    wrong = StoreAddress(weaviate_address.http, weaviate_address.grpc, api_key="not-the-key")
    index = WeaviateIndex(wrong, IndexIdentity("g1", "i1"))
    for refused in (
        index.record(),
        index.heads(ACME),
        index.put_head(first_head(ACME, NOW)),
        index.create_tenant(first_head(ACME, NOW)),
    ):
        with pytest.raises(ConfigError, match="API key") as raised:
            await refused
        assert "not-the-key" not in str(raised.value)
    await index.close()


async def test_text_that_is_not_unicode_is_refused_without_it(real: WeaviateIndex) -> None:
    of = document(ACME)
    for write in (
        real.insert_chunks(ACME, [chunk_row(of, text=f"{SECRET} \ud800")]),
        real.insert_documents(ACME, [document_row(of, 1, title=f"{SECRET} \ud800")]),
    ):
        with pytest.raises(PermanentError) as raised:
            await write
        assert SECRET not in str(raised.value)


async def test_closing_lets_a_running_write_end(real: WeaviateIndex) -> None:
    writing = asyncio.create_task(real.insert_documents(ACME, [document_row(document(ACME), 1)]))
    await asyncio.sleep(0.001)
    await real.close()
    await writing


async def test_decoded_rows_are_forgotten_when_there_is_no_room(real: WeaviateIndex) -> None:
    documents = [document(ACME, f"doc {number}") for number in range(12)]
    rows = {of: (document_row(of, number + 1),) for number, of in enumerate(documents)}
    await real.insert_documents(ACME, [row for (row,) in rows.values()])
    newest = NewestRows(real._client, real._names.document, room=40)
    for _ in range(3):
        assert await newest.read("t_acme", documents, 99) == rows
        assert newest._used <= 40
