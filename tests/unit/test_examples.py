"""The example corpus, its sidecars, the registry of sources, the events and the golden sets agree with each other."""

import base64
import html
import json
import re
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from evaluation.golden import FIRST_LIGHT, GoldenQuestion, GoldenSet, load_golden
from schemas.errors import ConfigError
from schemas.identity import PUBLIC, USER_PREFIX, doc_id, principal
from schemas.sources import parse_sources

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FOLDERS = {
    ("aurora", "handbook"): EXAMPLES / "aurora" / "handbook",
    ("harbor", "manuals"): EXAMPLES / "harbor" / "manuals",
}
SIDECAR = ".millstream.yaml"
HELD_OUT = FIRST_LIGHT.with_name("held_out.yaml")
GOLDEN = {path.stem: load_golden(path) for path in (FIRST_LIGHT, HELD_OUT)}
QUESTIONS = [question for golden in GOLDEN.values() for question in golden.questions]


class Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    match: Annotated[str, Field(min_length=1)]
    acl: tuple[str, ...] | None = None
    url: str | None = None
    labels: dict[str, str] | None = None
    event_time: AwareDatetime | None = None


class Sidecar(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[Rule, ...]


class Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    op: Literal["upsert", "delete", "acl", "erase"]
    doc_id: str
    version: int | None = None
    title: str | None = None
    url: str | None = None
    content_type: str | None = None
    body: str | None = None
    body_base64: str | None = None
    acl: tuple[str, ...] | None = None
    labels: dict[str, str] = {}
    actor: str | None = None
    event_time: AwareDatetime | None = None


class Batch(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    events: tuple[Event, ...]


@cache
def sidecar(folder: Path) -> Sidecar:
    return Sidecar.model_validate(yaml.safe_load((folder / SIDECAR).read_text("utf-8")))


def paths(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != SIDECAR
    )


def described(folder: Path, path: str) -> Rule:
    """All rules that match, folded: later ones win, field by field."""
    fields: dict[str, object] = {"match": path}
    for rule in sidecar(folder).rules:
        if fnmatchcase(path, rule.match):
            fields |= rule.model_dump(exclude_none=True, exclude={"match"})
    return Rule.model_validate(fields)


def text(folder: Path, path: str) -> str:
    """What a reader sees, white space folded, with the cells of a table side by side."""
    raw = (folder / path).read_text("utf-8")
    if path.endswith(".html"):
        body = re.search(r"<main>(.*)</main>", raw, re.DOTALL)
        assert body is not None, f"{path} has no <main>"
        raw = html.unescape(re.sub(r"<[^>]+>", " ", body.group(1)))
    return re.sub(r"\s+", " ", raw)


def event_files() -> list[Path]:
    return sorted((EXAMPLES / "events").glob("*.json"))


def events(path: Path) -> tuple[Event, ...]:
    content = path.read_bytes()
    adapter: TypeAdapter[Batch | Event] = TypeAdapter(Batch | Event)
    parsed = adapter.validate_json(content)
    return parsed.events if isinstance(parsed, Batch) else (parsed,)


def readers(question: GoldenQuestion) -> set[str]:
    return {PUBLIC, USER_PREFIX + question.subject, *question.groups}


def located(question: GoldenQuestion, reference: str) -> tuple[Path, str]:
    source, _, path = reference.partition("/")
    return FOLDERS[question.tenant, source], path


DOCUMENTS = [(folder, path) for folder in FOLDERS.values() for path in paths(folder)]
ANSWERS = [question for question in QUESTIONS if question.expect == "answer"]


def test_the_corpus_has_some_forty_documents_in_three_formats() -> None:
    suffixes = [Path(path).suffix for _, path in DOCUMENTS]
    assert 40 <= len(suffixes) <= 50
    assert suffixes.count(".html") >= 10
    assert set(suffixes) == {".md", ".html", ".txt"}


@pytest.mark.parametrize(("folder", "path"), DOCUMENTS, ids=[path for _, path in DOCUMENTS])
def test_every_document_is_described_by_its_sidecar(folder: Path, path: str) -> None:
    rule = described(folder, path)
    assert rule.acl
    assert all(principal(name) == name for name in rule.acl)
    assert rule.url is not None
    assert "{path}" in rule.url
    assert rule.labels is not None
    assert rule.labels["department"]
    assert rule.event_time is not None
    assert rule.event_time < datetime(2026, 12, 1, tzinfo=UTC)
    assert doc_id(path) == path


@pytest.mark.parametrize(("folder", "path"), DOCUMENTS, ids=[path for _, path in DOCUMENTS])
def test_every_document_is_of_a_believable_length(folder: Path, path: str) -> None:
    assert 250 <= len(text(folder, path).split()) <= 900


@pytest.mark.parametrize("folder", FOLDERS.values(), ids=lambda folder: folder.name)
def test_no_sidecar_rule_is_idle(folder: Path) -> None:
    idle = [rule.match for rule in sidecar(folder).rules if not any(fnmatchcase(p, rule.match) for p in paths(folder))]
    assert idle == []


def test_the_registry_of_sources_declares_every_folder_and_every_event_file() -> None:
    sources = parse_sources((ROOT / "sources.example.yaml").read_text("utf-8"))
    assert {(source.tenant, source.name) for source in sources.sources if source.kind == "files"} == set(FOLDERS)
    for path in event_files():
        source = sources.get(path.stem.partition("-")[0])
        assert source is not None
        assert source.kind == "webhook"
        assert all((event.version is not None) == (source.versioning == "source") for event in events(path))


def test_event_bodies_are_complete_and_every_delete_has_its_upsert() -> None:
    every = [(path.stem.partition("-")[0], event) for path in event_files() for event in events(path)]
    upserts = {(source, event.doc_id) for source, event in every if event.op == "upsert"}
    assert {(source, event.doc_id) for source, event in every if event.op == "delete"} <= upserts
    for _, event in every:
        body = event.body or base64.b64decode(event.body_base64 or "").decode()
        assert bool(body) == (event.op == "upsert")
        assert event.event_time is not None


def test_an_event_changes_the_hours_that_the_handbook_states() -> None:
    folder = FOLDERS["aurora", "handbook"]
    announcement = json.loads((EXAMPLES / "events" / "helpdesk-support-hours.json").read_text("utf-8"))
    known = described(folder, "support/support-handbook.md").event_time
    assert known is not None
    assert datetime.fromisoformat(announcement["event_time"]) > known
    assert "07:00 to 20:00" in announcement["body"]
    assert "07:00 to 20:00" not in text(folder, "support/support-handbook.md")


@pytest.mark.parametrize("question", ANSWERS, ids=lambda question: question.id)
def test_an_expected_answer_stands_in_every_document_it_names(question: GoldenQuestion) -> None:
    for reference in question.documents:
        folder, path = located(question, reference)
        assert path in paths(folder)
        found = text(folder, path)
        assert [wanted for wanted in question.contains if wanted not in found] == []


@pytest.mark.parametrize("question", ANSWERS, ids=lambda question: question.id)
def test_whoever_expects_an_answer_may_read_its_documents(question: GoldenQuestion) -> None:
    for reference in question.documents:
        acl = described(*located(question, reference)).acl
        assert acl is not None
        assert readers(question) & set(acl)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.id)
def test_a_forbidden_string_exists_somewhere_but_in_no_expected_document(question: GoldenQuestion) -> None:
    corpus = [text(folder, path) for folder, path in DOCUMENTS]
    expected = [text(*located(question, reference)) for reference in question.documents]
    for string in question.forbidden:
        assert any(string in document for document in corpus), f"{string!r} can never appear"
        assert not any(string in document for document in expected)


def test_a_question_is_refused_only_where_another_principal_would_be_answered_or_nobody_would() -> None:
    asked = {(question.tenant, question.question): set[str]() for question in QUESTIONS}
    for question in QUESTIONS:
        outcomes = asked[question.tenant, question.question]
        assert question.expect not in outcomes, f"{question.id} repeats a question with the same outcome"
        outcomes.add(question.expect)


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
def test_a_golden_set_covers_both_outcomes_and_both_tenants(golden: GoldenSet) -> None:
    answers = [question for question in golden.questions if question.expect == "answer"]
    refusals = [question for question in golden.questions if question.expect == "refusal"]
    assert len(golden.questions) >= 60
    assert len(refusals) >= 20
    assert (
        {question.tenant for question in answers} == {question.tenant for question in refusals} == {"aurora", "harbor"}
    )


def test_no_held_out_question_is_one_that_was_tuned_on() -> None:
    tuned, held_out = (
        {" ".join(re.findall(r"\w+", question.question.casefold())) for question in GOLDEN[path.stem].questions}
        for path in (FIRST_LIGHT, HELD_OUT)
    )
    assert tuned & held_out == set()
    assert all(question.id.startswith("ho-") for question in GOLDEN[HELD_OUT.stem].questions)


def test_a_golden_set_with_a_repeated_id_or_an_unknown_field_is_refused(tmp_path: Path) -> None:
    plain = {"id": "one", "tenant": "aurora", "groups": ["staff"], "question": "Why?", "expect": "refusal"}
    with pytest.raises(ValidationError, match="used twice"):
        GoldenSet.model_validate({"version": 1, "corpus": "examples", "questions": [plain, plain]})
    broken = tmp_path / "golden.yaml"
    broken.write_text(yaml.safe_dump({"version": 1, "corpus": "examples", "questions": [{**plain, "hint": "no"}]}))
    with pytest.raises(ConfigError, match=r"golden\.yaml"):
        load_golden(broken)


def test_the_examples_name_no_machine_and_no_real_domain() -> None:
    files = [path for path in EXAMPLES.rglob("*") if path.is_file()]
    for path in [*files, FIRST_LIGHT, HELD_OUT, ROOT / "sources.example.yaml"]:
        content = path.read_text("utf-8")
        hosts = re.findall(r"(?:[a-z]+://|@)([A-Za-z0-9.-]+\.[A-Za-z]{2,})", content)
        real = [host for host in hosts if not re.search(r"(^|\.)example(\.com)?$", host)]
        assert real == [], f"{path.name} names a real domain"
        assert not re.search(r"(?<![\w.])/(?:home|root|work|tmp|Users)/", content), (
            f"{path.name} names a machine's path"
        )
