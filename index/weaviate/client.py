"""Carries messages to Weaviate and back: a time budget and a breaker for reads, neither for writes; what errors mean.

Straight gRPC on the official client's published messages, because the client's own calls retry: an insert repeated
under the same ids is the vector hole (design §5), and a read of a dead server comes back after a minute. The store's
own error texts may quote document text: they are read here, and never passed on nor logged.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

import grpc  # type: ignore[import-untyped]
from weaviate.proto.v1 import (
    aggregate_pb2,
    batch_delete_pb2,
    batch_pb2,
    health_weaviate_pb2,
    search_get_pb2,
    tenants_pb2,
    weaviate_pb2_grpc,
)

from index.weaviate.breaker import Breaker
from index.weaviate.messages import batch_request, delete_request, found, search_request
from index.weaviate.query import Found, Query, Row
from schemas.errors import AmbiguousWriteError, ConfigError, PermanentError, TransientError, UnknownTenantError

WRITE_SECONDS = 600.0
"""Far beyond any insert that still runs; the server's own limit on a write."""
MAX_MESSAGE_BYTES = 104_858_000
_HEALTH_SECONDS = 2.0

_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    # A half-open connection ends in minutes instead of never; the server takes no pings closer than five minutes.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # How long connecting may take: with less than the store's first answer takes, no connection ever comes about.
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

# What the server says of a row that no retry can help (usecases/objects/validation, adapters/repos/db/vector).
_REFUSALS = ("no such prop", "invalid ", "vector dimensions", "new node has a vector with length")

T = TypeVar("T")


