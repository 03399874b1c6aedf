"""What a run came to: everything compared, everything counted, one JSON object."""

import asyncio
import json
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.machine import load_average, machine, revision
from index.groups import apply_group, hides_group
from index.model import IndexIdentity
from index.weaviate import open_index
from runtime.kafka import KafkaAdmin, read_topic
from schemas.codec import decode, decode_any
from schemas.errors import TransientError
from schemas.headers import AGAIN
from schemas.identity import Source, Tenant
from schemas.records import DeadLetter, DocumentChange, TakeOver
from schemas.topics import CHANGES, COMMITS, DLQ, HIDES, mutations_topic
from streams.groups import HIDE_GROUP, prepare_group
from tests.acceptance.index_check import Checked, Kind, StoreKills, checked_index
from tests.acceptance.installation import MILLSTREAM, eventually
from tests.soak.kills import STAGES, Kill, Killer
from tests.soak.scene import TABLE, Scene
from tests.soak.watch import Judged, Seen, States, judge, states_of
from tests.soak.writers import LAST_ROW, POISON, RowWriter, WebhookWriter

Writers = Sequence[WebhookWriter | RowWriter]


def settle(scene: Scene, seconds: float = 3600.0) -> float:
    """Wait until everything in the log is applied, the captured table's last row included; how long it took."""
    started = time.monotonic()
    eventually("the last row is captured", lambda: _has_last_row(scene), seconds)
    waiting, quiet = waiting_in(scene), 0

    def is_settled() -> bool:
        nonlocal quiet
        quiet = 0 if waiting() != 0 else quiet + 1
        return quiet >= 10

    eventually("everything is applied", is_settled, seconds)
    return time.monotonic() - started


def waiting_in(scene: Scene) -> Callable[[], int | None]:
    """Tells how many records no stage has acknowledged; None while Kafka does not say."""
    settings = scene.installation.settings
    identity = IndexIdentity(settings.generation, settings.incarnation)
    groups = {
        f"millstream.capture.{TABLE}": f"cdc.{TABLE}",
        HIDE_GROUP: CHANGES,
        prepare_group(settings.generation): CHANGES,
        apply_group(identity): mutations_topic(settings.generation),
        hides_group(identity): HIDES,
    }
    admin = KafkaAdmin(settings)

    def waiting() -> int | None:
        try:
            return sum(sum(admin.lag(group, topic).values()) for group, topic in groups.items())
        except TransientError:
            return None

    return waiting


def _has_last_row(scene: Scene) -> bool:
    try:
        records = read_topic(scene.installation.settings, CHANGES)
        return any(decode(record.value or b"", DocumentChange).doc_id == str(LAST_ROW) for record in records)
    except TransientError:
        return False


def compared(scene: Scene, writers: Writers, kills: StoreKills) -> Checked:
    """The whole index of every tenant against the log and against what was acknowledged. `kills` of the store excuse
    vectors that it lost.
    """
    settings, all_of = scene.installation.settings, Checked()

    async def each_tenant() -> list[Checked]:
        found = []
        for tenant in sorted({writer.tenant for writer in writers}):
            written = [each for writer in writers if writer.tenant == tenant for each in writer.documents()]
            found.append(await checked_index(settings, Tenant(tenant), written, kills))
        return found

    for found in asyncio.run(each_tenant()):
        all_of.documents += found.documents
        all_of.rows += found.rows
        all_of.chunks += found.chunks
        all_of.faults += found.faults
        all_of.excused += found.excused
    return all_of


def audited(scene: Scene) -> dict[str, object]:
    """What the auditor says of the whole index, and what it had to repair: vectors that a killed store had lost."""
    command = [str(MILLSTREAM), "audit", "--repair", "--json"]
    installation = scene.installation
    done = subprocess.run(
        command, cwd=installation.folder, env=dict(installation.environ), capture_output=True, check=False, timeout=600
    )
    if done.returncode not in (0, 1) or not done.stdout:
        return {"left": 1, "error": done.stderr.decode()[-300:]}
    told = json.loads(done.stdout)
    found = Counter(str(one["kind"]) for one in told["findings"])
    return {"found": dict(found), "repaired": told["repaired"], "left": told["left"], "seconds": told["seconds"]}


