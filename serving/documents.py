"""One document: its state at a position, its chunks, its audit trail. Absent, deleted and forbidden look the same."""

from collections.abc import Mapping

from index.manifest import ChunkId
from index.model import ChunkRow, DocumentRow, IndexIdentity, Moment, Seq
from index.moments import AsOf, FuturePositionError, HistoryUnavailableError
from index.reader import Reader
from schemas.errors import InvalidNameError, UnknownTenantError
from schemas.identity import Document
from schemas.records import Coordinates
from serving.caller import HISTORY, Caller
from serving.models import ChunkOut, DocumentResponse, Position, RecordOut, VersionOut, VersionsResponse
from serving.problems import Problem, ProblemError, bad_request, not_found

MAX_CHUNKS = 200
MAX_VERSIONS = 200


class Documents:
    """Reads documents of one incarnation."""

    def __init__(self, reader: Reader, identity: IndexIdentity) -> None:
        self._reader = reader
        self._identity = identity

    async def document(
        self, caller: Caller, source: str, doc_id: str, *, as_of: AsOf | None, text: bool, request_id: str
    ) -> DocumentResponse:
        """Its state, with ?text=true its first 200 chunks. Raises ProblemError (400, 404), TransientError."""
        document = _checked(caller, source, doc_id)
        try:
            at, row = await self._reader.document(
                document, caller.principals, as_of=as_of, history=HISTORY in caller.scopes
            )
        except UnknownTenantError:
            raise not_found() from None
        except FuturePositionError as error:
            detail = f"as_of is in the future: the newest position is {error.newest}."
            raise ProblemError(Problem(400, error.reason, detail, "as_of", {"newest": error.newest})) from None
        except HistoryUnavailableError as error:
            raise ProblemError(Problem(410, error.reason, f"{str(error).capitalize()}.", "as_of")) from None
        if row is None:
            raise not_found()
        ids = [entry.chunk_id for entry in row.manifest[:MAX_CHUNKS]] if text else []
        chunks = await self._reader.texts(caller.tenant, ids) if ids else {}
        return DocumentResponse(
            source=row.document.source,
            doc_id=row.document.doc_id,
            title=row.title,
            url=row.url,
            kind=row.kind,
            language=row.language,
            labels=row.labels,
            pipeline=row.pipeline,
            state=_version(row),
            chunks=_chunks(row, chunks) if text else None,
            position=self._position(at),
            request_id=request_id,
        )

    async def versions(
        self, caller: Caller, source: str, doc_id: str, *, limit: int, below: Seq | None, request_id: str
    ) -> VersionsResponse:
        """Its states, newest first. Raises ProblemError (400, 404), TransientError."""
        document = _checked(caller, source, doc_id)
        try:
            at, rows = await self._reader.versions(
                document, caller.principals, limit=limit, below=below, history=HISTORY in caller.scopes
            )
        except UnknownTenantError:
            raise not_found() from None
        if not rows and below is None:
            raise not_found()
        return VersionsResponse(
            source=document.source,
            doc_id=document.doc_id,
            versions=tuple(_version(row) for row in rows),
            next=rows[-1].from_seq if len(rows) == limit else None,
            position=self._position(at),
            request_id=request_id,
        )

    def _position(self, at: Moment) -> Position:
        return Position(
            generation=self._identity.generation,
            incarnation=self._identity.incarnation,
            seq=at.seq,
            committed_at=at.committed_at,
        )


def _checked(caller: Caller, source: str, doc_id: str) -> Document:
    try:
        return Document.checked(caller.tenant, source, doc_id)
    except InvalidNameError as error:
        raise bad_request(f"{error}.", reason=error.reason) from None


def _chunks(row: DocumentRow, chunks: Mapping[ChunkId, ChunkRow]) -> tuple[ChunkOut, ...]:
    return tuple(
        ChunkOut(
            chunk_id=entry.chunk_id,
            ordinal=ordinal,
            page=entry.page,
            start=entry.start,
            end=entry.end,
            heading_path=chunks[entry.chunk_id].heading_path,
            text=chunks[entry.chunk_id].text,
        )
        for ordinal, entry in enumerate(row.manifest[:MAX_CHUNKS])
        if entry.chunk_id in chunks
    )


def _record(coordinates: Coordinates) -> RecordOut:
    return RecordOut(topic=coordinates.topic, partition=coordinates.partition, offset=coordinates.offset)


def _version(row: DocumentRow) -> VersionOut:
    return VersionOut(
        seq=row.from_seq,
        op=row.op.value,
        version=None if row.content_version is None else str(row.content_version),
        acl_version=None if row.acl_version is None else str(row.acl_version),
        present=row.is_present,
        title=row.title,
        content_hash=row.content_hash,
        chunks=len(row.manifest),
        event_id=row.event_id,
        actor=row.actor,
        event_time=row.event_time,
        received_at=row.received_at,
        committed_at=row.committed_at,
        change=_record(row.change),
        mutation=_record(row.mutation),
        connector=row.origin.connector,
        reference=row.origin.reference,
    )
