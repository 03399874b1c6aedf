"""Outages that take long, or fill a disk: as tests/integration/test_outages.py has them, for `make soak`."""

import math
import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest

from infra.local.children import Command
from infra.local.parts import Place
from infra.local.weaviate import Weaviate
from schemas.errors import TransientError
from tests.integration.outage_site import Site
from tests.integration.outages import is_taken, kafka_away, store_away
from tests.integration.streams_bench import eventually

pytestmark = [pytest.mark.parts, pytest.mark.soak, pytest.mark.timeout(280)]


def test_while_the_store_is_away_everything_is_refused_in_time_and_afterwards_caught_up(site: Site) -> None:
    store_away(site, hangs=False, seconds=3)


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


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "away"])
def test_an_outage_of_more_than_a_minute_is_an_outage_and_nothing_else(site: Site, hangs: bool) -> None:
    store_away(site, hangs=hangs, seconds=75)
    kafka_away(site, f"kafka-minute-{hangs}", hangs=hangs, seconds=75)


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