def again(scene: Scene) -> dict[str, int]:
    """Changes that were appended again during the run, by why."""
    records = read_topic(scene.installation.settings, CHANGES)
    marks = [value.decode() for record in records for name, value in record.headers if name == AGAIN]
    return dict(Counter(marks))


def lost_events(scene: Scene, writers: Writers) -> list[str]:
    """Acknowledged webhook events that are not in documents.changes."""
    told = {
        decode(record.value or b"", DocumentChange).actor for record in read_topic(scene.installation.settings, CHANGES)
    }
    return sorted(
        actor for writer in writers if isinstance(writer, WebhookWriter) for actor in writer.actors if actor not in told
    )


def letters(scene: Scene) -> Counter[str]:
    """Dead letters by stage and reason, each input once."""
    found = {}
    for record in read_topic(scene.installation.settings, DLQ):
        letter = decode(record.value or b"", DeadLetter)
        found[str(letter.origin)] = f"{letter.stage}:{letter.reason}"
    return Counter(found.values())


def letter_faults(scene: Scene) -> list[str]:
    """Unreadable documents without a dead letter, and dead letters of anything else."""
    settings = scene.installation.settings
    changes = read_topic(settings, CHANGES)
    poison = {str(record.coordinates) for record in changes if POISON.encode() in (record.value or b"")}
    dead = {str(decode(record.value or b"", DeadLetter).origin) for record in read_topic(settings, DLQ)}
    return [f"{at} has no letter" for at in sorted(poison - dead)] + [f"{at} has one" for at in sorted(dead - poison)]


def take_over_seconds(scene: Scene, troubles: Sequence[Kill]) -> list[float]:
    """See `waits`, from the run's own index.commits."""
    ends = [(one.at, one.pid) for one in troubles if one.process in _WRITES]
    records = (decode_any(stored.value or b"") for stored in read_topic(scene.installation.settings, COMMITS))
    taken = [
        (one.at.timestamp(), str(one.tenant), int(one.writer.rpartition("/")[2]))
        for one in records
        if isinstance(one, TakeOver)
    ]
    return waits(sorted(ends), sorted(taken))


def waits(ends: Sequence[tuple[float, int]], taken: Sequence[tuple[float, str, int]]) -> list[float]:
    """From each end of a writer (when, process), by death or sleep, to the first take-over (when, tenant, process) of a
    tenant that it had. What else ends before, a writer, the store or Kafka, begins the wait anew.
    """
    seconds = []
    for end, process in ends:
        owners = {tenant: owner for at, tenant, owner in taken if at < end}
        had = {tenant for tenant, owner in owners.items() if owner == process}
        after = next((at for at, tenant, _ in taken if at > end and tenant in had), None)
        if after is not None:
            seconds.append(after - max(at for at, _ in ends if end <= at < after))
    return seconds


_WRITES = ("apply", "beside apply", "weaviate", "kafka")


@dataclass(frozen=True, slots=True)
class Compared:
    """The index as the run left it, what the auditor said of it, and the index after that."""

    before: Checked
    audit: Mapping[str, object]
    after: Checked


def compared_twice(scene: Scene, writers: Writers, kills: StoreKills, say: Callable[[str], None]) -> Compared:
    """Before the auditor only what a killed store may lose is excused, after it nothing is."""
    before = compared(scene, writers, kills)
    say(f"{len(before.faults)} differences: asking the auditor")
    audit = audited(scene)
    settle(scene)
    say("comparing again")
    return Compared(before, audit, compared(scene, writers, StoreKills()))


