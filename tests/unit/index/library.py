"""An index with a writer and a reader, on a clock that tests move."""

from dataclasses import replace
from typing import Any

from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import RowId
from index.reader import Question, Reader, Retrieved
from index.rows import PositionedMutation
from runtime.clock import ManualClock
from tests.unit.index.fakes import TENANT, doc, writer_on


class Library:
    """An index with a writer and a reader."""

    def __init__(self, index: MemoryIndex) -> None:
        self.index = index
        self.clock = ManualClock()
        self._log = MemoryCommitLog()
        self.writer = writer_on(index, self._log, clock=self.clock)
        self.reader = Reader(index, self.clock)

    async def commit(self, *batch: PositionedMutation) -> None:
        await self.writer.commit(batch)

    async def found(self, asked: Question) -> dict[str, list[str]]:
        """Document -> texts that either leg brings, sorted."""
        return await self.texts_of(await self.reader.retrieve(asked))

    async def texts_of(self, retrieved: Retrieved) -> dict[str, list[str]]:
        ids = {found.chunk_id for found in (*retrieved.vector, *retrieved.lexical)}
        rows = await self.reader.texts(TENANT, ids)
        assert rows.keys() == ids, "a row that was found is missing"
        texts: dict[str, list[str]] = {}
        for row in rows.values():
            assert row.document in retrieved.rows
            texts.setdefault(row.document.doc_id, []).append(row.text)
        return {name: sorted(found) for name, found in texts.items()}

    async def hide(self, name: str, **hides: Any) -> None:
        """Write the document's newest row again with hide registers set, as `hide` will."""
        (last, *_) = await self.index.document_history(doc(name), limit=1)
        head = await self.reader.position(TENANT)
        seq = head.seq + 1
        row = replace(
            last,
            id=RowId(f"hide{seq}"),
            from_seq=seq,
            epoch=head.head.epoch,
            batch_from=seq - 1,
            batch_to=seq,
            superseded=(),
            **hides,
        )
        await self.index.insert_documents(TENANT, [row])
        await self.index.put_head(replace(head.head, seq=seq))
        self.writer = writer_on(self.index, self._log, clock=self.clock)
