"""A folder and a webhook become cited answers: what README promises, as a user runs it."""

import asyncio
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import aiohttp
import orjson
import pytest

from cli.http import RefusedError
from evaluation.asking import ask_over_http
from evaluation.golden import load_golden
from evaluation.run import Judged, run
from infra.local.status import State
from runtime.declarations import load_topics
from runtime.kafka import Producer
from runtime.settings import Settings
from schemas.codec import encode
from schemas.errors import PermanentError
from schemas.headers import headers_of
from schemas.identity import DocId, Document, Source, Tenant
from schemas.records import Coordinates, DocumentChange, Origin
from schemas.topics import CHANGES
from schemas.versions import RANKS, Op, StatedVersion
from serving.models import QueryResponse, SearchResponse
from tests.acceptance.installation import EXAMPLES, Installation, eventually

SUPPORT = "When is the support line open?"
OLD_HOURS, NEW_HOURS = "Monday to Friday from 08:00 to 18:00", "Monday to Saturday from 07:00 to 20:00"
MUSTER = "When is the muster drill held?"
SALARIES = "What is the salary band of a senior engineer?"


def event(name: str) -> bytes:
    """A body of examples/events."""
    return (EXAMPLES / "events" / name).read_bytes()


def cited(answer: QueryResponse) -> list[str]:
    """What an answer stands on."""
    return [citation.doc_id for citation in answer.citations]


def seq(answer: QueryResponse) -> int:
    """The position an answer was given at."""
    assert answer.position is not None
    return answer.position.seq


def refusal(answer: QueryResponse) -> str:
    """Why there is no answer; an invention fails."""
    assert answer.refusal is not None, answer.answer
    assert answer.answer is None
    assert answer.citations == ()
    return answer.refusal.reason.value


def test_everything_is_up_and_says_where_it_is(installation: Installation) -> None:
    status = installation.millstream("status", "--json").json()
    assert isinstance(status, dict)
    assert status["ready"]
    assert Path(status["secrets"]).stat().st_mode & 0o077 == 0
    units = {unit["name"]: unit for unit in status["units"]}
    assert {"kafka", "weaviate", "bootstrap", "prepare", "apply", "ingest", "api"} <= set(units)
    assert units["api"]["address"] == installation.api("")
    before = installation.status()
    again = installation.millstream("up", "--json").json()
    assert again | {"captured": []} == status
    assert installation.status() == before, "a second `up` changed something"
    assert {file.name for file in installation.folder.iterdir()} == {".millstream", "sources.yaml"}
    plan = installation.millstream("topics", "plan", "--json").json()
    assert plan == {"actions": [], "refusals": [], "applied": False, "topics": 6}


def test_the_golden_questions_are_answered_with_their_sources_and_nothing_leaks(
    installation: Installation, loaded: Mapping[str, Mapping[str, int]]
) -> None:
    assert loaded["handbook"] == {"sent": 30, "unchanged": 0, "deleted": 0}
    assert loaded["manuals"] == {"sent": 13, "unchanged": 0, "deleted": 0}
    judged = asyncio.run(judge_all(installation.settings))
    for one in judged:
        assert not [fault for fault in one.faults if fault.startswith("says")], one
    assert not [one for one in judged if one.question.expect == "refusal" and not one.is_right]
    answers = [one.is_right for one in judged if one.question.expect == "answer"]
    assert sum(answers) >= 0.8 * len(answers), [(one.question.id, one.faults) for one in judged if one.faults]


async def judge_all(settings: Settings) -> tuple[Judged, ...]:
    async with aiohttp.ClientSession() as session:
        return await run(load_golden().questions, lambda question: ask_over_http(settings, session, question))


@pytest.mark.usefixtures("loaded")
def test_the_command_line_asks_and_searches_as_a_principal_of_ones_choice(installation: Installation) -> None:
    as_staff = ("--tenant", "aurora", "--group", "staff", "--json")
    answer = QueryResponse.model_validate_json(installation.millstream("ask", SUPPORT, *as_staff).out)
    assert OLD_HOURS in str(answer.answer)
    (citation,) = [each for each in answer.citations if each.doc_id == "support/support-handbook.md"]
    assert citation.url == "https://wiki.aurora.example/support/support-handbook.md"
    assert OLD_HOURS in citation.quote
    assert citation.origin.topic == CHANGES
    assert citation.origin.connector == "files"
    token = installation.millstream("token", "-t", "aurora", "-g", "hr", "--json").json()
    assert isinstance(token, dict)
    found = installation.millstream("search", SALARIES, "--token", token["token"], "--json")
    results = SearchResponse.model_validate_json(found.out).results
    assert "hr/salary-bands-2026.md" in [result.doc_id for result in results]
    unclear = installation.millstream("ask", SUPPORT, exit_code=1)
    assert "--tenant: aurora, harbor" in unclear.err
    assert len(unclear.err.splitlines()) == 1


