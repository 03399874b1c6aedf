"""The stages as real processes on real Kafka and Weaviate: crashes, poison, refusals, supervision."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping

import psutil
import pytest

from cli.installing import install
from index.weaviate import open_index
from runtime.settings import PACKAGED_TOPICS, Settings, settings_from
from schemas.errors import ConfigError
from schemas.records import Coordinates
from schemas.topics import CHANGES, COMMITS, mutations_topic, parse_topics
from schemas.versions import Op
from streams.recipe import recipe_of
from streams.startup import check_generation, check_index, check_topics
from streams.supervisor import STAGES
from tests.integration.streams_bench import SOURCES, Bench, StageRun, Stages, change, eventually, open_bench

pytestmark = [pytest.mark.parts, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def environment(stack_environment: Mapping[str, str], stack_settings: Settings) -> Mapping[str, str]:
    """Of an installed index, with a small limit for documents."""
    asyncio.run(install(stack_settings, SOURCES))
    return {**stack_environment, "MILLSTREAM_MAX_DOCUMENT_BYTES": "2048", "MILLSTREAM_EMBEDDING_THREADS": "1"}


@pytest.fixture
async def bench(stack_settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Bench]:
    async with open_bench(stack_settings) as bench:
        yield bench


@pytest.fixture(scope="module")
def stages(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    """Shared by the tests of this module."""
    stages = Stages(environment, tmp_path_factory.mktemp("stages"))
    yield stages
    stages.kill()


def both(stages: Stages) -> list[StageRun]:
    """The processes that run now; where none do, one of each stage."""
    return stages.running() or [stages.start("prepare"), stages.start("apply")]


async def test_killed_stages_lose_nothing_and_duplicate_nothing(bench: Bench, stages: Stages) -> None:
    dice = random.Random(3)
    prepare, apply = stages.start("prepare"), stages.start("apply")
    await asyncio.to_thread(prepare.until_ready)
    await asyncio.to_thread(apply.until_ready)
    newest: dict[str, tuple[Coordinates, str]] = {}

    async def post(numbers: range) -> None:
        for number in numbers:
            doc = f"crash-{dice.randrange(12)}.txt"
            if dice.random() < 0.1:
                newest[doc] = (await bench.post(change(doc, f"gone {number}", Op.DELETE)), "")
            else:
                body = f"Edition {number} of {doc}."
                newest[doc] = (await bench.post(change(doc, body)), body)

    await post(range(60))
    second = stages.start("prepare")
    await post(range(60, 80))
    await asyncio.to_thread(second.until_ready)
    await post(range(80, 110))
    prepare.kill()
    apply.kill()
    stages.start("apply")
    await post(range(110, 130))
    await asyncio.to_thread(eventually, "everything is acknowledged", lambda: bench.lag() == 0)
    rows = [row for row in await bench.rows() if row.document.doc_id.startswith("crash-")]
    made_of = [row.change for row in rows]
    assert len(set(made_of)) == len(made_of), "a change was made visible twice"
    seqs = [row.from_seq for row in await bench.rows()]
    assert seqs == list(range(1, len(seqs) + 1)), "the tenant's log has a hole or a seq twice"
    for doc, (at, body) in newest.items():
        (*_, last) = [row for row in rows if row.document.doc_id == doc]
        assert last.change == at
        assert await bench.texts(last) == body
    assert bench.letters() == []


async def test_poison_lies_in_the_dead_letters_with_its_coordinates_and_the_rest_flows_on(
    bench: Bench, stages: Stages
) -> None:
    running = both(stages)
    good = change("poison-good.txt", "Flows on.")
    partition = bench.topics.partition(CHANGES, document=good.document)
    expected = {
        await bench.log.append(CHANGES, partition, good.key, b"no schema decodes this"): "undecodable",
        await bench.log.append(CHANGES, partition, "nonsense", b"\xc3\x01"): "undecodable",
        await bench.post(change("poison-large.txt", "x" * 5000)): "too_large",
        await bench.post(change(" spaced", "y")): "invalid_name",
        await bench.post(change("poison-nul.txt", "z").model_copy(update={"content_type": "image/png"})): None,
        await bench.post(change("a.txt", "No shard.").model_copy(update={"tenant": "nobody"})): "no_source",
    }
    await bench.post(good)
    await asyncio.to_thread(eventually, "everything is acknowledged", lambda: bench.lag() == 0)

    letters = {letter.origin: letter for letter in bench.letters()}
    for at, reason in expected.items():
        if reason == "no_source":
            (letter,) = [letter for letter in letters.values() if letter.tenant == "nobody"]
            assert letter.stage == "apply"
            assert "millstream source apply" in letter.error
        else:
            letter = letters[at]
            assert letter.stage == "prepare"
            assert letter.value is not None
        assert reason in (None, letter.reason)
    assert len(letters) == len(expected)
    assert [await asyncio.to_thread(run.stop) for run in running] == [0, 0]
    (*_, last) = [row for row in await bench.rows() if row.document.doc_id == "poison-good.txt"]
    assert await bench.texts(last) == "Flows on."


async def test_start_up_refuses_what_does_not_fit_and_says_which_command_to_run(
    bench: Bench, environment: Mapping[str, str]
) -> None:
    names = (CHANGES, mutations_topic(bench.settings.generation), COMMITS)
    facts = check_topics(bench.settings, bench.topics, names)
    six = parse_topics(PACKAGED_TOPICS.read_text().replace("document: 8", "document: 6"))
    with pytest.raises(ConfigError, match=r"documents\.changes has 8 partitions and topics\.yaml says 6"):
        check_topics(bench.settings, six, names)
    with pytest.raises(ConfigError, match="millstream topics apply"):
        check_topics(bench.settings, bench.topics, (mutations_topic("g9"),))
    with pytest.raises(ConfigError, match="another recipe"):
        check_generation(bench.settings, recipe_of("another-embedder"))
    other = settings_from({**environment, "MILLSTREAM_INCARNATION": "other"})
    with pytest.raises(ConfigError, match="millstream up"):
        check_generation(other, {})
    for settings, seen, message in (
        (other, facts, "millstream up"),
        (bench.settings, {**facts, COMMITS: ("another-id", 4)}, r"another topic index\.commits"),
    ):
        index = open_index(settings)
        with pytest.raises(ConfigError, match=message):
            await check_index(index, seen)
        await index.close()


def test_a_refusal_is_one_line_and_exit_code_1(stages: Stages) -> None:
    run = stages.start("apply", MILLSTREAM_GENERATION="g9")
    assert run.process.wait(timeout=120) == 1
    (line,) = [line for line in run.log.read_text().splitlines() if line.startswith("streams: ")]
    assert "millstream topics apply" in line


def test_stages_stop_when_their_supervisor_is_killed(stages: Stages) -> None:
    supervisor = stages.start("all")
    parent = psutil.Process(supervisor.process.pid)
    eventually("every stage runs", lambda: len(parent.children()) == len(STAGES))
    family = parent.children(recursive=True)
    supervisor.kill()
    eventually("no orphan", lambda: not any(lives(child) for child in family))


def lives(process: psutil.Process) -> bool:
    """Whether a process runs: one that nobody waits for is not running either."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
