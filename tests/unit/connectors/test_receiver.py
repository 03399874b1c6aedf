"""The flow of a webhook request, on a log in memory."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from connectors.changes import Accepted
from connectors.webhook.events import MAX_EVENTS
from connectors.webhook.memory import LoggedEvents, logged_events
from connectors.webhook.problems import Problem
from connectors.webhook.receiver import CONNECTOR, Gate, Limits, Receiver, Taken
from connectors.webhook.registry import Registry, load_senders
from connectors.webhook.signatures import Secret, signed_headers
from runtime.clock import ManualClock
from runtime.freshness_token import TokenKey, open_token
from runtime.log_port import Headers, MemoryLog
from runtime.metrics import INGEST_EVENTS, INGEST_QUEUED_BYTES, INGEST_REPEATS, SOURCES_RELOADS, Metrics
from runtime.settings import PACKAGED_TOPICS, Settings
from schemas.codec import decode
from schemas.errors import ConfigError, TooLargeError, TransientError
from schemas.identity import Tenant
from schemas.records import Coordinates, DocumentChange
from schemas.topics import CHANGES, parse_topics
from schemas.versions import Op, Version

KEY = TokenKey(bytes(32))
TOPICS = parse_topics(PACKAGED_TOPICS.read_text())
NOW = datetime(2026, 11, 21, tzinfo=UTC)
SECRET = "whsec_" + "A" * 32
SOURCES = """
version: 1
sources:
  - {name: wiki, tenant: acme, kind: webhook, default_acl: [staff]}
  - {name: notes, tenant: other, kind: webhook}
  - {name: handbook, tenant: acme, kind: files}