@pytest.mark.usefixtures("loaded")
def test_who_lacks_the_group_or_belongs_to_another_company_is_refused(installation: Installation) -> None:
    assert "hr/salary-bands-2026.md" in cited(installation.query(SALARIES, "hr"))
    assert refusal(installation.query(SALARIES, "staff")) == "no_source"
    assert refusal(installation.query(SALARIES, "hr", tenant="harbor")) == "no_source"
    with pytest.raises(RefusedError) as hidden:
        installation.document("handbook", "hr/salary-bands-2026.md", "staff")
    with pytest.raises(RefusedError) as absent:
        installation.document("handbook", "hr/no-such-document.md", "staff")
    assert hidden.value.status == absent.value.status == 404
    assert hidden.value.problem["detail"] == absent.value.problem["detail"]
    tokens = installation.post("notices", event("notices-reduced-timetable.json"))
    with pytest.raises(RefusedError, match="400"):
        installation.query(SUPPORT, "staff", at_least=tokens)


@pytest.mark.usefixtures("loaded")
def test_a_change_is_answered_once_its_token_is_asked_for_and_taken_back_by_a_delete(
    installation: Installation,
) -> None:
    before = installation.query(SUPPORT, "staff")
    assert OLD_HOURS in str(before.answer)

    tokens = installation.post("helpdesk", event("helpdesk-support-hours.json"))
    after = installation.query(SUPPORT, "staff", at_least=tokens)
    assert NEW_HOURS in str(after.answer)
    assert "announcements/support-hours" in cited(after)
    assert seq(after) > seq(before)
    assert installation.query(SUPPORT, "staff", as_of=seq(before)).answer == before.answer

    found = installation.document("helpdesk", "announcements/support-hours", "staff", rest="?text=true")
    assert found.chunks is not None
    assert NEW_HOURS in found.chunks[0].text
    deleted = installation.post("helpdesk", event("helpdesk-support-hours-delete.json"))
    gone = installation.query(SUPPORT, "staff", at_least=deleted)
    assert gone.answer == before.answer
    with pytest.raises(RefusedError, match="404"):
        installation.document("helpdesk", "announcements/support-hours", "staff")
    trail = installation.versions("helpdesk", "announcements/support-hours", "staff").versions
    # A delete has two rows where it was hidden before its own mutation came.
    assert [state for state, _ in groupby((version.op, version.present) for version in trail)] == [
        ("delete", False),
        ("upsert", True),
    ]
    as_then = installation.query(SUPPORT, "staff", as_of=seq(after))
    assert "announcements/support-hours" not in cited(as_then), "a deleted document is read as of then"


