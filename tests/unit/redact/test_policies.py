"""The policy of each source, as the file states it now."""

from pathlib import Path

import pytest

from runtime.metrics import ALERTS, Metrics
from schemas.errors import ConfigError
from schemas.identity import DocId, Document, Source, Tenant
from schemas.redaction import Action, Kind
from schemas.sources import parse_sources
from streams.redact import policies as module
from streams.redact.policies import SourcePolicies

HEAD = "version: 1\nsources:\n"


def line(name: str, redaction: str = "") -> str:
    block = f", redaction: {redaction}" if redaction else ""
    return f"  - {{name: {name}, tenant: acme, kind: webhook{block}}}\n"


def document(source: str) -> Document:
    return Document(Tenant("acme"), Source(source), DocId("a"))


class World:
    """A sources file and the policies over it."""

    def __init__(self, folder: Path, text: str, key: bytes = b"key") -> None:
        self.file = folder / "sources.yaml"
        self.metrics = Metrics()
        self.write(text)
        self.policies = SourcePolicies(self.file, lambda: parse_sources(self.file.read_text()), key, self.metrics)

    def write(self, text: str) -> None:
        self.file.write_text(HEAD + text)

    def action(self, source: str, kind: Kind) -> Action:
        return self.policies.treatment_of(document(source)).policy.actions[kind]


def test_a_source_departs_from_its_profile_kind_by_kind(tmp_path: Path) -> None:
    world = World(tmp_path, line("wiki") + line("hr", "{profile: strict, kinds: {PHONE: keep, PERSON: ignore}}"))
    assert world.action("wiki", Kind.EMAIL) is Action.KEEP
    assert world.action("hr", Kind.EMAIL) is Action.MASK
    assert world.action("hr", Kind.PHONE) is Action.KEEP
    assert Kind.PERSON not in world.policies.sought


def test_an_applied_edit_holds_for_the_next_document_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, line("wiki"))
    before = world.policies.treatment_of(document("wiki")).fingerprint
    world.write(line("wiki", "{kinds: {EMAIL: drop}}"))
    assert world.action("wiki", Kind.EMAIL) is Action.DROP
    assert world.policies.treatment_of(document("wiki")).fingerprint != before
    world.write(line("wiki", "{kinds: {EMAIL: burn}}") + " ")
    assert world.action("wiki", Kind.EMAIL) is Action.DROP
    assert world.metrics.value(ALERTS, alert="sources_broken") == 1


def test_an_undeclared_source_is_treated_strictly(tmp_path: Path) -> None:
    world = World(tmp_path, line("wiki"))
    assert world.action("gone", Kind.EMAIL) is Action.MASK
    assert world.action("gone", Kind.PERSON) is Action.IGNORE
    world.write(line("wiki", "{kinds: {PERSON: keep}}"))
    assert world.action("gone", Kind.PERSON) is Action.MASK


def test_pseudonyms_need_a_key_and_depend_on_it(tmp_path: Path) -> None:
    text = line("wiki", "{kinds: {EMAIL: pseudonymise}}")
    with pytest.raises(ConfigError, match="MILLSTREAM_REDACTION_KEY"):
        World(tmp_path, text, key=b"")
    one, other = [World(tmp_path, text, key).policies.treatment_of(document("wiki")) for key in (b"a", b"b")]
    assert one.fingerprint != other.fingerprint
    assert one.pseudonym(Kind.EMAIL, "a@b.example") != other.pseudonym(Kind.EMAIL, "a@b.example")


def test_names_need_what_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NAMES_PACKAGES", ("no_such_package",))
    with pytest.raises(ConfigError, match="extra `ner`"):
        World(tmp_path, line("wiki", "{profile: strict}"))
