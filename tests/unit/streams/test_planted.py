"""Personal data planted in every corner of a change is in nothing that comes out of `prepare`: not in the mutation, its
headers, the texts that were embedded, the log lines, the metrics or an error.
"""

import base64

import pytest
import structlog

from index.embedding.words import HashedWordsEmbedder
from runtime.clock import ManualClock
from runtime.log_port import MemoryLog
from runtime.metrics import Metrics
from schemas.codec import encode
from schemas.headers import headers_of
from schemas.records import Chunk, DocumentChange, Mutation
from schemas.redaction import Action, Kind, Redaction
from streams.agents import prepare_agent
from streams.core.redaction import Search, Sighted
from streams.dead_letters import DeadLetters
from streams.journal import Journal
from streams.parse.document import read_document
from streams.pipeline import Pipeline, prepare
from streams.redact.find import sighted
from streams.vectors import Vectors
from streams.window import Lease
from tests.unit.streams.records import MUTATIONS, OnePolicy, change, change_delivery, topics

VALUES = {
    Kind.EMAIL: "ana.lima@mail.example",
    Kind.IBAN: "DE89 3704 0044 0532 0130 00",
    Kind.SSN: "536-22-8726",
    Kind.CREDIT_CARD: "4111 1111 1111 1111",
    Kind.IP: "10.23.45.67",
    Kind.PHONE: "+49 30 901820",
    Kind.PERSON: "Priya Raman",
    Kind.PRIVATE: "Kingfisher 7781",
}
STRICT = Redaction(profile="strict")


class Reader:
    """The real way of a document, in this process."""

    async def read(self, body: bytes, content_type: str | None, name: str, search: Search) -> Sighted:
        return sighted(read_document(body, content_type, name), search)


class Recording(HashedWordsEmbedder):
    """Keeps every text it was shown."""

    def __init__(self) -> None:
        super().__init__(dimension=16)
        self.seen: list[str] = []

    def embed(self, texts):  # type: ignore[no-untyped-def]
        self.seen += texts
        return super().embed(texts)


def planted(value: str, **fields: object) -> DocumentChange:
    """A change with the value in its title, headings, text, list, table, code, links, url and labels."""
    body = (
        f"# About {value} and more\n\nIt was {value} who signed.\n\n## Files of Mr {value}\n\n- one\n- {value}\n\n"
        f"Name: {value}\n\n| contact | city |\n|---|---|\n| {value} | Porto |\n\n```\nx = '{value}'\n```\n"
    )
    given = {
        "title": f"Notes on {value}",
        "url": f"https://wiki.example/people?who={value}",
        "labels": {"owner": value, f"for {value}": "yes"},
        "private": (VALUES[Kind.PRIVATE],),
        "body": body.encode(),
    }
    return change(body=body.encode()).model_copy(update=given | fields)


def pipeline(redaction: Redaction, model: HashedWordsEmbedder) -> Pipeline:
    return Pipeline(
        parser=Reader(),
        policies=OnePolicy(redaction),
        tokens=model,
        vectors=Vectors(model),
        embedder=model.fingerprint,
        max_tokens=model.max_tokens,
        recipe="r1",
        max_document_bytes=100_000,
        topics=topics(),
        clock=ManualClock(),
    )


async def prepared(record: DocumentChange, redaction: Redaction = STRICT) -> Mutation:
    return await prepare(change_delivery(record), pipeline(redaction, HashedWordsEmbedder(dimension=16)))


def spellings(value: str) -> set[bytes]:
    return {value.encode(), value.lower().encode(), value.replace(" ", "").encode(), base64.b64encode(value.encode())}


@pytest.mark.parametrize("action", [Action.MASK, Action.PSEUDONYMISE, Action.DROP])
@pytest.mark.parametrize("kind", Kind)
async def test_a_planted_value_is_in_nothing_that_comes_out(kind: Kind, action: Action) -> None:
    model, log, metrics = Recording(), MemoryLog(), Metrics()
    using = pipeline(Redaction(profile="strict", kinds={kind: action}), model)
    letters = DeadLetters(log, topics(), "prepare", using.clock)
    journal = Journal("prepare", metrics, using.clock)
    work = prepare_agent(using, log, MUTATIONS, letters, journal)
    delivery = change_delivery(planted(VALUES[kind]))
    with structlog.testing.capture_logs() as lines:
        await work(delivery, Lease())
    mutation = await prepare(delivery, using)
    assert mutation.content is not None
    written = b"".join((record.key or "").encode() + (record.value or b"") for record in log.records(MUTATIONS))
    headers = b"".join(value for _, value in headers_of(mutation))
    told = repr(lines).encode() + metrics.render() + "\n".join(model.seen).encode()
    everything = (written + encode(mutation) + headers + told).lower()
    assert written
    for spelling in spellings(VALUES[kind]):
        assert spelling.lower() not in everything
    if kind is not Kind.PERSON:
        assert all(kind in chunk.pii for chunk in mutation.content.chunks)


