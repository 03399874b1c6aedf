"""One change to one mutation: what is carried on, what is derived, and what is refused."""

from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage

import numpy as np
import pytest

from index.embedding.words import HashedWordsEmbedder
from index.model import ChunkSubject, chunk_hash, label_list
from runtime.clock import ManualClock
from schemas.errors import DecodeError, InvalidNameError, PermanentError, TooLargeError
from schemas.records import DocumentChange, Mutation, Part
from schemas.versions import Op, Version
from streams.core.blocks import ParsedDocument
from streams.core.redaction import Search, Sighted
from streams.parse.document import read_document
from streams.pipeline import TITLE_CHARACTERS, Pipeline, prepare, title_of
from streams.redact.find import sighted
from streams.vectors import Vectors
from streams.window import Delivery
from tests.unit.streams.records import OnePolicy, PlainParser, change, change_delivery, topics


class Counting(HashedWordsEmbedder):
    """Remembers what it embedded."""

    def __init__(self) -> None:
        super().__init__(dimension=16)
        self.embedded: list[str] = []

    def embed(self, texts):  # type: ignore[no-untyped-def]
        self.embedded += texts
        return super().embed(texts)


def pipeline(embedder: HashedWordsEmbedder | None = None, limit: int = 10_000) -> Pipeline:
    model = embedder or HashedWordsEmbedder(dimension=16)
    return Pipeline(
        parser=PlainParser(),
        policies=OnePolicy(),
        tokens=model,
        vectors=Vectors(model),
        embedder=model.fingerprint,
        max_tokens=model.max_tokens,
        recipe="r1",
        max_document_bytes=limit,
        topics=topics(),
        clock=ManualClock(),
    )


class InProcess:
    """The real parser, without a process of its own."""

    async def read(self, body: bytes, content_type: str | None, name: str, search: Search) -> Sighted:
        return sighted(read_document(body, content_type, name), search)


def mail(**attached: str) -> DocumentChange:
    """A message with these Markdown files."""
    message = EmailMessage()
    message["From"], message["Subject"] = "ada@example.test", "Moving the office"
    message.set_content("See both papers.")
    for name, text in attached.items():
        message.add_attachment(text, subtype="markdown", filename=f"{name}.md")
    given = change(doc="m/7.eml", body=bytes(message))
    return given.model_copy(update={"title": None, "content_type": "message/rfc822"})


async def prepared(record: DocumentChange, offset: int = 7) -> Mutation:
    return await prepare(change_delivery(record, offset), pipeline())


async def test_an_upsert_becomes_chunks_with_unit_vectors_and_carries_its_origin_on() -> None:
    record = change()
    mutation = await prepared(record)
    assert mutation.content is not None
    assert mutation.content.title == "Setting up"
    assert mutation.content.kind == "markdown"
    assert mutation.content.pipeline.startswith("r1.")
    (chunk,) = mutation.content.chunks
    assert chunk.text == "Turn the key."
    assert np.linalg.norm(np.frombuffer(chunk.vector, "<f4")) == pytest.approx(1.0)
    assert mutation.change.offset == 7
    assert (mutation.origin, mutation.received_at, mutation.default_acl) == (
        record.origin,
        record.received_at,
        ("staff",),
    )
    assert mutation.acl is None


async def test_a_version_without_sequence_is_the_records_offset() -> None:
    assert (await prepared(change(), offset=41)).version == Version(1, 41, 0)
    assert (await prepared(change(sequence=5), offset=41)).version == Version(1, 5, 0)


async def test_a_delete_carries_no_content_but_that_it_is_gone() -> None:
    mutation = await prepared(change(Op.DELETE))
    assert mutation.content is not None
    assert mutation.content.deleted
    assert mutation.content.chunks == ()
    assert mutation.key == "acme/wiki/guides/setup.md"


async def test_an_acl_alone_leaves_the_content_register_and_lies_under_its_own_key() -> None:
    mutation = await prepared(change(Op.ACL, acl=("hr",)))
    assert mutation.content is None
    assert mutation.acl == ("hr",)
    assert mutation.key == "acme/wiki/guides/setup.md#acl"


async def test_an_upsert_with_an_acl_sets_both_registers_in_one_record() -> None:
    mutation = await prepared(change(acl=("hr",)))
    assert mutation.content is not None
    assert mutation.acl == ("hr",)


async def test_preparing_again_gives_the_same_hashes_and_embeds_nothing() -> None:
    model = Counting()
    using = pipeline(model)
    first = await prepare(change_delivery(change(), 1), using)
    again = await prepare(change_delivery(change(), 2), using)
    assert first.content == again.content
    assert len(model.embedded) == 1


async def test_a_chunks_hash_changes_with_the_title_but_not_with_the_acl() -> None:
    plain, renamed, shared = [
        (await prepared(record)).content for record in (change(), change(title="Other"), change(acl=("hr",)))
    ]
    assert plain is not None
    assert renamed is not None
    assert shared is not None
    assert plain.chunks[0].hash != renamed.chunks[0].hash
    assert plain.chunks[0].hash == shared.chunks[0].hash