"""


class Setup:
    """A receiver with everything around it in memory, and a sender for it."""

    def __init__(self, folder: Path, log: MemoryLog, ack_seconds: float = 10.0) -> None:
        self.limits = Limits(1000, ack_seconds=ack_seconds)
        self.sources = folder / "sources.yaml"
        self.secrets = folder / "secrets.json"
        self.sources.write_text(SOURCES)
        self.secrets.touch(mode=0o600)
        self.secrets.write_text(json.dumps({"wiki": SECRET, "notes": "whsec_" + "B" * 32}))
        settings = Settings(sources_file=self.sources, webhook_secrets_file=self.secrets)
        self.metrics = Metrics()
        self.registry = Registry(settings, lambda: load_senders(settings, {}), self.metrics)
        self.log = log
        self.clock = ManualClock(NOW)
        self.recalls: list[datetime] = []
        self.attempts = 0
        self.is_readable = True
        self.receiver = self.started()

    def started(self, events: LoggedEvents | None = None) -> Receiver:
        """A process with everything around it."""
        return Receiver(
            self.registry, self.log, TOPICS, KEY, self.limits, self.clock, self.metrics, events, self.recall
        )

    def recall(self, since: datetime) -> LoggedEvents:
        self.attempts += 1
        if not self.is_readable:
            raise TransientError("down")
        self.recalls.append(since)
        return logged_events(self.log.records(CHANGES), CONNECTOR)

    def restart(self) -> None:
        """Another process, which knows what the log tells."""
        events = logged_events(self.log.records(CHANGES), CONNECTOR)
        self.receiver = self.started(events)

    async def send(
        self, content: object, *, source: str = "wiki", message: str = "msg_1", secret: str = SECRET
    ) -> Taken | Problem:
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        try:
            headers = signed_headers(Secret(secret), body, self.clock.now(), message)
        except UnicodeDecodeError:
            headers = {}
        return await self.receiver.receive(source, headers, body)

    def changes(self) -> list[DocumentChange]:
        return [decode(record.value, DocumentChange) for record in self.log.records(CHANGES) if record.value]


def upsert(doc_id: str = "a", **fields: object) -> dict[str, object]:
    return {"op": "upsert", "doc_id": doc_id, "body": "text", **fields}


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path, MemoryLog())


async def test_a_signed_event_is_in_the_log_when_its_token_is_given(setup: Setup) -> None:
    taken = await setup.send(upsert(acl=["hr"]))
    assert isinstance(taken, Taken)
    token = open_token(KEY, taken.tokens[0], Tenant("acme"))
    content, copy = setup.changes()
    assert (content.tenant, content.source, content.doc_id, content.body) == ("acme", "wiki", "a", b"text")
    assert content.event_id == content.origin.reference == "msg_1/0"
    assert content.received_at == NOW
    assert copy.acl == ("hr",)
    assert (token.document, token.register, token.version) == (content.document, "content", Version(1, 0, 0))
    assert setup.metrics.value(INGEST_EVENTS, source="wiki", op="upsert") == 1


async def test_a_batch_gives_a_token_an_event_in_order(setup: Setup) -> None:
    batch = {"events": [upsert("a"), {"op": "acl", "doc_id": "b", "acl": []}, {"op": "delete", "doc_id": "a"}]}
    taken = await setup.send(batch)
    assert isinstance(taken, Taken)
    tokens = [open_token(KEY, token, Tenant("acme")) for token in taken.tokens]
    assert [(token.document.doc_id, token.register) for token in tokens] == [
        ("a", "content"),
        ("b", "acl"),
        ("a", "content"),
    ]
    assert tokens[0].version < tokens[2].version


@pytest.mark.parametrize("source", ["unknown", "handbook", "notes", "", "../wiki"])
async def test_unknown_sources_and_bad_signatures_are_answered_alike(setup: Setup, source: str) -> None:
    refused = await setup.send(upsert(), source=source)
    tampered = await setup.send(upsert(), secret="whsec_" + "C" * 32)
    assert isinstance(refused, Problem)
    assert refused == tampered
    assert refused.status == 401
    assert setup.changes() == []


async def test_a_stale_message_is_refused(setup: Setup) -> None:
    body = orjson.dumps(upsert())
    headers = signed_headers(Secret(SECRET), body, setup.clock.now(), "msg_1")
    setup.clock.advance(301)
    refused = await setup.receiver.receive("wiki", headers, body)
    assert isinstance(refused, Problem)
    assert refused.status == 401


async def test_one_wrong_event_refuses_the_whole_batch(setup: Setup) -> None:
    refused = await setup.send({"events": [upsert("a"), upsert("b", acl=["staff "]), upsert("c")]})
    assert isinstance(refused, Problem)
    assert refused.status == 400
    assert [(fault.event, fault.field) for fault in refused.faults] == [(1, "acl")]
    assert setup.changes() == []


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"{", 400, "malformed-json"),
        (b"\xff", 400, "malformed-json"),
        ({"events": []}, 400, "invalid-event"),
        ({"events": [upsert()] * (MAX_EVENTS + 1)}, 400, "invalid-event"),
        (upsert(version=3), 400, "invalid-event"),
        ({"op": "erase", "doc_id": "a"}, 400, "invalid-event"),
        (upsert(body="x" * 1001), 413, "too-large"),
    ],
)
async def test_bad_bodies_are_problems(setup: Setup, content: object, status: int, kind: str) -> None:
    refused = await setup.send(content)
    assert isinstance(refused, Problem)
    assert (refused.status, refused.kind) == (status, kind)
    assert setup.changes() == []


async def test_a_repeated_message_gets_the_same_tokens_and_nothing_new_in_the_log(setup: Setup) -> None:
    first = await setup.send(upsert())
    setup.clock.advance(60)
    again = await setup.send(upsert())
    assert isinstance(first, Taken)
    assert isinstance(again, Taken)
    assert again.tokens == first.tokens
    assert again.repeated
    assert len(setup.changes()) == 1
    assert setup.metrics.value(INGEST_REPEATS, source="wiki") == 1


async def test_messages_that_come_at_the_same_time_share_one_append(setup: Setup) -> None:
    answers = await asyncio.gather(*(setup.send(upsert()) for _ in range(5)))
    assert len({answer.tokens for answer in answers if isinstance(answer, Taken)}) == 1
    assert len(setup.changes()) == 1


async def test_an_id_that_comes_with_another_body_is_a_conflict(setup: Setup) -> None:
    await setup.send(upsert("a"))
    refused = await setup.send(upsert("b"))
    assert isinstance(refused, Problem)
    assert (refused.status, refused.kind) == (409, "webhook-id-reused")
    assert len(setup.changes()) == 1


async def test_the_same_id_of_another_source_is_another_message(setup: Setup) -> None:
    await setup.send(upsert("a"))
    assert isinstance(await setup.send(upsert("b"), source="notes", secret="whsec_" + "B" * 32), Taken)


async def test_a_log_that_refuses_is_a_503_and_the_repetition_is_tried_anew(tmp_path: Path) -> None:
    errors: list[Exception] = [TransientError("down")]
    setup = Setup(tmp_path, MemoryLog(refuse=lambda _topic, _key: errors.pop() if errors else None))
    refused = await setup.send(upsert())
    assert isinstance(refused, Problem)
    assert (refused.status, refused.retry_after) == (503, 2)
    assert isinstance(await setup.send(upsert()), Taken)


@pytest.mark.parametrize("lost", ["acme/wiki/b", "acme/wiki/a#acl"])
async def test_what_is_logged_of_a_message_that_failed_is_not_said_again(tmp_path: Path, lost: str) -> None:
    away = True
    setup = Setup(tmp_path, MemoryLog(lambda _topic, key: TransientError("down") if away and key == lost else None))
    batch = {"events": [upsert("a", acl=["hr"]), upsert("b")]}
    assert isinstance(await setup.send(batch, message="msg_1"), Problem)
    away = False
    await setup.send({"op": "delete", "doc_id": "a"}, message="msg_2")
    taken = await setup.send(batch, message="msg_1")
    assert isinstance(taken, Taken)
    assert [change.op for change in setup.changes() if change.doc_id == "a" and change.op != "acl"] == [
        "upsert",
        "delete",
    ]
    assert [change.doc_id for change in setup.changes() if change.op == "acl"][:1] == ["a"]
    assert [change.op for change in setup.changes() if change.doc_id == "b"] == ["upsert"]
    assert setup.metrics.value(INGEST_EVENTS, source="wiki", op="upsert") == 2


class UnansweredLog(MemoryLog):
    """Takes records of these keys, and does not say so, while it is `away`."""

    def __init__(self, *keys: str) -> None:
        super().__init__()
        self.keys = keys
        self.away = True

    async def append(self, topic: str, partition: int, key: str, value: bytes, headers: Headers = ()) -> Coordinates:
        at = await super().append(topic, partition, key, value, headers)
        if self.away and key in self.keys:
            raise TransientError("not acknowledged in time")
        return at


@pytest.mark.parametrize("unanswered", ["acme/wiki/a", "acme/wiki/a#acl"])
async def test_what_the_log_took_without_saying_so_is_found_there_and_resurrects_nothing(
    tmp_path: Path, unanswered: str
) -> None:
    log = UnansweredLog(unanswered)
    setup = Setup(tmp_path, log)
    assert isinstance(await setup.send(upsert(acl=["hr"]), message="msg_1"), Problem)
    log.away = False
    await setup.send({"op": "delete", "doc_id": "a"}, message="msg_2")
    setup.clock.advance(3600)
    again = await setup.send(upsert(acl=["hr"]), message="msg_1")
    assert versions(again) == [Version(1, 0, 0)]
    assert [change.op for change in setup.changes()].count(Op.UPSERT) == 1
    assert [change.op for change in setup.changes()].count(Op.ACL) == 1, "the copy alone is missing, or nothing is"
    assert setup.recalls == [NOW], "from when the log did not answer"


async def test_an_event_beside_one_that_the_log_refuses_is_looked_for_in_it_as_well(tmp_path: Path) -> None:
    class Refusing(UnansweredLog):
        async def append(
            self, topic: str, partition: int, key: str, value: bytes, headers: Headers = ()
        ) -> Coordinates:
            if key == "acme/wiki/large":
                raise TooLargeError("too large for the log")
            return await super().append(topic, partition, key, value, headers)

    log = Refusing("acme/wiki/a")
    setup = Setup(tmp_path, log)
    batch = {"events": [upsert("large"), upsert("a")]}
    assert isinstance(await setup.send(batch, message="msg_1"), Problem)
    log.away = False
    await setup.send({"op": "delete", "doc_id": "a"}, message="msg_2")
    assert isinstance(await setup.send(batch, message="msg_1"), Problem)
    assert [change.op for change in setup.changes()] == [Op.UPSERT, Op.DELETE]


async def test_one_look_at_the_log_settles_every_message_that_failed_before_it(tmp_path: Path) -> None:
    log = UnansweredLog("acme/wiki/a", "acme/wiki/b")
    setup = Setup(tmp_path, log)
    for doc in "ab":
        assert isinstance(await setup.send(upsert(doc), message=doc), Problem)
    log.away = False
    answers = await asyncio.gather(*(setup.send(upsert(doc), message=doc) for doc in "abba"))
    assert all(isinstance(answer, Taken) and answer.repeated for answer in answers)
    assert (len(setup.changes()), len(setup.recalls)) == (2, 1)
    await setup.send(upsert("c"), message="c")
    assert len(setup.recalls) == 1, "who was answered needs none"


async def test_while_the_log_is_away_one_attempt_to_look_at_it_fails_for_all_who_wait(tmp_path: Path) -> None:
    log = UnansweredLog("acme/wiki/a", "acme/wiki/b")
    setup = Setup(tmp_path, log)
    for doc in "ab":
        await setup.send(upsert(doc), message=doc)
    setup.is_readable = False
    answers = await asyncio.gather(*(setup.send(upsert(doc), message=doc) for doc in "abab"))
    assert [answer.status for answer in answers if isinstance(answer, Problem)] == [503] * 4
    assert setup.attempts == 1


async def test_while_the_log_cannot_be_looked_at_nothing_is_tried_anew(tmp_path: Path) -> None:
    log = UnansweredLog("acme/wiki/a")
    setup = Setup(tmp_path, log)
    await setup.send(upsert())
    setup.is_readable = False
    refused = await setup.send(upsert())
    assert isinstance(refused, Problem)
    assert refused.status == 503
    setup.is_readable, log.away = True, False
    assert isinstance(await setup.send(upsert()), Taken)
    assert len(setup.changes()) == 1


class StuckLog(MemoryLog):
    """Acknowledges when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def append(self, topic: str, partition: int, key: str, value: bytes, headers: Headers = ()) -> Coordinates:
        await self.go.wait()
        return await super().append(topic, partition, key, value, headers)


