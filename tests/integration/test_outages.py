"""Kafka and Weaviate away, hanging, read-only: what users are told meanwhile, and that everything catches up.

The parts are the real ones. Hanging is SIGSTOP, away SIGKILL; every request has a client that waits no longer than the
budget. Afterwards the whole index equals the serial reference, nothing is a dead letter, and no stage was ended.
"""

import asyncio
import json
import math
import os
import resource
import shutil
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest

from cli.rebuilding import Watched, rebuild, retire
from index.model import IndexIdentity
from index.reader import Reader
from index.weaviate import open_index
from index.weaviate.schema import Collections
from infra.local.children import Command
from infra.local.parts import Place
from infra.local.stack import Stack
from infra.local.weaviate import Weaviate
from runtime.clock import SystemClock
from runtime.metrics import Metrics
from runtime.settings import Settings
from schemas.errors import TransientError
from schemas.topics import CHANGES
from streams.agents import add_agent
from streams.app import build_app
from streams.core.progress import Limits
from streams.process import StageProcess, StuckError
from streams.window import Delivery, Lease, Window
from tests.integration.outage_site import Site, running_site
from tests.integration.streams_bench import TENANT, StageRun, eventually

pytestmark = [pytest.mark.parts, pytest.mark.timeout(280)]


@pytest.fixture(scope="module")
def site(
    parts: Stack, stack_environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with running_site(stack_environment, tmp_path_factory.mktemp("outages"), parts) as started:
        yield started


def test_while_the_store_hangs_everything_is_refused_in_time_and_afterwards_caught_up(site: Site) -> None:
    store_away(site, hangs=True, seconds=4)


@pytest.mark.soak
def test_while_the_store_is_away_everything_is_refused_in_time_and_afterwards_caught_up(site: Site) -> None:
    store_away(site, hangs=False, seconds=3)


def store_away(site: Site, *, hangs: bool, seconds: float) -> None:
    name = "hang" if hangs else "away"
    pids = site.pids()
    site.say(f"{name}/kept", f"The {name} gate is painted green.")
    site.say(f"{name}/gone", f"The {name} gate is closed at seven.")
    site.until("it is answerable", f"{name}/gone", 200)
    site.until("it is answerable", f"{name}/kept", 200)
    question = f"Which colour is the {name} gate painted?"
    assert "green" in str(site.ask(question).body["answer"])
    assert site.ask(question).body["cached"] == "exact"
    site.stack.kill("weaviate", signal.SIGSTOP if hangs else signal.SIGKILL)
    began = time.monotonic()
    try:
        for reply in (site.ask(question), site.document(f"{name}/kept"), site.ask("Who holds the key?")):
            assert (reply.status, reply.headers["Retry-After"]) == (503, "1"), "not even what the cache holds"
        site.say(f"{name}/kept", f"The {name} gate is painted blue.")
        site.say(f"{name}/new", f"The {name} gate has a lamp.")
        site.say(f"{name}/gone", op="delete")
        eventually("the API says so", lambda: site.ready("api").status == 503, 15)
        assert site.ready("ingest").status == 200
        eventually("apply says that it waits", lambda: not site.stages["apply"].ready(), 15)
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    finally:
        if hangs:
            site.stack.kill("weaviate", signal.SIGCONT)
        else:
            site.stack.restart("weaviate")
    site.until_settled()
    assert "blue" in str(site.ask(question).body["answer"])
    assert site.document(f"{name}/gone").status == 404
    eventually("the API is ready", lambda: site.ready("api").status == 200)
    assert site.pids() == pids, "a stage was ended"


def test_a_store_that_is_read_only_answers_on_and_takes_everything_afterwards(site: Site) -> None:
    pids = site.pids()
    site.say("readonly/kept", "The lower lock is closed on Mondays.")
    site.until("it is answerable", "readonly/kept", 200)
    set_shards(site.settings, "READONLY")
    try:
        site.say("readonly/kept", "The lower lock is closed on Fridays.")
        site.say("readonly/new", "The upper lock has two gates.")
        eventually("apply says that it waits", lambda: not site.stages["apply"].ready(), 15)
        answer = site.ask("When is the lower lock closed?")
        assert (answer.status, "Mondays" in str(answer.body["answer"])) == (200, True)
    finally:
        set_shards(site.settings, "READY")
    site.until_settled()
    assert "Fridays" in str(site.ask("When is the lower lock closed?").body["answer"])
    assert site.pids() == pids, "a stage was ended"


def test_a_store_that_is_slow_answers_or_refuses_in_time_and_loses_nothing(site: Site) -> None:
    pids = site.pids()
    site.say("slow/kept", "The ferry to the island leaves at ten.")
    site.until("it is answerable", "slow/kept", 200)
    question = "When does the ferry to the island leave?"
    try:
        statuses = set[int]()
        for seconds in (0.2, 3.0):
            site.line.seconds = seconds
            site.say("slow/kept", f"The ferry to the island leaves at {seconds} hours past noon.")
            replies = site.ask(question, cache="bypass"), site.document("slow/kept")
            statuses |= {reply.status for reply in replies}
        assert statuses == {200, 503}
    finally:
        site.line.seconds = 0.0
    site.until_settled()
    assert "3.0 hours" in str(site.ask(question).body["answer"])
    assert site.pids() == pids, "a stage was ended"


def set_shards(settings: Settings, status: str) -> None:
    """What an operator does, or the server itself when its disk is nearly full."""
    names = Collections.of(IndexIdentity(settings.generation, settings.incarnation), "Ms")
    for collection in (names.chunk, names.document, names.head):
        request = urllib.request.Request(
            f"http://{settings.weaviate_http}/v1/schema/{collection}/shards/t_{TENANT}",
            data=json.dumps({"status": status}).encode(),
            headers={
                "Authorization": f"Bearer {settings.weaviate_api_key.get_secret_value()}",
                "Content-Type": "application/json",
            },
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200


@pytest.mark.soak
def test_a_store_put_back_from_a_backup_shows_nothing_old_and_gets_everything_again(site: Site, tmp_path: Path) -> None:
    data, backup = Place.under(site.stack.profile.state_dir, "weaviate").data, tmp_path / "backup"
    site.say("backup/kept", "The harbour bell rings at six.")
    site.say("backup/gone", "The harbour gate has a bell.")
    site.until("it is answerable", "backup/kept", 200)
    site.until("it is answerable", "backup/gone", 200)
    with stopped(site, "weaviate"):
        shutil.copytree(data, backup)
    site.say("backup/kept", "The harbour bell rings at nine.")
    site.say("backup/gone", op="delete")
    site.say("backup/new", "The harbour lamp is red.")
    site.until_settled()
    eventually("the API has found the store again", lambda: site.ready("api").status == 200)
    question = "When does the harbour bell ring?"
    assert "nine" in str(site.ask(question).body["answer"])
    assert site.ask(question).body["cached"] == "exact"
    with stopped(site, "weaviate"):
        shutil.rmtree(data)
        shutil.copytree(backup, data)
    deadline, refused = time.monotonic() + 60, 0
    while time.monotonic() < deadline and (refused == 0 or site.ready("api").status != 200 or site.differences()):
        site.keep("apply")
        answer, gone = site.ask(question), site.document("backup/gone")
        refused += answer.status == 503
        assert answer.status == 503 or "nine" in str(answer.body["answer"]), "an answer of the backup"
        assert gone.status in {503, 404}, "a document that was deleted is back"
    site.until_settled()
    assert refused
    site.keep("apply")
    site.stages["apply"].until_ready()
    assert "nine" in str(site.ask(question).body["answer"])
    assert site.ask(question, as_of=1).body["refusal"]["reason"] == "history_unavailable"  # type: ignore[index]


@contextmanager
def stopped(site: Site, part: str) -> Iterator[None]:
    """A part is down within `with`, in good order."""
    site.stack.parts[part].stop()
    try:
        yield
    finally:
        site.stack.restart(part)


def test_while_kafka_hangs_questions_are_answered_and_senders_told_to_come_again(site: Site) -> None:
    kafka_away(site, "kafka-hang", hangs=True, seconds=0)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "away"])