async def test_a_mask_stands_where_the_value_stood_and_citations_point_at_the_value() -> None:
    record = change(
        body=b"Write to ana.lima@mail.example today.\n\n" + b"Filler. " * 400 + b"\n\nOr call +49 30 901820."
    )
    parsed = read_document(record.body or b"", record.content_type, record.doc_id)
    content = (await prepared(record)).content
    assert content is not None
    first, *_, last = content.chunks
    assert first.text.startswith("Write to [EMAIL] today.")
    assert last.text.endswith("Or call [PHONE].")
    for chunk in content.chunks:
        assert _masked(parsed.text[chunk.start : chunk.end]) == chunk.text


def _masked(text: str) -> str:
    return text.replace("ana.lima@mail.example", "[EMAIL]").replace("+49 30 901820", "[PHONE]")


async def test_each_chunk_says_the_kinds_it_had_and_no_others() -> None:
    filler = "Filler stands here. " * 40
    body = f"# A\n\nMail ana.lima@mail.example. {filler}\n\n# B\n\n{filler}\n\n# Call +49 30 901820\n\n{filler}"
    content = (await prepared(change(body=body.encode()), Redaction(profile="default"))).content
    assert content is not None
    for chunk in content.chunks:
        said = " ".join((chunk.text, *chunk.heading_path))
        kinds = [kind for kind, value in (("EMAIL", "ana.lima@"), ("PHONE", "901820")) if value in said]
        assert chunk.pii == tuple(kinds), "the default profile keeps addresses and numbers, and says so"
    assert {kind for chunk in content.chunks for kind in chunk.pii} == {"EMAIL", "PHONE"}


async def test_the_default_profile_masks_what_nobody_should_ask_for() -> None:
    body = f"Pay to {VALUES[Kind.IBAN]} or by card {VALUES[Kind.CREDIT_CARD]}; SSN {VALUES[Kind.SSN]}."
    content = (await prepared(change(body=body.encode()), Redaction())).content
    assert content is not None
    assert content.chunks[0].text == "Pay to [IBAN] or by card [CREDIT_CARD]; SSN [SSN]."


async def test_an_equal_value_has_the_same_pseudonym_in_every_document_of_a_tenant() -> None:
    redaction = Redaction(kinds={Kind.EMAIL: Action.PSEUDONYMISE})
    bodies = (b"Mail Ana.Lima@mail.example.", b"From ana.lima@mail.example!")
    one, other = [(await prepared(change(body=body), redaction)).content for body in bodies]
    elsewhere = (await prepared(change(body=bodies[0], tenant="other"), redaction)).content
    tokens = [_token(content.chunks[0]) for content in (one, other, elsewhere) if content]
    assert tokens[0] == tokens[1] != tokens[2]


def _token(chunk: Chunk) -> str:
    return chunk.text.split("[EMAIL:")[1].split("]")[0]


async def test_a_url_with_personal_data_is_left_out_and_any_other_stays() -> None:
    for url, kept in (
        ("https://wiki.example/u/ana.lima%40mail.example", False),
        ("https://wiki.example/kingfisher+7781", False),
        ("https://wiki.example/articles/2024/05/opening-hours", True),
    ):
        content = (await prepared(planted("nothing", url=url, labels={}))).content
        assert content is not None
        assert (content.url == url) is kept


async def test_a_title_made_of_the_name_is_redacted_like_any_other() -> None:
    content = (await prepared(change(doc="inbox/ana.lima@mail.example.txt", body=b"Text."))).content
    assert content is not None
    assert content.title == "[EMAIL]"
    dropping = Redaction(profile="strict", kinds={Kind.EMAIL: Action.DROP})
    content = (await prepared(change(doc="inbox/ana.lima@mail.example.txt", body=b"Text."), dropping)).content
    assert content is not None
    assert content.title == "(untitled)"


async def test_another_policy_is_another_pipeline() -> None:
    one, other = [(await prepared(change(), redaction)).content for redaction in (Redaction(), STRICT)]
    assert one is not None
    assert other is not None
    assert one.pipeline != other.pipeline
    assert one.content_hash == other.content_hash, "nothing was found in either"


async def test_a_policy_that_looks_for_nothing_changes_nothing() -> None:
    content = (await prepared(planted(VALUES[Kind.EMAIL]), Redaction(profile="off"))).content
    assert content is not None
    assert VALUES[Kind.EMAIL] in content.chunks[0].text
    assert all(chunk.pii == () for chunk in content.chunks)
