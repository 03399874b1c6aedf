"""What documents.changes says of each document, from its headers alone: the newest of each register, by version.

Pure. A record that cannot be read is a dead letter's matter and says nothing here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from index.audit.compare import Registers
from runtime.log_port import StoredRecord
from schemas.errors import DecodeError, InvalidNameError
from schemas.headers import stated_change
from schemas.identity import Document, Source
from schemas.versions import Op, Version

_NOTHING = Registers()


@dataclass(slots=True)
class Changes:
    """Of some documents, as far as the topic was read."""

    registers: dict[Document, Registers] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)
    """Partition -> the end up to which it was read."""
    last_heard: dict[Source, datetime] = field(default_factory=dict)
    """When each source's last change was received."""

    def take(self, records: Iterable[StoredRecord], wanted: Callable[[Document], bool]) -> None:
        """Add records, each partition's in order, as far as `ends` go."""
        for record in records:
            if record.coordinates.offset >= self.ends.get(record.coordinates.partition, 0):
                continue
            try:
                document = Document.from_key(record.key or "")
                if wanted(document):
                    self._add(document, record)
            except (InvalidNameError, DecodeError):
                continue

    def _add(self, document: Document, record: StoredRecord) -> None:
        change, offset = stated_change(record.headers), record.coordinates.offset
        version, known = change.version.at(offset), self.registers.get(document, _NOTHING)
        if change.op is not Op.ACL and _counts(version, known.content):
            deleted = change.op in (Op.DELETE, Op.ERASE)
            known = replace(known, content=version, content_at=offset, deleted=deleted)
        if change.acl is not None and _counts(version, known.acl):
            known = replace(known, acl=version, acl_at=offset)
        self.registers[document] = known
        heard = change.received_at.astimezone(UTC)
        self.last_heard[document.source] = max(heard, self.last_heard.get(document.source, heard))


def _counts(version: Version, known: Version | None) -> bool:
    """Of equal ones the last is where the register lies: redriven or repaired, it may be a dead letter no more, or
    again.
    """
    return known is None or version >= known