def test_an_outage_of_more_than_a_minute_is_an_outage_and_nothing_else(site: Site, hangs: bool) -> None:
    store_away(site, hangs=hangs, seconds=75)
    kafka_away(site, f"kafka-minute-{hangs}", hangs=hangs, seconds=75)


@pytest.mark.soak
def test_a_store_whose_disk_is_full_answers_on_and_takes_everything_when_there_is_room_again(
    site: Site, tmp_path: Path
) -> None:
    disk = os.statvfs(tmp_path)
    used = 100 * (disk.f_blocks - disk.f_bfree) / disk.f_blocks
    limit = math.floor(used) + 1
    running, part = site.stack.parts["weaviate"], site.stack.parts["weaviate"].part
    assert isinstance(part, Weaviate)
    with stopped(site, "weaviate"):
        running.part = NearlyFull(**{one.name: getattr(part, one.name) for one in fields(part)}, limit=limit)
    site.say("full/kept", "The quay crane lifts two tons.")
    site.until("it is answerable", "full/kept", 200)
    pids, filler = site.pids(), tmp_path / "filler"
    try:
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, math.ceil((limit - used + 0.2) / 100 * disk.f_blocks * disk.f_frsize))
        time.sleep(2)  # the server looks twice a second
        site.say("full/kept", "The quay crane lifts nine tons.")
        eventually("apply says that it waits", lambda: not site.stages["apply"].ready(), 20)
        assert "two tons" in str(site.ask("How much does the quay crane lift?").body["answer"])
    finally:
        filler.unlink()
    site.until_settled()
    assert "nine tons" in str(site.ask("How much does the quay crane lift?").body["answer"])
    assert site.pids() == pids, "a stage was ended"
    with stopped(site, "weaviate"):
        running.part = part


