"""Creates collections and tenants through Weaviate's official client, which is open only while it does.

The client's start-up checks are skipped: one of them asks a package registry for a newer version.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
from weaviate import WeaviateAsyncClient
from weaviate.auth import Auth
from weaviate.classes.config import (
    Configure,
    DataType,
    Property,
    StopwordsPreset,
    Tokenization,
    VectorDistances,
)
from weaviate.classes.init import AdditionalConfig, Timeout
from weaviate.classes.tenants import Tenant as Shard
from weaviate.connect import ConnectionParams
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateBaseError

from index.weaviate.client import StoreAddress
from index.weaviate.messages import VECTOR
from index.weaviate.query import Kind, Shape
from schemas.errors import ConfigError, TransientError

# It logs rows that a batch refused, text and all.
logging.getLogger("weaviate-client").setLevel(logging.CRITICAL + 1)

_SECONDS = 60


_FLAT_SEARCH_ROWS = 4_000
"""Up to so many rows that pass the filters are compared one by one, more through the graph. The server's own 40,000
took 9.7 ms of CPU a question over 20,000 rows; through the graph it is 3.2 ms, with 99.6 % of the same 24 rows.
"""


class Administration:
    """What a store's owner may do; readers never need it."""

    def __init__(self, address: StoreAddress) -> None:
        self._address = address

    async def create_collections(self, shapes: Sequence[Shape]) -> None:
        """Create those that do not exist, in order. Raises ConfigError, TransientError."""
        async with self._open() as client:
            for shape in shapes:
                try:
                    await _create(client, shape)
                except UnexpectedStatusCodeError:
                    if not await client.collections.exists(shape.name):
                        raise

    async def create_shards(self, collections: Sequence[str], tenant: str) -> None:
        """Give a tenant its shard in each collection, in order; an existing one stays. Raises as above."""
        async with self._open() as client:
            for collection in collections:
                await client.collections.use(collection).tenants.create([Shard(name=tenant)])

    async def drop_collections(self, collections: Sequence[str]) -> None:
        """Drop collections with all their rows. Raises ConfigError, TransientError."""
        async with self._open() as client:
            await client.collections.delete(list(collections))

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[WeaviateAsyncClient]:
        client = WeaviateAsyncClient(
            connection_params=_connection(self._address),
            auth_client_secret=Auth.api_key(self._address.api_key),
            additional_config=AdditionalConfig(timeout=Timeout(init=_SECONDS, query=_SECONDS, insert=_SECONDS)),
            skip_init_checks=True,
        )
        try:
            await client.connect()
            yield client
        except UnexpectedStatusCodeError as error:
            raise _refused(error.status_code) from None
        except (WeaviateBaseError, httpx.HTTPError):
            raise TransientError("Weaviate does not answer") from None
        finally:
            await client.close()


def _refused(status: int) -> Exception:
    if status in (401, 403):
        return ConfigError("Weaviate refuses the API key: check MILLSTREAM_WEAVIATE_API_KEY")
    return TransientError(f"Weaviate could not change its collections (HTTP {status})")


def _connection(address: StoreAddress) -> ConnectionParams:
    http_host, _, http_port = address.http.rpartition(":")
    grpc_host, _, grpc_port = address.grpc.rpartition(":")
    try:
        return ConnectionParams.from_params(
            http_host=http_host,
            http_port=int(http_port),
            http_secure=address.secure,
            grpc_host=grpc_host,
            grpc_port=int(grpc_port),
            grpc_secure=address.secure,
        )
    except ValueError:
        raise ConfigError("MILLSTREAM_WEAVIATE_HTTP and MILLSTREAM_WEAVIATE_GRPC are host:port, two ports") from None


async def _create(client: WeaviateAsyncClient, shape: Shape) -> None:
    index = Configure.VectorIndex
    await client.collections.create(
        shape.name,
        properties=[_property(name, kind) for name, kind in shape.properties.items()],
        vector_config=Configure.Vectors.self_provided(
            name=VECTOR,
            vector_index_config=index.hnsw(
                distance_metric=VectorDistances.COSINE,
                # Scores are thresholds' raw cosines: without this, servers quantise by default.
                quantizer=index.Quantizer.none(),
                flat_search_cutoff=_FLAT_SEARCH_ROWS,
            )
            if shape.vectors
            else index.none(),
        ),
        inverted_index_config=Configure.inverted_index(
            index_timestamps=False,
            index_property_length=False,
            index_null_state=False,
            stopwords_preset=StopwordsPreset.EN,
        ),
        multi_tenancy_config=Configure.multi_tenancy(
            enabled=shape.tenants, auto_tenant_creation=False, auto_tenant_activation=False
        ),
        replication_config=Configure.replication(factor=1),
    )


def _property(name: str, kind: Kind) -> Property:
    match kind:
        case Kind.WORDS | Kind.WORD_LISTS:
            return Property(
                name=name,
                data_type=DataType.TEXT if kind is Kind.WORDS else DataType.TEXT_ARRAY,
                tokenization=Tokenization.WORD,
                index_filterable=False,
                index_searchable=True,
            )
        case Kind.NAME | Kind.NAMES:
            return Property(
                name=name,
                data_type=DataType.TEXT if kind is Kind.NAME else DataType.TEXT_ARRAY,
                tokenization=Tokenization.FIELD,
                index_filterable=True,
                index_searchable=False,
            )
        case Kind.NUMBER | Kind.COUNT:
            return Property(
                name=name,
                data_type=DataType.INT,
                index_filterable=False,
                index_range_filters=kind is Kind.NUMBER,
            )
        case Kind.PAYLOAD | Kind.PAYLOADS:
            return Property(
                name=name,
                data_type=DataType.TEXT if kind is Kind.PAYLOAD else DataType.TEXT_ARRAY,
                tokenization=Tokenization.FIELD,
                index_filterable=False,
                index_searchable=False,
            )
