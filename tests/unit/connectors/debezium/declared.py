"""A captured source for tests, and the database it would lie in."""

from connectors.debezium.tables import ColumnFacts, PublicationFacts, TableFacts
from connectors.debezium.template import Endpoint, Surroundings
from schemas.sources import SourceConfig

COLUMNS: dict[str, object] = {"key": ["id"], "title": "title", "body": "body"}
AROUND = Surroundings(
    endpoint=Endpoint("db.example", 5432, "reader", "sales", "verify-full", "/ca.pem"),
    password="${dir:/secrets:articles}",
    topic_prefix="p1.",
    max_document_bytes=1000,
    publication_id="17",
    system_id="42",
)
FACTS = TableFacts(
    kind="r",
    columns=(
        ColumnFacts("id", "int8", not_null=True),
        ColumnFacts("title", "text", not_null=False),
        ColumnFacts("body", "text", not_null=False),
        ColumnFacts("owner", "text", not_null=True),
    ),
    unique=(frozenset({"id"}),),
    identity=frozenset({"id"}),
    user="reader",
    slot_limit_mb=2048,
    publication=PublicationFacts("17", frozenset({"insert", "update", "delete", "truncate"}), narrowed=False),
    system="42",
    position=1000,
)


def source(name: str = "articles", *, epoch: int = 1, **postgres: object) -> SourceConfig:
    block = {"dsn_env": "SALES_DSN", "table": "public.articles", "columns": COLUMNS, **postgres}
    return SourceConfig.model_validate(
        {"name": name, "tenant": "acme", "kind": "postgres", "epoch": epoch, "postgres": block}
    )