async def test_a_log_that_does_not_answer_is_a_503_and_the_writing_goes_on(tmp_path: Path) -> None:
    log = StuckLog()
    setup = Setup(tmp_path, log, ack_seconds=0.01)
    refused = await setup.send(upsert())
    assert isinstance(refused, Problem)
    assert refused.status == 503
    log.go.set()
    await setup.receiver.drain()
    again = await setup.send(upsert())
    assert isinstance(again, Taken)
    assert again.repeated
    assert len(setup.changes()) == 1


async def test_a_record_that_the_broker_refuses_for_its_size_is_a_413(tmp_path: Path) -> None:
    setup = Setup(tmp_path, MemoryLog(refuse=lambda _topic, _key: TooLargeError("too large for the log")))
    refused = await setup.send(upsert())
    assert isinstance(refused, Problem)
    assert refused.status == 413


def test_the_gate_refuses_beyond_its_limits_but_never_a_lone_request() -> None:
    metrics = Metrics()
    gate = Gate(Limits(1000, requests=2, queued_bytes=100), metrics)
    assert gate.enter(1000)
    assert metrics.value(INGEST_QUEUED_BYTES) == 1000
    assert not gate.enter(1)
    gate.leave(1000)
    assert gate.enter(1)
    assert gate.enter(99)
    assert not gate.enter(0)
    gate.leave(99)
    assert not gate.enter(100)
    assert gate.enter(10)


