"""The demo's table in Postgres: made, captured, written to as its owner would, and waited for by LSN."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from cli.asking import Asker, post
from cli.console import out
from schemas.errors import ConfigError

_DSN = "MILLSTREAM_POSTGRES_DSN"
_PATIENCE_SECONDS = 60.0


@dataclass
class Table:
    """The table of one captured source, whose key column is `id`."""

    source: str
    dsn: str = field(repr=False)
    committed: float = 0.0
    """When the last write was committed, monotonic time."""

    @classmethod
    def captured(cls, script: Path, source: str) -> "Table":
        """Make the table as the script says, and put a source for it in force beside the declared ones."""
        from cli.installing import declare_beside
        from cli.session import open_profile, open_settings
        from schemas.sources import SourceConfig

        table = cls(source, open_profile().environment(os.environ).get(_DSN, ""))
        if not table.dsn:
            raise ConfigError(f"{_DSN} is not set: the demo needs a Postgres that it may create a table in")
        with psycopg.connect(table.dsn) as connection:
            connection.execute(script.read_bytes())
        declare_beside(open_settings(), SourceConfig.model_validate(_declaration(source)))
        out.print(f"   source {source} captures public.bulletins")
        return table

    def write(self, asker: Asker, doc_id: str, statement: str, *, op: str = "upsert") -> str:
        """Change one row, as its owner would. Returns a freshness token for it: the LSN is taken before the write, so
        the row's own change is at or beyond it.
        """
        with psycopg.connect(self.dsn) as connection:
            lsn = _current_lsn(connection)
            connection.execute(statement.encode(), (doc_id,))
        self.committed = time.monotonic()
        return self._token(asker, doc_id, lsn, op)

    def wait(self, asker: Asker, doc_id: str) -> None:
        """Until the row, as it is now, is answerable: a write that changes nothing follows all that came before."""
        token = self.write(asker, doc_id, "UPDATE public.bulletins SET updated_at = now() WHERE id = %s")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = post("/v1/search", {"question": doc_id, "at_least": [token], "wait_ms": 5000}, asker)
            refusal = found.get("refusal")
            if not (isinstance(refusal, dict) and refusal.get("reason") == "not_yet_indexed"):
                return
        raise ConfigError(f"source {self.source} brings nothing: `millstream status` and `millstream doctor` say why")

    def since_commit(self, what: str) -> str:
        """What happened, and how long after the commit in Postgres."""
        return f"{what} {1000 * (time.monotonic() - self.committed):.0f} ms after the commit in Postgres"

    def _token(self, asker: Asker, doc_id: str, lsn: str, op: str) -> str:
        found = post("/v1/tokens", {"source": self.source, "doc_id": doc_id, "lsn": lsn, "op": op}, asker)
        return str(found["token"])


def _current_lsn(connection: "psycopg.Connection[tuple[object, ...]]") -> str:
    row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None
    return str(row[0])


def _declaration(source: str) -> dict[str, object]:
    columns = {"key": ["id"], "title": "title", "body": "body", "acl": "readers", "labels": ["product"]}
    return {
        "name": source,
        "tenant": "aurora",
        "kind": "postgres",
        "default_acl": ["public"],
        "postgres": {"dsn_env": _DSN, "table": "public.bulletins", "columns": columns},
    }