def summary(
    scene: Scene, writers: Writers, killer: Killer, seen: Seen, found: Compared, seconds: float
) -> Mapping[str, object]:
    """One JSON object."""
    checked = found.before
    faults = [*checked.faults, *found.after.faults]
    counted = Counter(fault.kind for fault in faults)
    taken = sorted(take_over_seconds(scene, [*killer.kills, *killer.stops]))
    events = sum(writer.acknowledged for writer in writers)
    return {
        "seconds": round(seconds),
        "events": events,
        "acknowledged_and_lost": lost_events(scene, writers),
        "kills": len(killer.kills),
        "stops": len(killer.stops),
        "kills_by_process": dict(sorted(Counter(kill.process for kill in killer.kills).items())),
        "kills_by_point": _by_point(killer.kills),
        "stops_by_point": _by_point(killer.stops),
        "least_kills_of_a_point": least(killer.kills),
        "least_times_of_a_point": least([*killer.kills, *killer.stops]),
        "documents": checked.documents,
        "document_rows": checked.rows,
        "live_chunks": checked.chunks,
        "differences": len(faults),
        "differences_by_kind": {kind.value: counted[kind] for kind in Kind},
        "first_differences": [fault.text for fault in faults[:10]],
        "vector_entries_lost_by_a_killed_store": len(checked.excused),
        "audit": found.audit,
        "appended_again": again(scene),
        "reads": _reads(seen, judged_reads(scene, writers, seen, killer.store_kills)),
        "dead_letters": dict(letters(scene)),
        "dead_letter_faults": letter_faults(scene)[:10],
        "take_over_seconds": _quantiles(taken),
        "processes_given_up": scene.failed(),
        "troubles": killer.troubles[:5],
        "load_average": load_average(),
        "revision": revision(),
        "machine": machine().model_dump(),
    }


def _by_point(kills: Sequence[Kill]) -> dict[str, int]:
    return dict(sorted(Counter(f"{kill.process}@{kill.point}" for kill in kills).items()))


def least(kills: Sequence[Kill]) -> int:
    """How often the point that was met least was met."""
    counted = Counter((kill.process, kill.point) for kill in kills)
    return min(counted[process, point] for process, points in STAGES.items() for point in points)


def judged_reads(scene: Scene, writers: Writers, seen: Seen, kills: StoreKills) -> Judged:
    """Every read of the run against the document rows of all time; `kills` of the store excuse vectors that it lost."""
    judged = Judged()

    async def states() -> dict[Tenant, States]:
        index = open_index(scene.installation.settings)
        try:
            return {
                tenant: await states_of(index, tenant, [Source(one.source) for one in writers if one.tenant == tenant])
                for tenant in {Tenant(writer.tenant) for writer in writers}
            }
        finally:
            await index.close()

    judge(seen.reads, asyncio.run(states()), judged, kills.explain_read)
    for text in seen.strange:
        judged.fault("strange", text)
    return judged


def _reads(seen: Seen, judged: Judged) -> dict[str, object]:
    return {
        "reads": judged.reads,
        "unavailable": seen.unavailable,
        "faults": dict(judged.counts),
        "first_faults": judged.first[:5],
        "positions": judged.positions,
        "excused": judged.excused,
        "ms": _quantiles([1000 * one for one in seen.seconds]),
    }


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {"count": 0}
    ordered = sorted(values)
    return {
        "count": len(ordered),
        "p50": round(statistics.median(ordered), 2),
        "p99": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 2),
        "max": round(ordered[-1], 2),
    }


def is_clean(outcome: Mapping[str, object]) -> bool:
    """Whether nothing was wrong."""
    reads = outcome["reads"]
    assert isinstance(reads, dict)
    faults = ("differences", "acknowledged_and_lost", "dead_letter_faults", "processes_given_up")
    audit = outcome["audit"]
    assert isinstance(audit, dict)
    return not reads["faults"] and not audit["left"] and not any(outcome[name] for name in faults)