async def test_an_edited_sources_file_counts_without_a_restart(setup: Setup) -> None:
    text = setup.sources.read_text()
    setup.sources.write_text(text.replace("name: wiki", "name: wiki2"))
    setup.secrets.write_text(json.dumps({"wiki2": SECRET, "notes": SECRET}))
    setup.registry.reload()
    assert isinstance(await setup.send(upsert(), source="wiki2"), Taken)
    refused = await setup.send(upsert(), source="wiki")
    assert isinstance(refused, Problem)
    assert setup.metrics.value(SOURCES_RELOADS, outcome="reloaded") == 1


@pytest.mark.parametrize("broken", ["{", "version: 2", SOURCES + "  - {name: new, tenant: acme, kind: webhook}"])
async def test_a_broken_edit_keeps_the_last_good_sources_and_is_told(setup: Setup, broken: str) -> None:
    setup.sources.write_text(broken)
    setup.registry.reload()
    assert setup.registry.fault is not None
    assert setup.metrics.value(SOURCES_RELOADS, outcome="broken") == 1
    assert isinstance(await setup.send(upsert()), Taken)
    setup.registry.reload()
    assert setup.metrics.value(SOURCES_RELOADS, outcome="broken") == 1
    setup.sources.write_text(SOURCES + "\n")
    setup.registry.reload()
    assert setup.registry.fault is None


