"""Reads during writes, at full speed on a Weaviate of its own: two writers commit, hide, take over and sweep without
rest while processes read; every read is checked against the state at the position it names.
"""

import asyncio
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from benchmarks.machine import load_average, machine, revision
from benchmarks.quantiles import quantiles
from index.memory_log import MemoryCommitLog
from index.model import IndexIdentity, first_head
from index.rows import Item
from index.sweeper import SweepPolicy
from index.weaviate import StoreAddress, WeaviateIndex
from index.writer import TenantWriter
from infra.local.stack import Stack
from runtime.clock import SystemClock
from runtime.settings import settings_from
from schemas.identity import Document, Tenant
from schemas.versions import Op
from tests.contract.index_rows import index_record
from tests.soak.watch import Judged, Seen, Watcher, judge, states_of, watch
from tests.unit.index.fakes import DIMENSION, SOURCE, START, doc, hide, mutation

Say = Callable[[str], None]
PREFIX = "Reads"
GROUPS = ("public", "staff", "support")
DOCUMENTS = 60
HISTORIES = {Tenant("aurora"): timedelta(hours=24), Tenant("delta"): timedelta(0)}
"""Of one what was superseded is closed, of the other it is removed."""
_AT_ONCE = 4
"""Reads under way in one process."""
_WHOLE_SHARE = 0.03
_TEXT_SHARE = 0.25
_TAKE_OVER_EVERY = 200
_SAY_READS = 5000


@dataclass(frozen=True, slots=True)
class Place:
    """A Weaviate and the index in it."""

    address: StoreAddress
    identity: IndexIdentity

    def open(self) -> WeaviateIndex:
        """Another client of it."""
        return WeaviateIndex(self.address, self.identity, prefix=PREFIX)


@dataclass
class Written:
    """What the writers did."""

    commits: int = 0
    items: int = 0
    take_overs: int = 0
    closed: int = 0
    removed: int = 0


@dataclass
class TenantWork:
    """Everything that happens to one tenant's documents, decided by dice."""

    tenant: Tenant
    dice: random.Random
    written: Written
    offset: int = 0
    log: MemoryCommitLog = field(default_factory=MemoryCommitLog)

    async def run(self, index: WeaviateIndex, until: Callable[[], bool]) -> None:
        """Commit and sweep until told to stop."""
        writer = self._writer(index)
        while not until():
            if self.dice.randrange(_TAKE_OVER_EVERY) == 0:
                writer = self._writer(index)
            batch = self._batch()
            await writer.commit(batch)
            swept = await writer.sweep(lambda: 0.05)
            self.written.commits += 1
            self.written.items += len(batch)
            self.written.closed += swept.closed
            self.written.removed += swept.removed

    def _writer(self, index: WeaviateIndex) -> TenantWriter:
        self.written.take_overs += 1
        history = HISTORIES[self.tenant]
        policy = SweepPolicy(history=lambda: history)
        return TenantWriter(index, self.log, self.tenant, SystemClock(), name="reads", sweep=policy)

    def _batch(self) -> list[Item]:
        names = self.dice.sample(range(DOCUMENTS), self.dice.choice((1, 1, 2, 4)))
        return [self._item(f"d{number}") for number in names]

    def _item(self, name: str) -> Item:
        self.offset += 1
        offset, what = self.offset, self.dice.random()
        acl = self.dice.sample(GROUPS, self.dice.choice((1, 1, 2)))
        if what < 0.1:
            return mutation(offset, name, op=Op.DELETE, tenant=self.tenant)
        if what < 0.3:
            return mutation(offset, name, op=Op.ACL, acl=acl, tenant=self.tenant)
        if what < 0.4:
            return hide(offset, name, version=offset, op=Op.ACL, acl=acl, tenant=self.tenant)
        if what < 0.45:
            return hide(offset, name, version=offset, op=Op.DELETE, tenant=self.tenant)
        edition = f"Edition {offset % 50}"
        texts = [
            f"In {edition} the basin of gate {part} holds {part * 7} cubic metres" for part in range(offset % 6 + 1)
        ]
        with_acl = acl if self.dice.random() < 0.3 else None
        return mutation(offset, name, *texts, title=edition, acl=with_acl, tenant=self.tenant)


