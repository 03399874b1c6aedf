"""Which tables can be captured as declared, and the one line that says why not."""

from dataclasses import replace

import pytest

from connectors.debezium.tables import (
    ColumnFacts,
    PublicationFacts,
    TableFacts,
    advice,
    check_table,
    create_publication,
)
from schemas.errors import ConfigError
from schemas.sources import SourceConfig
from tests.unit.connectors.debezium.declared import COLUMNS, FACTS, source

ALL = frozenset({"insert", "update", "delete", "truncate"})
OUTBOX = source(shape="outbox", columns={"key": ["title"], "op": "owner", "body": "body"})


def test_a_good_table_passes_with_and_without_its_publication() -> None:
    check_table(source(), FACTS, "pub")
    check_table(source(), replace(FACTS, publication=None), "pub")


def column(name: str, kind: str, *, not_null: bool = True, generated: bool = False) -> TableFacts:
    others = tuple(known for known in FACTS.columns if known.name != name)
    return replace(FACTS, columns=(*others, ColumnFacts(name, kind, not_null, generated)))


@pytest.mark.parametrize(
    ("declared", "facts", "says"),
    [
        (source(), replace(FACTS, kind=""), "table public.articles does not exist, or reader may not see it"),
        (source(), replace(FACTS, kind="v"), "is a view"),
        (source(), replace(FACTS, kind="p"), "is a partitioned table"),
        (source(), replace(FACTS, persistent=False), "ALTER TABLE public.articles SET LOGGED"),
        (source(), replace(FACTS, readable=False), "GRANT SELECT ON public.articles TO reader"),
        (source(), replace(FACTS, row_security=True), "ALTER ROLE reader BYPASSRLS"),
        (source(), replace(FACTS, standby=True), "is a standby"),
        (source(), replace(FACTS, wal_level="replica"), "ALTER SYSTEM SET wal_level = 'logical'"),
        (source(), replace(FACTS, may_replicate=False), "ALTER ROLE reader REPLICATION"),
        (source(), replace(FACTS, free_slots=0), "max_replication_slots"),
        (source(columns={**COLUMNS, "acl": "readers"}), FACTS, "has no column readers (columns.acl); it has id, title"),
        (source(pii_columns=["email"]), FACTS, "has no column email (columns.pii_columns)"),
        (source(), column("body", "text", generated=True), "column body of table public.articles is generated"),
        (source(), column("id", "timestamptz"), "column id of table public.articles has type timestamptz"),
        (source(), column("title", "_text"), "has type text[], and columns.title takes citext, text, varchar"),
        (source(body_encoding="bytes"), FACTS, "has type text, and columns.body takes bytea"),
        (source(), column("id", "int8", not_null=False), "ALTER COLUMN id SET NOT NULL"),
        (source(), replace(FACTS, unique=()), "ALTER TABLE public.articles ADD PRIMARY KEY (id)"),
        (source(), replace(FACTS, unique=(frozenset({"id", "owner"}),)), "the key id of table public.articles is not"),
        (source(), replace(FACTS, identity=frozenset()), "REPLICA IDENTITY FULL"),
        (
            source(columns={**COLUMNS, "tenant": "owner"}),
            FACTS,
            "column owner of a deleted row, which names its tenant",
        ),
        (source(), replace(FACTS, publication=PublicationFacts("", ALL, False)), "ALTER PUBLICATION pub ADD TABLE"),
        (source(), replace(FACTS, publication=PublicationFacts("1", ALL, True)), "ALTER PUBLICATION pub SET TABLE"),
        (
            source(),
            replace(FACTS, publication=PublicationFacts("1", ALL - {"truncate"}, False)),
            "SET (publish = 'insert, update, delete, truncate')",
        ),
        (OUTBOX, column("title", "text", not_null=False), "column title of table public.articles may be NULL"),
    ],
)
def test_a_table_that_cannot_be_captured_is_one_line_with_the_remedy(
    declared: SourceConfig, facts: TableFacts, says: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        check_table(declared, facts, "pub")
    assert says in str(refused.value)
    assert str(refused.value).startswith("source articles: ")
    assert "\n" not in str(refused.value)


def test_a_part_of_the_key_that_is_unique_alone_is_enough() -> None:
    check_table(
        source(columns={**COLUMNS, "key": ["id", "owner"]}), replace(FACTS, identity=frozenset({"id", "owner"})), "p"
    )


def test_an_outbox_needs_neither_a_unique_key_nor_old_rows() -> None:
    inserts = PublicationFacts("1", frozenset({"insert"}), narrowed=False)
    facts = replace(column("title", "text"), unique=(), identity=frozenset(), publication=inserts)
    check_table(OUTBOX, facts, "pub")
    assert OUTBOX.postgres is not None
    made = create_publication(OUTBOX.postgres, "pub")
    assert made == """CREATE PUBLICATION pub FOR TABLE "public"."articles" WITH (publish = 'insert')"""


def test_a_slot_without_a_limit_is_advised_against() -> None:
    assert advice(source(), FACTS) == ()
    assert "max_slot_wal_keep_size" in advice(source(), replace(FACTS, slot_limit_mb=-1))[0]
