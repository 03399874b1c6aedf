"""Vectors on disk, so that a restart embeds nothing again: SQLite, bounded; vectors and hashes alone, never a text.

A cache: whatever is wrong with the file, it is begun anew, and a vector whose checksum is wrong was never there.
Several processes may share it. The file is its owner's alone: a vector tells something of its text.
"""

import os
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import structlog

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS vectors (name TEXT PRIMARY KEY, used INTEGER NOT NULL, vector BLOB NOT NULL)
STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS vectors_used ON vectors (used);
"""
_ASKED_AT_ONCE = 500
_HOUR = 3600
_TAKEN = ("SQLITE_BUSY", "SQLITE_LOCKED")
_BUSY_SECONDS = 5.0
_CHECKSUM_BYTES = 4
_ROW_BYTES = 120
"""What SQLite needs beside the vector, roughly."""
_FREED = 16
"""One vector in so many goes when there is no room."""

log = structlog.get_logger("millstream.vectors")


class VectorCache:
    """At most `megabytes` of vectors of `dimension` values in `folder`, the least recently used ones go first.

    The folder is made where it is missing; one file an embedder's fingerprint. Its methods may be called from any one
    thread at a time, and never raise for what is wrong with the disk.
    """

    def __init__(self, folder: Path, fingerprint: str, dimension: int, megabytes: int) -> None:
        self._file = folder / f"{fingerprint}.sqlite"
        self._vector_bytes = 4 * dimension
        self._limit = megabytes * 1024 * 1024 // (self._vector_bytes + _ROW_BYTES)
        self._rows = 0
        self._connection: sqlite3.Connection | None = None
        self._open()

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """The vectors it has, by name."""
        found: dict[str, bytes] = {}
        try:
            for part in _parts(names):
                found |= self._get(part)
        except sqlite3.Error as error:
            self._begin_anew(error)
        return found

    def put(self, vectors: Mapping[str, bytes]) -> None:
        """Keep vectors; the oldest make room."""
        if self._connection is None or not vectors:
            return
        now = int(time.time())
        rows = [(name, now, vector + _checksum(name, vector)) for name, vector in vectors.items()]
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
                self._rows += len(rows)
                if self._rows > self._limit:
                    self._make_room()
        except sqlite3.Error as error:
            self._begin_anew(error)

    def close(self) -> None:
        """Let the file go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _get(self, names: Sequence[str]) -> dict[str, bytes]:
        if self._connection is None:
            return {}
        marks = ",".join("?" * len(names))
        statement = f"SELECT name, vector, used FROM vectors WHERE name IN ({marks})"  # noqa: S608 - question marks
        rows = self._connection.execute(statement, list(names)).fetchall()
        now = int(time.time())
        stale = [(now, name) for name, _, used in rows if now - used > _HOUR]
        if stale:
            with self._connection:
                self._connection.executemany("UPDATE vectors SET used = ? WHERE name = ?", stale)
        return {name: stored[:-_CHECKSUM_BYTES] for name, stored, _ in rows if self._is_sound(name, stored)}

    def _is_sound(self, name: str, stored: bytes) -> bool:
        vector, checksum = stored[:-_CHECKSUM_BYTES], stored[-_CHECKSUM_BYTES:]
        return len(vector) == self._vector_bytes and checksum == _checksum(name, vector)

    def _make_room(self) -> None:
        """Others write here too, and a replaced row was counted twice: count before anything goes."""
        assert self._connection is not None
        (self._rows,) = self._connection.execute("SELECT count(*) FROM vectors").fetchone()
        over = self._rows - self._limit + self._limit // _FREED
        if self._rows > self._limit:
            oldest = "SELECT name FROM vectors ORDER BY used LIMIT ?"
            self._connection.execute(f"DELETE FROM vectors WHERE name IN ({oldest})", (over,))  # noqa: S608
            self._rows -= over

    def _open(self) -> None:
        try:
            self._connect()
        except (sqlite3.Error, OSError) as error:
            self._begin_anew(error)

    def _connect(self) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        # The window's own thread asks, another one closes; never two at once.
        self._connection = sqlite3.connect(self._file, timeout=_BUSY_SECONDS, check_same_thread=False)
        self._connection.executescript(_SCHEMA)
        (self._rows,) = self._connection.execute("SELECT count(*) FROM vectors").fetchone()

    def _begin_anew(self, error: Exception) -> None:
        """Once with an empty file, then without one. A file that another process writes for long is left as it is."""
        if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorname.startswith(_TAKEN):
            return
        self.close()
        log.warning("the vector cache is begun anew", error=type(error).__name__)
        try:
            for suffix in ("", "-wal", "-shm"):
                self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
            self._connect()
        except (sqlite3.Error, OSError) as second:
            self._connection = None
            log.error("there is no vector cache: after a restart everything is embedded", error=type(second).__name__)


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _ASKED_AT_ONCE):
        yield names[start : start + _ASKED_AT_ONCE]


def _checksum(name: str, vector: bytes) -> bytes:
    return zlib.crc32(vector, zlib.crc32(name.encode())).to_bytes(_CHECKSUM_BYTES, "big")