@pytest.mark.usefixtures("loaded")
def test_loading_a_folder_again_sends_only_what_differs(installation: Installation, tmp_path: Path) -> None:
    folder = tmp_path / "manuals"
    shutil.copytree(EXAMPLES / "harbor" / "manuals", folder)
    count = len([file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")])
    assert installation.load("manuals", folder) == {"sent": 0, "unchanged": count, "deleted": 0}

    edited = folder / "operations" / "fares-2026.md"
    edited.write_text(edited.read_text() + "\n## Dogs\n\nA dog on a lead costs 4.50 EUR for each crossing.\n")
    assert "muster" in cited(installation.query(MUSTER, tenant="harbor"))[0]
    (folder / "safety" / "muster-drill.md").unlink()
    assert installation.load("manuals", folder) == {"sent": 1, "unchanged": count - 2, "deleted": 1}
    dogs = installation.query("What does a dog on a lead cost for each crossing?", tenant="harbor")
    assert "4.50 EUR" in str(dogs.answer)
    assert "safety/muster-drill.md" not in cited(installation.query(MUSTER, tenant="harbor"))

    shutil.rmtree(folder / "operations")
    refused = installation.millstream("load", str(folder), "--source", "manuals", exit_code=1)
    (line,) = refused.err.splitlines()
    assert "--prune" in line
    (folder / "ledger.txt").write_text("x" * 65_537)
    arguments = ("load", str(folder), "--source", "manuals", "--prune", "--json")
    pruned = installation.millstream(*arguments, exit_code=1).json()
    assert isinstance(pruned, dict)
    assert (pruned["sent"], pruned["dead"]) == (0, [])
    assert pruned["deleted"] > 0.2 * count
    assert "ledger.txt" in pruned["refused"][0]
    whole = installation.load("manuals", EXAMPLES / "harbor" / "manuals")
    assert (whole["sent"], whole["deleted"]) == (pruned["deleted"] + 1, 0)


def test_poison_is_kept_with_its_reason_while_good_documents_flow(installation: Installation, tmp_path: Path) -> None:
    undecodable, large = asyncio.run(append_poison(installation.settings))
    installation.post("helpdesk", {"op": "upsert", "doc_id": "poison/latin", "body_base64": "d2lzZWFjcmUg/w=="})
    good = {"op": "upsert", "doc_id": "poison/good", "body": "The wiseacre of the week gets a purple mug."}
    tokens = installation.post("helpdesk", good)
    flows = installation.query("What does the wiseacre of the week get?", "staff", at_least=tokens)
    assert "purple mug" in str(flows.answer)
    installation.settle()

    listed = installation.millstream("dlq", "list", "--json").json()
    assert isinstance(listed, list)
    letters = {letter["origin"]: letter for letter in listed}
    assert letters[str(undecodable)]["reason"] == "undecodable"
    assert letters[str(large)]["reason"] == "too_large"
    assert letters[str(large)]["document"] == "aurora/helpdesk/poison/large"
    (latin,) = [letter for letter in listed if letter["document"] == "aurora/helpdesk/poison/latin"]
    assert latin["reason"] == "invalid_encoding"
    assert len(listed) == 3

    saved = tmp_path / "original"
    shown = installation.millstream("dlq", "show", letters[str(undecodable)]["at"], "--save", str(saved), "--json")
    described = shown.json()
    assert isinstance(described, dict)
    assert described["origin"] == undecodable.model_dump()
    assert saved.read_bytes() == b"wiseacre, but no schema decodes it"
    assert "wiseacre" not in shown.out + installation.logs(), "text of a document was printed or logged"


async def append_poison(settings: Settings) -> tuple[Coordinates, Coordinates]:
    """Append, past the door, a record that no schema decodes and a document over the limit; where they lie."""
    topics, log = load_topics(settings), Producer(settings)
    document = Document(Tenant("aurora"), Source("helpdesk"), DocId("poison/large"))
    change = DocumentChange(
        tenant=document.tenant,
        source=document.source,
        doc_id=document.doc_id,
        op=Op.UPSERT,
        version=StatedVersion(1, None, RANKS[Op.UPSERT]),
        event_id="poison",
        body=b"x" * 65_537,
        received_at=datetime.now(UTC),
        origin=Origin(connector="webhook", reference="poison"),
    )
    partition = topics.partition(CHANGES, document=document)
    try:
        raw = await log.append(CHANGES, partition, document.key, b"wiseacre, but no schema decodes it")
        return raw, await log.append(CHANGES, partition, document.key, encode(change), headers_of(change))
    finally:
        await log.close()


def test_an_edited_sources_file_takes_effect_while_everything_runs_and_a_broken_one_does_not(
    installation: Installation,
) -> None:
    file = installation.folder / "sources.yaml"
    declared = file.read_text()
    drafts = {"op": "upsert", "doc_id": "tides", "body": "The highest tide of the year is on 21 March."}
    for text, says in (
        ("version: 1\nsources: [{name: drafts", "sources.yaml"),
        (declared.replace("kind: webhook", "kind: pigeon", 1), "kind"),
        (declared.replace("tenant: harbor", "tenant: aurora"), "belongs to tenant harbor"),
    ):
        file.write_text(text)
        refused = installation.millstream("source", "apply", exit_code=1)
        (line,) = refused.err.splitlines()
        assert says in line
    names = ["handbook", "helpdesk", "inventory", "manuals", "notices"]
    assert [source["name"] for source in listed_sources(installation)] == names

    file.write_text(declared + "  - {name: drafts, tenant: tideline, kind: webhook, default_acl: [public]}\n")
    installation.millstream("source", "apply")
    assert [source["name"] for source in listed_sources(installation)] == [*names, "drafts"]
    eventually("the receiver takes what the new source sends", lambda: accepts(installation, drafts))
    tokens = installation.post("drafts", drafts)
    tide = installation.query("When is the highest tide of the year?", tenant="tideline", at_least=tokens)
    assert "21 March" in str(tide.answer)
    assert installation.unit("ingest").state is State.READY
    assert installation.unit("ingest").restarts == 0


def listed_sources(installation: Installation) -> list[dict[str, object]]:
    found = installation.millstream("source", "list", "--json").json()
    assert isinstance(found, list)
    return found


def accepts(installation: Installation, event: object) -> bool:
    try:
        return len(installation.post("drafts", event)) == 1
    except PermanentError:
        return False


@pytest.mark.usefixtures("loaded")
def test_logs_are_structured_and_shown_by_name(installation: Installation) -> None:
    installation.query(SUPPORT, "staff")
    lines = installation.millstream("logs", "api", "--lines", "400").out.splitlines()
    requests = [line for line in map(orjson.loads, lines) if line["event"] == "request"]
    assert requests[-1]["endpoint"] == "/v1/query"
    assert "support line" not in "".join(lines).casefold()
    unknown = installation.millstream("logs", "nobody", exit_code=1)
    assert "there are" in unknown.err
