"""Kafka and Weaviate away, hanging, read-only: what users are told meanwhile, and that everything catches up.

The parts are the real ones. Hanging is SIGSTOP, away SIGKILL; every request has a client that waits no longer than the
budget. Afterwards the whole index equals the serial reference, nothing is a dead letter, and no stage was ended.
"""

import asyncio
import json
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli.rebuilding import Watched, rebuild, retire
from index.model import IndexIdentity
from index.reader import Reader
from index.weaviate import open_index
from index.weaviate.schema import Collections
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
from tests.integration.outage_site import Site
from tests.integration.outages import kafka_away, store_away
from tests.integration.streams_bench import TENANT, StageRun, eventually

pytestmark = [pytest.mark.parts, pytest.mark.timeout(280)]


def test_while_the_store_hangs_everything_is_refused_in_time_and_afterwards_caught_up(site: Site) -> None:
    store_away(site, hangs=True, seconds=4)


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


def test_while_kafka_hangs_questions_are_answered_and_senders_told_to_come_again(site: Site) -> None:
    kafka_away(site, "kafka-hang", hangs=True, seconds=0)


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
