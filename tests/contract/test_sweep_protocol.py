"""The sweep on each adapter, beside reads: at head, and of history while its rows are being closed and removed."""

import asyncio
from datetime import timedelta

import pytest

from index.memory_log import MemoryCommitLog
from index.port import DeadRows, VersionedIndex
from index.reader import Reader
from index.sweeper import SweepPolicy
from index.writer import TenantWriter
from runtime.clock import SystemClock
from schemas.errors import AmbiguousWriteError
from schemas.identity import Tenant
from tests.unit.index.fakes import CutOff, Tapped, mutation, question, states, writer_on

_DOCUMENTS, _VERSIONS, _CHUNKS = 12, 6, 5
_SECONDS = 0.2
"""In place of 2 L: no read here takes as long."""


def _writer(index: VersionedIndex, tenant: Tenant, keeps: timedelta, log: MemoryCommitLog) -> TenantWriter:
    policy = SweepPolicy(history=lambda: keeps, wait_seconds=_SECONDS, gap_seconds=0.01, rows=32)
    return TenantWriter(index, log, tenant, SystemClock(), name="w", sweep=policy)


async def _write(writer: TenantWriter, tenant: Tenant) -> None:
    for version in range(_VERSIONS):
        await writer.commit(
            [
                mutation(
                    version * _DOCUMENTS + number,
                    f"d{number}",
                    *(f"tea {number} {version if place % 2 else 0} {place}" for place in range(_CHUNKS)),
                    tenant=tenant,
                )
                for number in range(_DOCUMENTS)
            ]
        )


async def _sweep_all(writer: TenantWriter, reader: Reader, tenant: Tenant) -> None:
    async with asyncio.timeout(60):
        while (head := (await reader.position(tenant)).head).swept_seq < head.seq:
            await asyncio.sleep(min(0.05, (await writer.sweep()).next_in))


async def test_reads_of_history_and_at_head_miss_nothing_while_rows_are_closed(
    index: VersionedIndex, tenant: Tenant
) -> None:
    writer, reader = _writer(index, tenant, timedelta(hours=1), MemoryCommitLog()), Reader(index, SystemClock())
    await _write(writer, tenant)
    published = await reader.position(tenant)
    wanted = {seq: await states(index, published, seq) for seq in range(0, published.seq + 1, _DOCUMENTS)}
    await asyncio.sleep(_SECONDS)
    sweeping = asyncio.create_task(_sweep_all(writer, reader, tenant))
    reads = 0
    while not sweeping.done():
        seq = list(wanted)[reads % len(wanted)]
        found = await reader.retrieve(question("tea", tenant=tenant, as_of=seq, leg_size=200))
        listed = {hit.chunk_id for hit in found.vector}
        assert len(listed) == sum(len(state.texts) for state in wanted[seq].values()), f"at {seq}"
        assert len(await reader.texts(tenant, listed)) == len(listed)
        reads += 1
    await sweeping
    assert reads > 0
    again = await reader.position(tenant)
    assert {seq: await states(index, again, seq) for seq in wanted} == wanted
    closed = await index.closed_chunks(tenant, at_most=again.seq, limit=1000)
    assert len(closed) == (_VERSIONS - 1) * _DOCUMENTS * (_CHUNKS // 2)
    places = await index.places(tenant, after=0, at_most=again.seq)
    still_open = await index.open_places({place.document for place in places}, at_most=again.seq)
    assert (len(places), len(still_open)) == (_DOCUMENTS * _VERSIONS, _DOCUMENTS)


async def test_without_history_nothing_superseded_stays_and_what_a_dead_writer_left_goes(
    index: VersionedIndex, tenant: Tenant
) -> None:
    log = MemoryCommitLog()
    cut_off = Tapped(index, CutOff("insert_documents"))
    with pytest.raises(AmbiguousWriteError):
        await writer_on(cut_off, log, tenant=tenant).commit([mutation(900, "d0", "never seen", tenant=tenant)])
    writer, reader = _writer(index, tenant, timedelta(0), log), Reader(index, SystemClock())
    await _write(writer, tenant)
    await _sweep_all(writer, reader, tenant)
    head = (await reader.position(tenant)).head
    assert head.history_from == head.seq
    everything = DeadRows(0, 2**40, -1)
    assert len(await index.dead_chunks(tenant, everything, limit=1000)) == _DOCUMENTS * _CHUNKS
    assert len(await index.dead_documents(tenant, everything, limit=1000)) == _DOCUMENTS * _VERSIONS
