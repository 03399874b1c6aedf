"""Repairs what an audit found, through the log: by appending, never by writing to the index.

A document's newest change is appended to documents.changes again in its version, marked; the tenant's writer takes it
although the version is equal, writes all its rows anew and supersedes every other row the document has. A commit that
was lost is told again, from the rows it told of.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from index.model import Published, Seq
from index.moments import row_at
from index.port import CommitLog, VersionedIndex
from index.rows import commit_of
from index.states import state_before
from runtime.log_port import Log, StoredRecord
from schemas.copies import copy_of
from schemas.errors import BrokenIndexError, DecodeError, InvalidNameError, PermanentError
from schemas.headers import Again, stated_again, stated_change
from schemas.identity import Document, Tenant
from schemas.records import Commit, Coordinates
from schemas.topics import CHANGES, Topics
from schemas.versions import Op, Version
from streams.audit_log import AuditLog, commits_of


@dataclass(frozen=True, slots=True)
class _Newest:
    version: Version
    record: StoredRecord


class Repair:
    """Of one build. Raises TransientError: again, it is safe."""

    def __init__(self, log: Log, reads: AuditLog, topics: Topics) -> None:
        self._log = log
        self._reads = reads
        self._topics = topics

    async def documents(self, wanted: Collection[Document]) -> Mapping[Document, Coordinates]:
        """Append the newest change of each document, and of its acl where that is another, again. One that the log does
        not know, or has undecodable, is missing from the answer: nothing says what it has to be.
        """
        found = await asyncio.to_thread(self._newest, frozenset(wanted))
        appended: dict[Document, Coordinates] = {}
        for document, records in found.items():
            for record in records:
                try:
                    copy = copy_of(record.value or b"", record.coordinates, Again.REPAIR)
                    at = await self._log.append(copy.topic, copy.partition, copy.key, copy.value, copy.headers)
                except PermanentError:
                    continue  # `prepare` has it as a dead letter, and the others are to be repaired nonetheless
                appended[document] = at
        return appended

    def _newest(self, wanted: Collection[Document]) -> Mapping[Document, Sequence[StoredRecord]]:
        """The newest records of both registers, the acl's first: rows are then written for its readers."""
        partitions = {self._topics.partition(CHANGES, document=document) for document in wanted}
        newest: dict[tuple[Document, bool], _Newest] = {}
        for record in self._reads.changes(partitions):
            try:
                document = Document.from_key(record.key or "")
                if document in wanted:
                    _keep(newest, document, record)
            except (InvalidNameError, DecodeError):
                continue
        found: dict[Document, list[StoredRecord]] = defaultdict(list)
        for (document, _), one in sorted(newest.items(), key=lambda pair: pair[0][1]):
            if one.record not in found[document]:
                found[document].append(one.record)
        return found


def _keep(newest: dict[tuple[Document, bool], _Newest], document: Document, record: StoredRecord) -> None:
    change = stated_change(record.headers)
    one = _Newest(change.version.at(record.coordinates.offset), record)
    register = document, change.op is not Op.ACL
    known = newest.get(register)
    # Of equal versions the first counts; where compaction has taken it, its healed copy stands for it.
    stands = known is not None and one.version == known.version and stated_again(record.headers) is Again.HEALED
    if known is None or one.version > known.version or stands:
        newest[register] = one


async def tell_again(
    index: VersionedIndex, commits: CommitLog, published: Published, seqs: Iterable[Seq]
) -> Sequence[Commit]:
    """Emit the commits of published seqs once more. Raises BrokenIndexError for a seq that has not one row, once the
    others are told.
    """
    again, broken = list[Commit](), list[BrokenIndexError]()
    for seq in seqs:
        try:
            row = await row_at(index, published, seq)
        except BrokenIndexError as error:
            broken.append(error)
            continue
        before = await state_before(index, published, row.document, seq)
        again.append(commit_of(index.identity, row, before))
    await commits.emit(again)
    if broken:
        raise broken[0]
    return again


async def documents_at(reads: AuditLog, index: VersionedIndex, tenant: Tenant, seqs: Collection[Seq]) -> set[Document]:
    """Which documents index.commits tells of at these seqs: where their rows are gone, nothing else does."""
    return await asyncio.to_thread(
        lambda: {
            commit.document
            for commit in commits_of(reads.commits(), index.identity)
            if commit.tenant == tenant and commit.seq in seqs
        }
    )