class NoCollectionError(TransientError):
    """The index was never created in this store."""


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a Weaviate listens, `host:port` each; `api_key` is a secret."""

    http: str
    grpc: str
    api_key: str = field(repr=False)
    secure: bool = False


class _Rpc(Protocol):
    """The gRPC calls in use; the generated stub has no types."""

    def Search(
        self, request: search_get_pb2.SearchRequest, *, metadata: "_Metadata", timeout: float
    ) -> Awaitable[search_get_pb2.SearchReply]: ...

    def Aggregate(
        self, request: aggregate_pb2.AggregateRequest, *, metadata: "_Metadata", timeout: float
    ) -> Awaitable[aggregate_pb2.AggregateReply]: ...

    def BatchObjects(
        self, request: batch_pb2.BatchObjectsRequest, *, metadata: "_Metadata", timeout: float
    ) -> Awaitable[batch_pb2.BatchObjectsReply]: ...

    def BatchDelete(
        self, request: batch_delete_pb2.BatchDeleteRequest, *, metadata: "_Metadata", timeout: float
    ) -> Awaitable[batch_delete_pb2.BatchDeleteReply]: ...

    def TenantsGet(
        self, request: tenants_pb2.TenantsGetRequest, *, metadata: "_Metadata", timeout: float
    ) -> Awaitable[tenants_pb2.TenantsGetReply]: ...


_Metadata = tuple[tuple[str, str], ...]


class Client:
    """One gRPC channel, opened at the first call in the running event loop."""

    def __init__(
        self, address: StoreAddress, *, read_seconds: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._address = address
        self._read_seconds = read_seconds
        self._now = now
        self._metadata: _Metadata = (("authorization", f"Bearer {address.api_key}"),)
        self._breaker = Breaker()
        self._channel: grpc.aio.Channel | None = None
        self._rpc: _Rpc | None = None
        self._watch: asyncio.Task[None] | None = None
        self._writes: set[asyncio.Task[None]] = set()
        self._closed = False
        self.connection = 0
        """How often the connection was lost: a store that restarts closes it."""

    async def search(self, query: Query) -> list[Found]:
        """Rows a query finds. Raises UnknownTenantError, NoCollectionError, ConfigError, TransientError."""
        rpc = self._open_for_reading()
        call = rpc.Search(search_request(query), metadata=self._metadata, timeout=self._read_seconds)
        return found(await self._read(call))

    async def count(self, collection: str, tenant: str) -> int:
        """How many rows a tenant has. Raises as `search`."""
        rpc = self._open_for_reading()
        request = aggregate_pb2.AggregateRequest(collection=collection, tenant=tenant, objects_count=True)
        reply = await self._read(rpc.Aggregate(request, metadata=self._metadata, timeout=self._read_seconds))
        return int(reply.single_result.objects_count)

    async def tenants(self, collection: str) -> frozenset[str]:
        """Names of a collection's tenants. Raises as `search`."""
        rpc = self._open_for_reading()
        request = tenants_pb2.TenantsGetRequest(collection=collection)
        reply = await self._read(rpc.TenantsGet(request, metadata=self._metadata, timeout=self._read_seconds))
        return frozenset(tenant.name for tenant in reply.tenants)

    async def write(self, collection: str, tenant: str | None, rows: Sequence[Row]) -> None:
        """Insert rows, or replace those whose ids exist, in one message; goes on to its end if the caller is cancelled.

        Raises PermanentError for a row the store refuses, UnknownTenantError, ConfigError, AmbiguousWriteError.
        """
        await self._to_its_end(self._write(collection, tenant, rows))

    async def delete(self, collection: str, tenant: str | None, ids: Sequence[str]) -> None:
        """Remove rows by id, absent ones are fine; goes on to its end if the caller is cancelled. Raises as `write`."""
        await self._to_its_end(self._delete(collection, tenant, ids))

    async def _to_its_end(self, work: Coroutine[None, None, None]) -> None:
        """Writes are never cancelled: whoever waits may be, the write goes on."""
        task = asyncio.create_task(work)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            task.exception()
            raise cancelled
        task.result()

    async def ready(self) -> bool:
        """Whether the store serves; never raises."""
        try:
            self._open()
            assert self._channel is not None
            check = self._channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_weaviate_pb2.WeaviateHealthCheckRequest.SerializeToString,
                response_deserializer=health_weaviate_pb2.WeaviateHealthCheckResponse.FromString,
            )
            reply = await check(health_weaviate_pb2.WeaviateHealthCheckRequest(), timeout=_HEALTH_SECONDS)
        except (grpc.aio.AioRpcError, TransientError):
            return False
        return bool(reply.status == health_weaviate_pb2.WeaviateHealthCheckResponse.SERVING)

    async def close(self) -> None:
        """Let running writes end, then close; every call after raises TransientError."""
        self._closed = True
        if self._writes:
            await asyncio.wait(self._writes)
        if self._channel is not None:
            if self._watch is not None:
                self._watch.cancel()
            await self._channel.close()
            self._channel = self._rpc = None

    def _open(self) -> _Rpc:
        if self._closed:
            raise TransientError("this connection to the index is closed")
        if self._rpc is None:
            options = _CHANNEL_OPTIONS
            if self._address.secure:
                credentials = grpc.ssl_channel_credentials()
                self._channel = grpc.aio.secure_channel(self._address.grpc, credentials, options)
            else:
                self._channel = grpc.aio.insecure_channel(self._address.grpc, options)
            self._rpc = cast(_Rpc, weaviate_pb2_grpc.WeaviateStub(self._channel))  # type: ignore[no-untyped-call]
            self._watch = asyncio.create_task(self._count_losses(self._channel))
        return self._rpc

    async def _count_losses(self, channel: grpc.aio.Channel) -> None:
        state = channel.get_state()
        while state is not grpc.ChannelConnectivity.SHUTDOWN:
            await channel.wait_for_state_change(state)
            if state is grpc.ChannelConnectivity.READY:
                self.connection += 1
            state = channel.get_state()

    def _open_for_reading(self) -> _Rpc:
        if not self._breaker.admits(self._now()):
            raise TransientError("Weaviate does not answer; reads of it pause for a second")
        return self._open()

    async def _read(self, call: Awaitable[T]) -> T:
        try:
            reply = await call
        except grpc.aio.AioRpcError as error:
            raise self._read_failure(error) from None
        self._breaker.succeeded()
        return reply

    def _read_failure(self, error: grpc.aio.AioRpcError) -> Exception:
        code = error.code()
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            self._breaker.failed(self._now())
            return TransientError(f"Weaviate does not answer ({code.name.lower()})")
        self._breaker.succeeded()
        return _known_failure(error) or TransientError(f"Weaviate could not answer a read ({code.name.lower()})")

    async def _write(self, collection: str, tenant: str | None, rows: Sequence[Row]) -> None:
        rpc = self._open()
        try:
            request = batch_request(collection, tenant, rows)
        except UnicodeEncodeError:
            raise PermanentError("a row holds text that is not Unicode", reason="refused_row") from None
        try:
            reply = await rpc.BatchObjects(request, metadata=self._metadata, timeout=WRITE_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _unconfirmed(error) from None
        if reply.errors:
            raise _refusal([error.error for error in reply.errors], len(rows))

    async def _delete(self, collection: str, tenant: str | None, ids: Sequence[str]) -> None:
        request = delete_request(collection, tenant, ids)
        try:
            reply = await self._open().BatchDelete(request, metadata=self._metadata, timeout=WRITE_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _unconfirmed(error) from None
        if reply.failed:
            raise AmbiguousWriteError(f"Weaviate did not remove {reply.failed} of {len(ids)} rows")


def _unconfirmed(error: grpc.aio.AioRpcError) -> Exception:
    """What a failed write means: a certain failure, or an unknown outcome."""
    return _known_failure(error) or AmbiguousWriteError(
        f"Weaviate did not confirm a write ({error.code().name.lower()})"
    )


def _known_failure(error: grpc.aio.AioRpcError) -> Exception | None:
    """Failures whose outcome is certain: nothing was read or written."""
    details = error.details() or ""
    if "tenant not found" in details:
        return _unknown_tenant()
    if "could not find class" in details or "class not found" in details:
        return _no_collection()
    code = error.code()
    unauthorized = code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    if unauthorized or details.startswith("extract auth"):
        return ConfigError("Weaviate refuses the API key: check MILLSTREAM_WEAVIATE_API_KEY")
    return None


def _refusal(errors: Sequence[str], rows: int) -> Exception:
    """What per-row errors mean together: one unknown outcome makes the whole write ambiguous."""
    counted = f"{len(errors)} of {rows} rows"
    if all("tenant not found" in error for error in errors):
        return _unknown_tenant()
    if all("not present in schema" in error for error in errors):
        return _no_collection()
    if all(any(known in error for known in _REFUSALS) for error in errors):
        return PermanentError(f"Weaviate refuses {counted}: not what the index was created for", reason="refused_row")
    return AmbiguousWriteError(f"Weaviate did not store {counted}")


def _unknown_tenant() -> UnknownTenantError:
    return UnknownTenantError("the index has no such tenant: run `millstream source apply`")


def _no_collection() -> NoCollectionError:
    return NoCollectionError("this Weaviate has no such index yet: run `millstream up`")