def test_a_broken_file_at_start_up_is_a_configuration_error(tmp_path: Path) -> None:
    settings = Settings(sources_file=tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match=r"absent\.yaml does not exist"):
        Registry(settings, lambda: load_senders(settings, {}), Metrics())


def versions(taken: Taken | Problem, tenant: str = "acme") -> list[Version]:
    assert isinstance(taken, Taken), taken
    return [open_token(KEY, token, Tenant(tenant)).version for token in taken.tokens]


async def test_after_a_restart_a_repeated_message_resurrects_nothing(setup: Setup) -> None:
    first = await setup.send(upsert("a"), message="msg_1")
    await setup.send({"op": "delete", "doc_id": "a"}, message="msg_2")
    setup.restart()
    again = await setup.send(upsert("a"), message="msg_1")
    assert versions(again) == versions(first)
    assert isinstance(again, Taken)
    assert again.repeated
    assert [change.op for change in setup.changes()] == ["upsert", "delete"]


async def test_after_a_restart_only_what_is_missing_of_a_message_is_appended(tmp_path: Path) -> None:
    """The process was killed while a message was on its way to the log."""
    away = False

    def refuse(_topic: str, key: str) -> Exception | None:
        return TransientError("killed") if away and key.startswith("acme/wiki/b") else None

    setup = Setup(tmp_path, MemoryLog(refuse))
    batch = {"events": [upsert("a"), upsert("b"), {"op": "delete", "doc_id": "c"}]}
    away = True
    refused = await setup.send(batch)
    assert isinstance(refused, Problem)
    assert refused.status == 503
    away = False
    setup.restart()
    taken = await setup.send(batch)
    assert isinstance(taken, Taken)
    assert not taken.repeated
    assert sorted(change.doc_id for change in setup.changes()) == ["a", "b", "c"]
    assert len(versions(taken)) == 3


@pytest.mark.parametrize("killed", [True, False])
async def test_after_a_restart_an_acl_has_its_own_copy_whether_the_process_was_killed_before_it_or_not(
    tmp_path: Path, killed: bool
) -> None:
    away = killed

    def refuse(_topic: str, key: str) -> Exception | None:
        return TransientError("killed") if away and key.endswith("#acl") else None

    setup = Setup(tmp_path, MemoryLog(refuse))
    first = await setup.send(upsert("a", acl=["staff"]))
    assert isinstance(first, Problem) is killed
    away = False
    setup.restart()
    assert isinstance(await setup.send(upsert("a", acl=["staff"])), Taken)
    upserted, copy = setup.changes()
    assert (upserted.op, copy.op, copy.acl) == ("upsert", "acl", ("staff",))
    assert copy.version == upserted.version.fixed_at(upserted.version.sequence or 0)


async def test_after_a_restart_an_id_stays_its_messages(setup: Setup) -> None:
    await setup.send({"op": "acl", "doc_id": "a", "acl": ["staff"]}, message="msg_1")
    setup.restart()
    assert isinstance(await setup.send({"op": "acl", "doc_id": "a", "acl": ["staff"]}, message="msg_1"), Taken)
    for other in ({"op": "acl", "doc_id": "a", "acl": ["board"]}, upsert("a"), {"op": "delete", "doc_id": "a"}):
        refused = await setup.send(other, message="msg_1")
        assert isinstance(refused, Problem)
        assert refused.status == 409
    assert isinstance(await setup.send(upsert("b"), message="msg_1", source="notes", secret="whsec_" + "B" * 32), Taken)
    assert len(setup.changes()) == 2


async def test_what_a_process_remembers_of_events_is_bounded(setup: Setup) -> None:
    for number in range(4):
        await setup.send(upsert(f"d{number}"), message=f"msg_{number}")
    events = logged_events(setup.log.records(CHANGES), CONNECTOR)
    assert len(events) == 4
    small = LoggedEvents(limit=3)
    for change, record in zip(setup.changes(), setup.log.records(CHANGES), strict=True):
        small.put(change, Accepted.of(change, record.coordinates))
    assert len(small) == 3
    assert len(logged_events(setup.log.records(CHANGES), "files")) == 0