def read_some(place: Place, reads: int, seconds: float, seed: int) -> Seen:
    """A process's reads: so many, or for so long."""
    until = time.monotonic() + seconds

    async def run() -> Seen:
        index, seen = place.open(), Seen()
        documents: list[Document] = [doc(f"d{number}", tenant) for tenant in HISTORIES for number in range(DOCUMENTS)]
        try:
            watchers = [
                Watcher(index, documents, DIMENSION, seen, random.Random(f"{seed}:{number}"), _WHOLE_SHARE, _TEXT_SHARE)
                for number in range(_AT_ONCE)
            ]
            await watch(watchers, lambda: _has(seen, reads, seed) or time.monotonic() > until)
        finally:
            await index.close()
        del seen.reads[reads:]
        return seen

    return asyncio.run(run())


def _has(seen: Seen, reads: int, seed: int) -> bool:
    """Whether it was enough; says now and then how far it is."""
    if seen.reads and len(seen.reads) % _SAY_READS == 0:
        print(f"reader {seed}: {len(seen.reads)} of {reads} reads", file=sys.stderr, flush=True)
    return len(seen.reads) >= reads


async def during_writes(
    place: Place, reads: int, seconds: float, readers: int, seed: int, say: Say
) -> Mapping[str, object]:
    """Read so often in all, or for so long, in so many processes, while both tenants are written to. Returns the
    figures, faults among them.
    """
    index, written, judged = place.open(), Written(), Judged()
    await index.create(index_record(place.identity))
    for tenant in HISTORIES:
        await index.create_tenant(first_head(tenant, START))
    stop = asyncio.Event()
    works = [TenantWork(tenant, random.Random(f"{seed}:{tenant}"), written) for tenant in HISTORIES]
    try:
        writing = [asyncio.create_task(work.run(index, stop.is_set)) for work in works]
        loop, started = asyncio.get_running_loop(), time.monotonic()
        with ProcessPoolExecutor(readers, multiprocessing.get_context("spawn")) as pool:
            share = [reads // readers + (number < reads % readers) for number in range(readers)]
            running = [
                loop.run_in_executor(pool, read_some, place, each, seconds, seed + n) for n, each in enumerate(share)
            ]
            parts = await asyncio.gather(*running)
        took = time.monotonic() - started
        stop.set()
        await asyncio.gather(*writing)
        say(f"{sum(len(part.reads) for part in parts)} reads in {took:.0f} s: comparing each")
        states = {tenant: await states_of(index, tenant, [SOURCE]) for tenant in HISTORIES}
    finally:
        await index.close()
    for part in parts:
        judge(part.reads, states, judged)
        for text in part.strange:
            judged.fault("strange", text)
    return {
        "reads": judged.reads,
        "seconds": round(took),
        "reads_per_second": round(judged.reads / took, 1),
        "read_ms": quantiles([1000 * one for part in parts for one in part.seconds]).model_dump(),
        "rows_shown": judged.rows,
        "positions_read": judged.positions,
        "unavailable": sum(part.unavailable for part in parts),
        **{kind: judged.counts[kind] for kind in ("mixed", "missing", "forbidden", "duplicates", "strange")},
        "first_faults": judged.first,
        "commits": written.commits,
        "mutations_and_hides": written.items,
        "take_overs": written.take_overs,
        "rows_closed": written.closed,
        "rows_removed": written.removed,
    }


def run(
    folder: Path, reads: int, seconds: float, readers: int, seed: int, say: Say
) -> tuple[Mapping[str, object], bool]:
    """The summary, and whether nothing was wrong."""
    with Stack(folder / ".millstream", ("weaviate",)) as stack:
        settings = settings_from(stack.environment())
        key = settings.weaviate_api_key.get_secret_value()
        place = Place(StoreAddress(settings.weaviate_http, settings.weaviate_grpc, key), IndexIdentity("g1", "reads"))
        say("Weaviate runs")
        found = asyncio.run(during_writes(place, reads, seconds, readers, seed, say))
    about = {"load_average": load_average(), "revision": revision(), "machine": machine().model_dump()}
    return {"command": f"reads --reads {reads} --readers {readers} --seed {seed}", **found, **about}, is_clean(found)


def is_clean(found: Mapping[str, object]) -> bool:
    """Whether every read was right."""
    return not any(found[kind] for kind in ("mixed", "missing", "forbidden", "duplicates", "strange"))