@dataclass(frozen=True)
class NearlyFull(Weaviate):
    """A Weaviate that takes no writes where more than `limit` per cent of its disk are used."""

    limit: int = 98

    def command(self) -> Command:
        plain = Weaviate.command(self)
        return replace(plain, environment={**plain.environment, "DISK_USE_READONLY_PERCENTAGE": str(self.limit)})


def kafka_away(site: Site, name: str, *, hangs: bool, seconds: float) -> None:
    site.say(f"{name}/kept", f"The {name} pump runs at night.")
    site.until("it is answerable", f"{name}/kept", 200)
    question = f"When does the {name} pump run?"
    site.stack.kill("kafka", signal.SIGSTOP if hangs else signal.SIGKILL)
    site.stages["hide"].kill()
    site.keep("hide")  # it begins while Kafka is away
    pids = site.pids()
    try:
        began = time.monotonic()
        with pytest.raises(TransientError, match="503"):  # 10 s later, so the API has had time to miss the brokers, too
            site.say(f"{name}/kept", f"The {name} pump runs at noon.")
        answer = site.ask(question)
        assert (answer.status, "night" in str(answer.body["answer"])) == (200, True)
        assert site.ready("api").status == 200
        assert site.ready("ingest").status == 503
        while time.monotonic() - began < seconds:
            assert site.ask(question, cache="bypass").status == 200
            time.sleep(1)
    finally:
        if hangs:
            site.stack.kill("kafka", signal.SIGCONT)
        else:
            site.stack.restart("kafka")
    for stage in site.stages:  # one whose record was not acknowledged for 30 s has ended
        site.keep(stage)
    eventually("the receiver takes it", lambda: is_taken(site, f"{name}/kept", f"The {name} pump runs at noon."))
    site.say(f"{name}/gone", op="delete")
    site.until_settled()
    assert "noon" in str(site.ask(question).body["answer"])
    if seconds < 20:
        assert site.pids() == pids, "a stage was ended"


@pytest.mark.soak
def test_a_kafka_that_answers_in_fits_and_starts_loses_nothing(site: Site) -> None:
    site.say("fits/kept", "The slipway is greased in spring.")
    site.until("it is answerable", "fits/kept", 200)
    taken, stop = list[str](), threading.Event()

    def stutter() -> None:
        while not stop.is_set():
            site.stack.kill("kafka", signal.SIGSTOP)
            time.sleep(0.7)
            site.stack.kill("kafka", signal.SIGCONT)
            time.sleep(0.1)

    with ThreadPoolExecutor(1) as pool:
        stuttering = pool.submit(stutter)
        try:
            for number in range(8):
                answer = site.ask("When is the slipway greased?", cache="bypass")
                assert (answer.status, "spring" in str(answer.body["answer"])) == (200, True)
                if is_taken(site, f"fits/{number}", f"Boat {number} is on the slipway."):
                    taken.append(f"fits/{number}")
        finally:
            stop.set()
            stuttering.result()
    for stage in site.stages:
        site.keep(stage)
    assert taken, "it takes them, slowly"
    site.until_settled()
    for name in taken:
        site.until("what was taken is answerable", name, 200)


