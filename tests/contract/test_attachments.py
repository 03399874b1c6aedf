"""A message and its attachments in one document row, on each adapter: found by their own title and kind, moved,
replaced and deleted together.
"""

from collections.abc import Sequence

import pytest

from index.filters import Filters
from index.memory_log import MemoryCommitLog
from index.model import ChunkSubject, DocumentRow, chunk_hash, content_hash
from index.port import VersionedIndex
from index.reader import Question, Reader
from index.rows import PositionedMutation
from index.writer import TenantWriter
from runtime.clock import SystemClock
from schemas.errors import PermanentError
from schemas.identity import Tenant
from schemas.records import Content, Part
from schemas.versions import Op
from tests.unit.index.fakes import chunk, doc, mutation, question, writer_on

OFFER = (Part(title="offer.docx", kind="docx"), "tea for nine euros")
TERMS = (Part(title="terms.pdf", kind="pdf"), "tea is paid in May")


def mail(offset: int, tenant: Tenant, text: str, attached: Sequence[tuple[Part, str]]) -> PositionedMutation:
    """A message `m` of one chunk, and one chunk for each attachment."""
    document = doc("m", tenant)
    wholes = [(Part(title="Moving", kind="eml"), text), *attached]
    chunks = tuple(
        chunk(document, number, said, whole.title).model_copy(
            update={
                "part": number,
                "hash": chunk_hash(ChunkSubject(document, said, whole.title, (), whole.kind, "en", ())),
            }
        )
        for number, (whole, said) in enumerate(wholes)
    )
    content = Content(
        chunks=chunks,
        content_hash=content_hash(one.hash for one in chunks),
        title="Moving",
        kind="eml",
        language="en",
        pipeline="p1",
        parts=tuple(part for part, _ in attached),
    )
    bare = mutation(offset, "m", tenant=tenant, acl=["staff"])
    return PositionedMutation(bare.mutation.model_copy(update={"content": content}), bare.at)


def asked(tenant: Tenant, *principals: str, kinds: tuple[str, ...] = ()) -> Question:
    """A question for tea, of these kinds only."""
    return question("tea", *principals, tenant=tenant, filters=Filters(kinds=kinds))


async def found(reader: Reader, asked: Question) -> list[tuple[str, str, int]]:
    """Title, kind and part of what is found, by the state's own word."""
    retrieved = await reader.retrieve(asked)
    ids = {hit.chunk_id for hit in (*retrieved.vector, *retrieved.lexical)}
    rows = await reader.texts(asked.tenant, ids)
    parts = {entry.chunk_id: (row, entry.part) for row in retrieved.rows.values() for entry in row.manifest}
    for chunk_id in ids:
        row, part = parts[chunk_id]
        whole = row.whole(part)
        assert (rows[chunk_id].title, rows[chunk_id].kind) == (whole.title, whole.kind)
    return sorted((rows[one].title, rows[one].kind, parts[one][1]) for one in ids)


async def state(reader: Reader, tenant: Tenant) -> DocumentRow | None:
    return (await reader.document(doc("m", tenant), frozenset({"staff"})))[1]


async def written(index: VersionedIndex, tenant: Tenant, *mails: PositionedMutation) -> tuple[TenantWriter, Reader]:
    writer = writer_on(index, MemoryCommitLog(), tenant=tenant)
    for one in mails:
        await writer.commit([one])
    return writer, Reader(index, SystemClock())


async def test_an_attachment_is_found_by_its_own_kind_and_the_message_by_its(
    index: VersionedIndex, tenant: Tenant
) -> None:
    _, reader = await written(index, tenant, mail(0, tenant, "tea for all", [OFFER, TERMS]))
    staff = "staff"
    assert await found(reader, asked(tenant, staff)) == [
        ("Moving", "eml", 0),
        ("offer.docx", "docx", 1),
        ("terms.pdf", "pdf", 2),
    ]
    assert await found(reader, asked(tenant, staff, kinds=("pdf",))) == [("terms.pdf", "pdf", 2)]
    assert await found(reader, asked(tenant, staff, kinds=("eml",))) == [("Moving", "eml", 0)]
    assert await found(reader, asked(tenant, "guests")) == []


async def test_an_attachment_that_moved_keeps_its_row_and_one_that_changed_is_written_alone(
    index: VersionedIndex, tenant: Tenant
) -> None:
    writer, reader = await written(index, tenant, mail(0, tenant, "tea for all", [OFFER, TERMS]))
    before = await state(reader, tenant)
    await writer.commit([mail(1, tenant, "tea for all", [TERMS, (OFFER[0], "tea for ten euros")])])
    after = await state(reader, tenant)
    assert before is not None
    assert after is not None
    message, offer, terms = (entry.chunk_id for entry in before.manifest)
    assert [entry.part for entry in after.manifest] == [0, 1, 2]
    assert [entry.chunk_id for entry in after.manifest][:2] == [message, terms]
    assert after.superseded == (offer,)
    assert after.parts == (TERMS[0], OFFER[0])
    assert await found(reader, asked(tenant, "staff", kinds=("docx",))) == [("offer.docx", "docx", 2)]


async def test_a_change_of_the_acl_keeps_the_attachments_and_a_delete_of_the_message_takes_them(
    index: VersionedIndex, tenant: Tenant
) -> None:
    writer, reader = await written(index, tenant, mail(0, tenant, "tea for all", [OFFER, TERMS]))
    await writer.commit([mutation(1, "m", op=Op.ACL, acl=["staff", "board"], tenant=tenant)])
    kept = await state(reader, tenant)
    assert kept is not None
    assert kept.parts == (OFFER[0], TERMS[0])
    assert await found(reader, asked(tenant, "board", kinds=("docx",))) == [("offer.docx", "docx", 1)]
    await writer.commit([mutation(2, "m", op=Op.DELETE, tenant=tenant)])
    assert await state(reader, tenant) is None
    assert await found(reader, asked(tenant, "staff")) == []


async def test_a_chunk_of_a_part_that_its_document_does_not_have_is_refused(
    index: VersionedIndex, tenant: Tenant
) -> None:
    whole = mail(0, tenant, "tea for all", [OFFER])
    assert whole.mutation.content is not None
    content = whole.mutation.content.model_copy(update={"parts": ()})
    broken = PositionedMutation(whole.mutation.model_copy(update={"content": content}), whole.at)
    with pytest.raises(PermanentError, match="part that its document does not have"):
        await writer_on(index, MemoryCommitLog(), tenant=tenant).commit([broken])