async def test_the_same_words_at_another_time_are_the_same_chunks() -> None:
    early, late = [(await prepared(change(time=time))).content for time in (None, datetime(2026, 3, 1, tzinfo=UTC))]
    assert early == late


@pytest.mark.parametrize(
    ("delivery", "error", "reason"),
    [
        (replace(change_delivery(change()), value=None), DecodeError, "empty"),
        (replace(change_delivery(change()), value=b"\xc3\x01 nonsense"), DecodeError, "undecodable"),
        (replace(change_delivery(change()), key=b"acme/wiki/other"), DecodeError, "misplaced"),
        (change_delivery(change(body=None)), DecodeError, "empty"),
        (change_delivery(change(Op.ACL)), DecodeError, "empty"),
        (change_delivery(change(doc=" spaced")), InvalidNameError, "invalid_name"),
        (change_delivery(change(body=b"x" * 20_000)), TooLargeError, "too_large"),
    ],
)
async def test_what_can_never_be_prepared_says_why(
    delivery: Delivery, error: type[PermanentError], reason: str
) -> None:
    with pytest.raises(error) as raised:
        await prepare(delivery, pipeline())
    assert raised.value.reason == reason


async def test_a_record_in_another_partition_than_its_keys_is_refused() -> None:
    delivery = change_delivery(change())
    moved = delivery.coordinates.model_copy(update={"partition": (delivery.coordinates.partition + 1) % 8})
    with pytest.raises(DecodeError) as raised:
        await prepare(replace(delivery, coordinates=moved), pipeline())
    assert raised.value.reason == "misplaced"


async def test_over_four_thousand_chunks_is_too_large_and_says_so() -> None:
    body = "\n\n".join(" ".join(f"w{n}x{word}" for word in range(180)) for n in range(4001)).encode()
    with pytest.raises(TooLargeError, match="4000 chunks"):
        await prepare(change_delivery(change(body=body)), pipeline(limit=100_000_000))


@pytest.mark.parametrize(
    ("given", "own", "doc", "title"),
    [
        ("Given", "Own", "a/b.md", "Given"),
        ("  ", "Own", "a/b.md", "Own"),
        (None, None, "a/setting-up.md", "setting-up"),
        (None, None, "a/b/", "b"),
        (None, None, "release 1.2", "release 1.2"),
        (None, None, ".html", ".html"),
    ],
)
def test_a_title_is_found_in_the_change_then_the_document_then_the_doc_id(
    given: str | None, own: str | None, doc: str, title: str
) -> None:
    document = ParsedDocument(own, None, "text", "", ())
    assert title_of(change(doc=doc, title=given), document) == title


def test_a_title_of_a_page_is_cut_to_what_the_door_allows() -> None:
    page = ParsedDocument("T" * 1_000_000, None, "html", "", ())
    assert title_of(change(title=None), page) == "T" * TITLE_CHARACTERS


async def test_a_message_s_attachments_are_parts_with_hashes_of_their_own_title_and_kind() -> None:
    using = replace(pipeline(), parser=InProcess())
    content = (await prepare(change_delivery(mail(offer="# Offer\n\nNine euros.", terms="In May.")), using)).content
    assert content is not None
    assert (content.title, content.kind) == ("Moving the office", "eml")
    assert content.parts == (Part(title="offer.md", kind="markdown"), Part(title="terms.md", kind="markdown"))
    assert [(chunk.part, chunk.heading_path, chunk.text) for chunk in content.chunks[1:]] == [
        (1, ("Moving the office", "Offer"), "Nine euros."),
        (2, ("Moving the office",), "In May."),
    ]
    assert [(chunk.start, chunk.end) for chunk in content.chunks[1:]] == [(7, 18), (0, 7)]
    subject = ChunkSubject(
        document=mail().document,
        text="In May.",
        title="terms.md",
        heading_path=("Moving the office",),
        kind="markdown",
        language=content.language,
        labels=label_list(content.labels),
    )
    assert content.chunks[2].hash == chunk_hash(subject)


async def test_an_edit_of_one_attachment_embeds_its_chunks_alone() -> None:
    model = Counting()
    using = replace(pipeline(model), parser=InProcess())
    first = await prepare(change_delivery(mail(offer="Nine euros.", terms="In May."), 1), using)
    model.embedded.clear()
    second = await prepare(change_delivery(mail(offer="Ten euros.", terms="In May."), 2), using)
    assert model.embedded == ["offer.md\nMoving the office\nTen euros."]
    assert first.content is not None
    assert second.content is not None
    before, after = ([chunk.hash for chunk in one.content.chunks] for one in (first, second) if one.content)
    assert (before[0], before[2]) == (after[0], after[2])


async def test_a_very_long_name_of_an_attachment_is_cut() -> None:
    using = replace(pipeline(limit=100_000), parser=InProcess())
    content = (await prepare(change_delivery(mail(**{"n" * 3000: "In May."})), using)).content
    assert content is not None
    assert [len(part.title) for part in content.parts] == [TITLE_CHARACTERS]
