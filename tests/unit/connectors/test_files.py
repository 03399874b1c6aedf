"""A folder as a source: what is found, what is decided, what is sent."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.changes import Accepted
from connectors.files import VANISH_LIMIT, Found, FoundFile, LoadPlan, load, plan_load, scan
from connectors.sidecar import Described
from runtime.clock import ManualClock
from runtime.log_port import Headers, MemoryLog
from runtime.settings import PACKAGED_TOPICS
from schemas.codec import decode
from schemas.errors import ConfigError, TransientError
from schemas.records import Coordinates, DocumentChange
from schemas.sources import SourceConfig
from schemas.topics import CHANGES, parse_topics
from schemas.versions import Op

TOPICS = parse_topics(PACKAGED_TOPICS.read_text())
HANDBOOK = SourceConfig(name="handbook", tenant="acme", kind="files")
CLOCK = ManualClock(datetime(2026, 11, 21, tzinfo=UTC))
LIMIT = 1000


def write(root: Path, name: str, text: str = "text", mtime: float = 1_700_000_000) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (mtime, mtime))
    return path


async def send(plan: LoadPlan, log: MemoryLog) -> tuple[Accepted, ...]:
    return (await load(plan, HANDBOOK, log, TOPICS, clock=CLOCK, max_bytes=LIMIT)).accepted


def changes(log: MemoryLog) -> list[DocumentChange]:
    return [
        record
        for stored in log.records(CHANGES)
        if stored.value and (record := decode(stored.value, DocumentChange)).op is not Op.ACL
    ]


def indexed(log: MemoryLog) -> dict[str, str]:
    """The origin references an index would hold after these changes."""
    rows: dict[str, str] = {}
    for change in changes(log):
        if change.op is Op.DELETE:
            rows.pop(change.doc_id, None)
        else:
            rows[change.doc_id] = change.origin.reference
    return rows


def test_documents_are_found_with_their_relative_paths_and_the_rest_is_named(tmp_path: Path) -> None:
    root, outside = tmp_path / "docs", write(tmp_path, "outside.md")
    for name in ("b.html", "a/c.md", "a/d.TXT", "e.markdown", "f.htm"):
        write(root, name)
    for name in (".hidden.md", ".git/x.md", "a/.draft/y.md", "picture.png", "script.py"):
        write(root, name)
    (root / "escape.md").symlink_to(outside)
    (root / "broken.md").symlink_to(root / "absent")
    (root / "inside.md").symlink_to(root / "b.html")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.md")
    found = scan(root)
    assert [file.doc_id for file in found.files] == ["a/c.md", "a/d.TXT", "b.html", "e.markdown", "f.htm", "inside.md"]
    assert found.skipped == {
        "hidden": (".git", ".hidden.md", "a/.draft"),
        "other kind of file": ("picture.png", "script.py"),
        "link to outside": ("escape.md",),
        "not a file": ("broken.md", "pipe.md"),
        "link to a folder": ("loop",),
    }
    assert {file.doc_id: file.content_type for file in found.files}["a/d.TXT"] == "text/plain"


def test_a_file_without_a_suffix_is_text_unless_it_holds_a_nul(tmp_path: Path) -> None:
    for name, body in (("README", "Ünïcode " * 2000), ("nothing", "")):
        write(tmp_path, name, body)
    (tmp_path / "LICENSE").write_bytes(b"caf\xe9")
    (tmp_path / "program").write_bytes(b"\x7fELF\x02\x01\x00\x00")
    found = scan(tmp_path)
    assert [(file.doc_id, file.content_type) for file in found.files] == [
        ("LICENSE", "text/plain"),
        ("README", "text/plain"),
        ("nothing", "text/plain"),
    ]
    assert found.skipped == {"other kind of file": ("program",)}


def test_odd_names_and_links_to_themselves_are_left_out_and_the_rest_is_found(tmp_path: Path) -> None:
    write(tmp_path, ".millstream.yaml", 'rules: [{match: "**", url: "https://w.example/{path}"}]')
    write(tmp_path, "good.md")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.md")).write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    found = scan(tmp_path)
    assert [file.doc_id for file in found.files] == ["good.md"]
    assert found.skipped == {"name that is not UTF-8": ("caf?.md",), "not a file": ("loop",)}


@pytest.mark.parametrize("name", ["README", "a.md"])
def test_a_file_that_cannot_be_read_ends_the_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write(tmp_path, name)

    opened = Path.open

    def denied(path: Path, *how: object, **named: object) -> object:
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return opened(path, *how, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ConfigError, match=f"{name} cannot be read: Permission denied"):
        scan(tmp_path)


def test_a_folder_that_cannot_be_read_ends_the_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "closed/a.md")
    listed = os.scandir

    def denied(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(ConfigError, match="closed cannot be read: Permission denied"):
        scan(tmp_path)


def test_a_rule_says_what_a_file_is_to_be_read_as(tmp_path: Path) -> None:
    rules = (
        '{match: "**/*.log", content_type: text/plain}, {match: old.txt, content_type: "text/plain; charset=latin-1"}'
    )
    write(tmp_path, ".millstream.yaml", f"rules: [{rules}]")
    for name in ("a/b.log", "old.txt", "new.txt", "c.dat"):
        write(tmp_path, name)
    found = scan(tmp_path)
    assert {file.doc_id: file.content_type for file in found.files} == {
        "a/b.log": "text/plain",
        "old.txt": "text/plain; charset=latin-1",
        "new.txt": "text/plain",
    }
    assert found.skipped == {"other kind of file": ("c.dat",)}


def test_what_could_not_be_read_before_is_not_sent_again_until_it_changes(tmp_path: Path) -> None:
    write(tmp_path, "broken.pdf")
    write(tmp_path, "good.md")
    broken, good = scan(tmp_path).files
    plan = plan_load([broken, good], {}, prune=False, given_up={broken.reference})
    assert (plan.upserts, plan.given_up, plan.unchanged) == ((good,), (broken,), 0)
    assert plan_load([broken], {broken.doc_id: broken.reference}, prune=False, given_up={broken.reference}) == LoadPlan(
        unchanged=1
    )
    write(tmp_path, "broken.pdf", "mended")
    mended, _ = scan(tmp_path).files
    assert plan_load([mended], {}, prune=False, given_up={broken.reference}).upserts == (mended,)


def test_an_id_is_the_normalised_path(tmp_path: Path) -> None:
    write(tmp_path, "Cafe\u0301.md")
    assert [file.doc_id for file in scan(tmp_path).files] == ["Café.md"]
    write(tmp_path, "Café.md")
    with pytest.raises(ConfigError, match="two files have this name"):
        scan(tmp_path)


def test_what_is_no_folder_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        scan(tmp_path / "absent")


def test_without_a_rule_the_event_time_is_the_files(tmp_path: Path) -> None:
    write(tmp_path, "a.md", mtime=1_700_000_000)
    assert scan(tmp_path).files[0].described.event_time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_rules_describe_the_documents(tmp_path: Path) -> None:
    write(tmp_path, ".millstream.yaml", 'rules: [{match: "**", acl: [public], url: "https://w.example/{path}"}]')
    write(tmp_path, "a b.md")
    found = scan(tmp_path)
    assert found.skipped == {}
    assert found.files[0].described.acl == ("public",)
    assert found.files[0].described.url == "https://w.example/a%20b.md"


async def test_a_folder_is_loaded_once_and_then_only_its_changes(tmp_path: Path) -> None:
    log = MemoryLog()
    write(tmp_path, ".millstream.yaml", 'rules: [{match: "**", acl: [public], labels: {department: hr}}]')
    for number in range(10):
        write(tmp_path, f"{number}.md", f"# Page {number}")
    accepted = await send(plan_load(scan(tmp_path).files, {}, prune=False), log)
    assert len(accepted) == 10
    first = changes(log)[0]
    assert (first.acl, first.labels, first.content_type) == (("public",), {"department": "hr"}, "text/markdown")
    assert first.origin.connector == "files"
    assert plan_load(scan(tmp_path).files, indexed(log), prune=False) == LoadPlan(unchanged=10)

    write(tmp_path, "3.md", "# Changed")
    (tmp_path / "4.md").unlink()
    plan = plan_load(scan(tmp_path).files, indexed(log), prune=False)
    assert [file.doc_id for file in plan.upserts] == ["3.md"]
    assert plan.deletes == ("4.md",)
    await send(plan, log)
    assert plan_load(scan(tmp_path).files, indexed(log), prune=False) == LoadPlan(unchanged=9)


@pytest.mark.parametrize(
    "edit",
    [
        'rules: [{match: "**", acl: [other]}]',
        'rules: [{match: "**", acl: []}]',
        'rules: [{match: "**", labels: {a: b}}]',
        'rules: [{match: "**", url: "https://w.example/"}]',
        'rules: [{match: "**", event_time: 2026-01-01T00:00:00Z}]',
        'rules: [{match: "**", content_type: text/plain}]',
    ],
)
def test_a_changed_description_is_a_changed_document(tmp_path: Path, edit: str) -> None:
    write(tmp_path, "a.md")
    before = scan(tmp_path).files[0].reference
    write(tmp_path, ".millstream.yaml", edit)
    assert scan(tmp_path).files[0].reference != before


def test_a_load_that_would_delete_much_is_refused_unless_asked_for(tmp_path: Path) -> None:
    rows = {f"{number}.md": "gone" for number in range(10)}
    for number in range(8):
        write(tmp_path, f"{number}.md")
    assert plan_load(scan(tmp_path).files, rows, prune=False).refusal is None
    (tmp_path / "7.md").unlink()
    plan = plan_load(scan(tmp_path).files, rows, prune=False)
    assert plan.refusal is not None
    assert plan.refusal.startswith("3 of 10 documents")
    assert (plan.upserts, plan.deletes) == ((), ())
    assert plan_load(scan(tmp_path).files, rows, prune=True).deletes == ("7.md", "8.md", "9.md")


async def test_a_refused_plan_sends_nothing(tmp_path: Path) -> None:
    log = MemoryLog()
    with pytest.raises(ConfigError, match="would vanish"):
        await send(LoadPlan(refusal="3 of 4 would vanish"), log)
    assert changes(log) == []


names = st.sampled_from([f"{letter}.md" for letter in "abcdefghij"])


@given(st.dictionaries(names, st.sampled_from("xyz")), st.dictionaries(names, st.sampled_from("xyz")), st.booleans())
def test_a_plan_makes_the_index_like_the_folder_or_is_refused(
    folder: dict[str, str], rows: dict[str, str], prune: bool
) -> None:
    files = [FoundFile(name, Path(name), "text/markdown", Described(), reference) for name, reference in folder.items()]
    plan = plan_load(files, rows, prune=prune)
    vanishing = set(rows) - set(folder)
    if plan.refusal is not None:
        assert not prune
        assert len(vanishing) > VANISH_LIMIT * len(rows)
        return
    after = {name: reference for name, reference in rows.items() if name not in plan.deletes}
    after |= {file.doc_id: file.reference for file in plan.upserts}
    assert after == folder
    assert plan.unchanged + len(plan.upserts) == len(folder)
    assert all(rows.get(file.doc_id) != file.reference for file in plan.upserts)


async def test_a_file_that_cannot_be_a_document_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    log = MemoryLog()
    write(tmp_path, "large.md", "x" * (LIMIT + 1))
    write(tmp_path, "good.md")
    write(tmp_path, "future.md", mtime=CLOCK.now().timestamp() + 200_000)
    gone = write(tmp_path, "gone.md")
    plan = plan_load(scan(tmp_path).files, {}, prune=False)
    gone.unlink()
    seen: list[tuple[int, int]] = []
    loaded = await load(
        plan, HANDBOOK, log, TOPICS, clock=CLOCK, max_bytes=LIMIT, progress=lambda done, of: seen.append((done, of))
    )
    assert [each.document.doc_id for each in loaded.accepted] == ["good.md"]
    assert [each.doc_id for each in loaded.refused] == ["future.md", "gone.md", "large.md"]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


async def test_what_is_sent_carries_the_fingerprint_of_what_was_sent(tmp_path: Path) -> None:
    log = MemoryLog()
    path = write(tmp_path, "a.md", "scanned")
    plan = plan_load(scan(tmp_path).files, {}, prune=False)
    path.write_text("changed since")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    await send(plan, log)
    assert plan_load(scan(tmp_path).files, indexed(log), prune=False).unchanged == 1


async def test_a_source_that_states_versions_cannot_be_a_folder(tmp_path: Path) -> None:
    stated = SourceConfig(name="s", tenant="acme", kind="files", versioning="source")
    with pytest.raises(ConfigError, match="versioning: log"):
        await load(LoadPlan(), stated, MemoryLog(), TOPICS, clock=CLOCK, max_bytes=LIMIT)


async def test_a_log_that_stays_away_ends_the_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.files._BACKOFF_SECONDS", 0)
    write(tmp_path, "a.md")
    log = MemoryLog(refuse=lambda _topic, _key: TransientError("down"))
    with pytest.raises(TransientError):
        await send(plan_load(scan(tmp_path).files, {}, prune=False), log)


async def test_a_short_outage_is_waited_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.files._BACKOFF_SECONDS", 0)
    write(tmp_path, "a.md")
    outages: list[Exception] = [TransientError("down"), TransientError("down")]
    log = MemoryLog(refuse=lambda _topic, _key: outages.pop() if outages else None)
    assert len(await send(plan_load(scan(tmp_path).files, {}, prune=False), log)) == 1


class SteppedLog(MemoryLog):
    """Acknowledges when told to, and counts what was begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = 0
        self.go = asyncio.Event()

    async def append(self, topic: str, partition: int, key: str, value: bytes, headers: Headers = ()) -> Coordinates:
        self.begun += 1
        await self.go.wait()
        return await super().append(topic, partition, key, value, headers)


async def test_a_cancelled_load_finishes_what_is_under_way_and_starts_nothing_more(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path, f"{number:02}.md")
    log = SteppedLog()
    plan = plan_load(scan(tmp_path).files, {}, prune=False)
    loading = asyncio.create_task(load(plan, HANDBOOK, log, TOPICS, clock=CLOCK, max_bytes=LIMIT, concurrency=4))
    while log.begun < 4:
        await asyncio.sleep(0)
    loading.cancel()
    await asyncio.sleep(0)
    log.go.set()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert len(changes(log)) == 4


def test_an_empty_folder_is_an_empty_find(tmp_path: Path) -> None:
    assert scan(tmp_path) == Found((), {})
