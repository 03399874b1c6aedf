"""Kafka and Weaviate away, hanging, read-only: what users are told meanwhile, and that everything catches up.

The parts are the real ones. Hanging is SIGSTOP, away SIGKILL; every request has a client that waits no longer than the
budget. Afterwards the whole index equals the serial reference, nothing is a dead letter, and no stage was ended.
"""

import asyncio
import json
import signal
import time
import urllib.request
from collections.abc import Iterator, Mapping

import pytest

from index.model import IndexIdentity
from index.weaviate.schema import Collections
from infra.local.stack import Stack
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
from tests.integration.streams_bench import TENANT, eventually

pytestmark = [pytest.mark.parts, pytest.mark.timeout(280)]


@pytest.fixture(scope="module")
def site(
    parts: Stack, stack_environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with running_site(stack_environment, tmp_path_factory.mktemp("outages"), parts) as started:
        yield started


def test_while_the_store_hangs_everything_is_refused_in_time_and_afterwards_caught_up(site: Site) -> None:
    store_away(site, hangs=True, seconds=4)


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
        for site.line.seconds in (0.2, 1.2, 6.0):
            site.say("slow/kept", f"The ferry to the island leaves at {site.line.seconds} hours past noon.")
            replies = site.ask(question, cache="bypass"), site.document("slow/kept")
            statuses |= {reply.status for reply in replies}
        assert statuses == {200, 503}
    finally:
        site.line.seconds = 0.0
    site.until_settled()
    assert "6.0 hours" in str(site.ask(question).body["answer"])
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


@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "away"])
def test_while_kafka_does_not_answer_questions_are_answered_and_senders_told_to_come_again(
    site: Site, hangs: bool
) -> None:
    name = "kafka-hang" if hangs else "kafka-away"
    pids = site.pids()
    site.say(f"{name}/kept", f"The {name} pump runs at night.")
    site.until("it is answerable", f"{name}/kept", 200)
    question = f"When does the {name} pump run?"
    site.stack.kill("kafka", signal.SIGSTOP if hangs else signal.SIGKILL)
    try:
        began = time.monotonic()
        with pytest.raises(TransientError, match="503"):
            site.say(f"{name}/kept", f"The {name} pump runs at noon.")
        assert time.monotonic() - began > 5, "the receiver waits for the brokers, the API has had time to miss them"
        answer = site.ask(question)
        assert (answer.status, "night" in str(answer.body["answer"])) == (200, True)
        assert site.ready("api").status == 200
        assert site.ready("ingest").status == 503
    finally:
        if hangs:
            site.stack.kill("kafka", signal.SIGCONT)
        else:
            site.stack.restart("kafka")
    eventually("the receiver takes it", lambda: is_taken(site, f"{name}/kept", f"The {name} pump runs at noon."))
    site.say(f"{name}/gone", op="delete")
    site.until_settled()
    assert "noon" in str(site.ask(question).body["answer"])
    assert site.pids() == pids, "a stage was ended"


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
