"""Outages that several tests make: the store or Kafka away or hanging, and what users are told meanwhile."""

import signal
import time

import pytest

from runtime.kafka import KafkaAdmin
from schemas.errors import TransientError
from schemas.topics import CHANGES
from streams.groups import prepare_group
from tests.integration.outage_site import Site
from tests.integration.streams_bench import eventually


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


def kafka_away(site: Site, name: str, *, hangs: bool, seconds: float) -> None:
    site.say(f"{name}/kept", f"The {name} pump runs at night.")
    site.until("it is answerable", f"{name}/kept", 200)
    question = f"When does the {name} pump run?"
    admin, group = KafkaAdmin(site.settings, seconds=1.0), prepare_group(site.settings.generation)
    assert admin.group_offsets(group, CHANGES)
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
        for _ in range(3):
            with pytest.raises(TransientError):
                admin.lag(group, CHANGES)
        while time.monotonic() - began < seconds:
            assert site.ask(question, cache="bypass").status == 200
            time.sleep(1)
    finally:
        if hangs:
            site.stack.kill("kafka", signal.SIGCONT)
        else:
            site.stack.restart("kafka")
    eventually("a client that asked meanwhile is told offsets again", lambda: is_told(admin, group))
    for stage in site.stages:  # one whose record was not acknowledged for 30 s has ended
        site.keep(stage)
    eventually("the receiver takes it", lambda: is_taken(site, f"{name}/kept", f"The {name} pump runs at noon."))
    site.say(f"{name}/gone", op="delete")
    site.until_settled()
    assert "noon" in str(site.ask(question).body["answer"])
    if seconds < 20:
        assert site.pids() == pids, "a stage was ended"


def is_taken(site: Site, doc_id: str, text: str) -> bool:
    try:
        site.say(doc_id, text)
    except TransientError:
        return False
    return True


def is_told(admin: KafkaAdmin, group: str) -> bool:
    try:
        return bool(admin.lag(group, CHANGES))
    except TransientError:
        return False