@pytest.mark.soak
def test_a_kafka_whose_disk_is_full_takes_nothing_it_cannot_keep(site: Site) -> None:
    """A broker that cannot write ends itself. A limit on the size of its files stands for the disk."""
    site.say("room/kept", "The boathouse opens at six.")
    site.until("it is answerable", "room/kept", 200)
    broker = site.stack.parts["kafka"]
    assert broker.pid is not None
    resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    with pytest.raises(TransientError, match="503"):
        site.say("room/kept", "The boathouse opens at nine.")
    answer = site.ask("When does the boathouse open?")
    assert (answer.status, "six" in str(answer.body["answer"])) == (200, True)
    site.stack.restart("kafka")
    for stage in site.stages:
        site.keep(stage)
    eventually("the receiver takes it", lambda: is_taken(site, "room/kept", "The boathouse opens at nine."))
    site.until_settled()
    assert "nine" in str(site.ask("When does the boathouse open?").body["answer"])


def is_taken(site: Site, doc_id: str, text: str) -> bool:
    try:
        site.say(doc_id, text)
    except TransientError:
        return False
    return True


async def test_lag_without_progress_is_told_by_readiness_and_ends_the_stage_with_a_message(site: Site) -> None:
    async def never(_delivery: Delivery, _lease: Lease) -> None:
        await asyncio.Event().wait()

    settings, told = site.settings, set[str]()
    app = build_app(settings, "millstream.stuck")
    app.window = Window(never, app.crash_soon, records=8, max_bytes=1_000_000)
    add_agent(app, CHANGES, settings.kafka_topic_prefix)
    topic, limits = settings.kafka_topic_prefix + CHANGES, Limits(without_step=3.0, settled=1.0)
    process = StageProcess("stuck", app, topic, Metrics(), 0, SystemClock(), limits=limits)
    life = asyncio.create_task(process.live())
    while not life.done():
        told |= set(process.verdict.not_ready)
        await asyncio.sleep(0.1)
    assert await life, "it ended by itself"
    assert isinstance(process.crash_reason, StuckError)
    assert "records wait and nothing was done for" in str(process.crash_reason)
    assert "records wait and none is acknowledged" in told


def test_a_switch_of_builds_shows_nobody_again_what_was_deleted(site: Site, tmp_path: Path) -> None:
    """The last of this file: afterwards another build is live."""
    site.stages["builds"] = StageRun("builds", site.environment, tmp_path / "builds.log")
    before, after = site.settings, site.settings.model_copy(update={"incarnation": f"{site.settings.incarnation}b"})
    stop, back, deleted = threading.Event(), list[str](), list[str]()

    def delete_and_look() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            name = f"switch/{number}"
            site.say(name, f"Berth {number} is free.")
            site.until("it is answerable", name, 200)
            site.say(name, op="delete")
            site.until("it is gone", name, 404)
            deleted.append(name)
            back.extend(name for name in deleted[-5:] if site.document(name).status == 200)

    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(delete_and_look)
        try:
            done = site.runner.run(rebuild(after, site.environment, (), Watched(), then_switch=True))
            eventually(
                "the new build answers", lambda: answers_from(site) == after.incarnation, log=site.log_of("serving")
            )
            time.sleep(1)
        finally:
            stop.set()
        work.result(timeout=60)
    assert done.switched
    assert deleted
    assert back == []
    site.until_settled()
    site.settings = after
    site.until_settled()
    site.runner.run(drop_twice(before, after))
    assert (site.ask("Which berth is free?").status, answers_from(site)) == (200, after.incarnation)


async def drop_twice(old: Settings, live: Settings) -> None:
    """As after a `retire` that was cut off, and called again. In between nobody reads anything of the build, whether he
    has heard of the switch or not.
    """
    index = open_index(old)
    await index.drop()
    with pytest.raises(TransientError):
        await Reader(index, SystemClock()).position(TENANT)
    await index.close()
    await retire(live, str(index.identity))


def answers_from(site: Site) -> str:
    """The incarnation that a question is answered from."""
    position = site.ask("Which berth is free?", cache="bypass").body["position"]
    assert isinstance(position, dict)
    return str(position["incarnation"])
