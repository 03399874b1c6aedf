"""What a row says: documents, deletes, acls - and what becomes of a row that cannot be read."""

import base64
from datetime import UTC, datetime

import pytest

from connectors.changes import Receipt
from connectors.debezium.envelope import Position, Row, RowChange, RowOp
from connectors.debezium.mapping import Mapped, changes_of
from connectors.debezium.order import Place
from connectors.debezium.rows import PLACEHOLDER, lacks_values
from schemas.errors import PermanentError
from schemas.records import DocumentChange, Origin
from schemas.sources import SourceConfig
from schemas.versions import Op, Rank, StatedVersion
from tests.unit.connectors.debezium_records import TABLE

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
RECEIPT = Receipt(NOW, "cdc.articles/0/7", Origin(connector="debezium", reference="public.articles@0/12C"))
PLACE = Place(300)


def declared(columns: dict[str, object] | None = None, **table: object) -> SourceConfig:
    mapped = {"key": ["id"], "title": "title", "body": "body", **(columns or {})}
    return SourceConfig.model_validate(
        {
            "name": "articles",
            "tenant": "acme",
            "kind": "postgres",
            "epoch": 2,
            "default_acl": ["public"],
            "postgres": {"dsn_env": "DSN", "table": TABLE, "content_type": "text/markdown", "columns": mapped, **table},
        }
    )


PLAIN = declared()
GUARDED = declared({"acl": "acl"})
SHARED = declared({"tenant": "tenant", "acl": "acl"}, tenants=["acme", "zeta"])
OUTBOX = declared({"key": ["doc"], "op": "op", "acl": "acl"}, shape="outbox")


def mapped(
    source: SourceConfig, op: RowOp, after: Row | None, *, before: Row | None = None, key: Row | None = None
) -> Mapped:
    named = key if key is not None else {name: (after or before or {}).get(name) for name in ("id",)}
    change = RowChange(op, TABLE, Position(300, 100), named, before, after)
    return changes_of(change, source, PLACE, RECEIPT, max_bytes=1000)


def only(made: Mapped) -> DocumentChange:
    assert made.refused is None
    (change,) = made.changes
    return change


def ops(made: Mapped) -> list[tuple[str, str, Op]]:
    return [(change.tenant, change.doc_id, change.op) for change in made.changes]


ROW = {"id": 7, "title": "Hours", "body": "Open at nine."}


@pytest.mark.parametrize("op", ["c", "r", "u"])
def test_a_row_is_a_document_at_its_place_in_the_log(op: RowOp) -> None:
    change = only(mapped(PLAIN, op, ROW))
    assert (change.tenant, change.source, change.doc_id, change.op) == ("acme", "articles", "7", Op.UPSERT)
    assert change.version == StatedVersion(2, 300, Rank.UPSERT)
    assert (change.title, change.body, change.content_type) == ("Hours", b"Open at nine.", "text/markdown")
    assert (change.acl, change.default_acl) == (None, ("public",))


def test_a_deleted_row_deletes_its_document() -> None:
    change = only(mapped(PLAIN, "d", None, before={"id": 7, "title": None, "body": None}))
    assert (change.doc_id, change.op, change.version) == ("7", Op.DELETE, StatedVersion(2, 300, Rank.DELETE))


def test_the_messages_key_says_which_row_is_gone_before_the_old_row_does() -> None:
    """What an old row does not log, Debezium fills with the column's default."""
    change = only(mapped(PLAIN, "d", None, before={"id": 0, "title": "", "body": ""}, key={"id": 7}))
    assert change.doc_id == "7"


@pytest.mark.parametrize("body", [None, ""])
def test_a_row_without_a_body_is_no_document_any_more(body: str | None) -> None:
    assert only(mapped(PLAIN, "u", {**ROW, "body": body})).op is Op.DELETE


@pytest.mark.parametrize("body", [None, ""])
def test_a_row_without_a_body_still_says_who_may_read_what_it_was(body: str | None) -> None:
    made = mapped(GUARDED, "u", {**ROW, "body": body, "acl": ["hr"]})
    assert made.refused is None
    assert [(change.op, change.acl) for change in made.changes] == [(Op.DELETE, None), (Op.ACL, ("hr",))]
    assert [change.version.rank for change in made.changes] == [Rank.DELETE, Rank.ACL]


def test_everything_a_source_maps_reaches_the_change() -> None:
    source = declared(
        {
            "key": ["shelf", "id"],
            "content_type": "kind",
            "url": "url",
            "labels": ["category", "pages", "draft", "empty"],
            "event_time": "at",
            "actor": "who",
        },
        pii_columns=["mail", "names"],
    )
    row = {
        **ROW,
        "shelf": "a/b%",
        "kind": "text/plain",
        "url": "https://wiki.example/7",
        "category": "news",
        "pages": 3,
        "draft": False,
        "empty": None,
        "at": "2026-11-20T08:00:00.5Z",
        "who": "ann",
        "mail": "ann@corp.example",
        "names": ["Ann", None],
    }
    change = only(mapped(source, "c", row, key={"shelf": "a/b%", "id": 7}))
    assert change.doc_id == "a%2Fb%25/7"
    assert (change.content_type, change.url, change.actor) == ("text/plain", "https://wiki.example/7", "ann")
    assert change.labels == {"category": "news", "pages": "3", "draft": "false"}
    assert change.event_time == datetime(2026, 11, 20, 8, 0, 0, 500_000, tzinfo=UTC)
    assert change.private == ("ann@corp.example", "Ann")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-20T08:00:00Z", datetime(2026, 11, 20, 8, tzinfo=UTC)),
        ("2026-11-20T10:00:00+02:00", datetime(2026, 11, 20, 8, tzinfo=UTC)),
        ("2026-11-20T08:00:00", datetime(2026, 11, 20, 8, tzinfo=UTC)),
        ("2026-11-20Z", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        (1795248000, datetime(2026, 11, 21, 8, tzinfo=UTC)),
        (1795248000_000, datetime(2026, 11, 21, 8, tzinfo=UTC)),
        (1795248000_000_000, datetime(2026, 11, 21, 8, tzinfo=UTC)),
        (1795248000_000_000_000, datetime(2026, 11, 21, 8, tzinfo=UTC)),
        (None, None),
    ],
)
def test_times_are_read_in_every_form_columns_have(value: object, expected: datetime | None) -> None:
    assert only(mapped(declared({"event_time": "at"}), "c", {**ROW, "at": value})).event_time == expected


@pytest.mark.parametrize("value", ["soon", "infinity", True, 10**30])
def test_what_is_no_time_is_refused(value: object) -> None:
    made = mapped(declared({"event_time": "at"}), "c", {**ROW, "at": value})
    assert (made.changes, made.withdrawal) == ((), False)
    assert made.refused is not None
    assert made.refused.reason == "invalid_event"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["hr", "user:ann"], ("hr", "user:ann")),
        ('["hr", "user:ann"]', ("hr", "user:ann")),
        ("hr, user:ann", ("hr", "user:ann")),
        ("hr", ("hr",)),
        ([], ()),
        ("[]", ()),
        ("", ()),
        (" , ", ()),
        (None, ("public",)),
        ("null", ("public",)),
    ],
)
def test_an_acl_column_is_a_list_json_or_entries_between_commas(value: object, expected: tuple[str, ...]) -> None:
    assert only(mapped(GUARDED, "u", {**ROW, "acl": value})).acl == expected


@pytest.mark.parametrize("value", [3, {"a": 1}, ["hr", None], '{"hr": 1}', "[hr", ["hr "], ["user:"]])
def test_a_row_whose_acl_cannot_be_read_shows_nothing_new_and_is_an_alert(value: object) -> None:
    made = mapped(GUARDED, "u", {**ROW, "acl": value})
    assert made.changes == ()
    assert made.refused is not None
    assert made.withdrawal


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"body": PLACEHOLDER}, "unavailable_value"),
        ({"body": "x" * 1001}, "too_large"),
        ({"title": "a\x07b"}, "invalid_event"),
        ({"body": ["a"]}, "invalid_event"),
    ],
)
def test_a_row_whose_content_is_refused_still_moves_its_acl(fields: Row, reason: str) -> None:
    made = mapped(GUARDED, "u", {**ROW, **fields, "acl": ["hr"]})
    assert made.refused is not None
    assert (made.refused.reason, made.withdrawal) == (reason, False)
    (change,) = made.changes
    assert (change.op, change.acl, change.body) == (Op.ACL, ("hr",), None)
    assert change.version == StatedVersion(2, 300, Rank.ACL)


@pytest.mark.parametrize("value", [PLACEHOLDER, base64.b64encode(PLACEHOLDER.encode()).decode(), [PLACEHOLDER]])
@pytest.mark.parametrize("column", ["id", "title", "body", "acl", "category", "mail"])
def test_the_placeholder_of_a_value_that_is_not_there_never_passes(column: str, value: object) -> None:
    source = declared({"acl": "acl", "labels": ["category"]}, pii_columns=["mail"])
    row = {**ROW, "acl": ["hr"], "category": "news", "mail": "a@b.example", column: value}
    made = mapped(source, "u", row)
    assert made.refused is not None
    assert made.refused.reason == "unavailable_value"
    assert all(change.op is Op.ACL and change.acl == ("hr",) for change in made.changes)


def test_a_placeholder_in_a_column_that_is_not_mapped_is_nobodys_business() -> None:
    assert only(mapped(PLAIN, "u", {**ROW, "notes": PLACEHOLDER})).op is Op.UPSERT


def test_a_binary_body_is_decoded() -> None:
    source = declared(body_encoding="bytes")
    assert only(mapped(source, "c", {**ROW, "body": base64.b64encode(b"%PDF-").decode()})).body == b"%PDF-"
    assert mapped(source, "c", {**ROW, "body": "no base64!"}).refused is not None


def test_a_long_or_broken_title_is_made_to_fit() -> None:
    assert only(mapped(PLAIN, "c", {**ROW, "title": " Two\n lines "})).title == "Two lines"
    assert only(mapped(PLAIN, "c", {**ROW, "title": "x" * 600})).title == "x" * 512
    assert only(mapped(PLAIN, "c", {**ROW, "title": "  "})).title is None


def test_a_row_that_changes_its_tenant_leaves_the_old_one() -> None:
    before = {**ROW, "tenant": "acme", "acl": ["hr"]}
    made = mapped(SHARED, "u", {**before, "tenant": "zeta"}, before=before)
    assert ops(made) == [("acme", "7", Op.DELETE), ("zeta", "7", Op.UPSERT)]
    assert {change.version.sequence for change in made.changes} == {300}


def test_a_row_that_moves_to_a_tenant_nobody_declared_leaves_the_old_one_all_the_same() -> None:
    before = {**ROW, "tenant": "acme", "acl": ["hr"]}
    made = mapped(SHARED, "u", {**before, "tenant": "stranger"}, before=before)
    assert ops(made) == [("acme", "7", Op.DELETE)]
    assert made.refused is not None


@pytest.mark.parametrize("before", [None, {"id": 7}, {**ROW, "tenant": "acme", "acl": None}])
def test_a_row_that_keeps_its_identity_leaves_nothing(before: Row | None) -> None:
    assert ops(mapped(SHARED, "u", {**ROW, "tenant": "acme", "acl": ["hr"]}, before=before)) == [
        ("acme", "7", Op.UPSERT)
    ]


def test_a_row_that_changes_a_key_that_is_not_the_primary_key_leaves_the_old_document() -> None:
    source = declared({"key": ["slug"]})
    before = {**ROW, "slug": "old"}
    made = mapped(source, "u", {**ROW, "slug": "new"}, before=before, key={"id": 7})
    assert ops(made) == [("acme", "old", Op.DELETE), ("acme", "new", Op.UPSERT)]


@pytest.mark.parametrize("fields", [{"id": None}, {"id": [1]}, {"id": " x"}, {"tenant": None}])
def test_a_row_that_names_no_document_is_refused(fields: Row) -> None:
    made = mapped(SHARED, "c", {**ROW, "tenant": "acme", "acl": None, **fields})
    assert made.changes == ()
    assert made.refused is not None


def test_a_delete_that_names_no_document_is_an_alert() -> None:
    made = mapped(SHARED, "d", None, before={"id": 7, "tenant": None}, key={"id": 7})
    assert made.withdrawal
    assert made.refused is not None


def test_a_column_that_is_gone_is_named() -> None:
    made = mapped(PLAIN, "u", {"id": 7, "title": "x"})
    assert made.refused is not None
    assert made.refused.reason == "unmapped_column"
    assert "body" in str(made.refused)


def test_new_columns_and_changed_types_change_nothing() -> None:
    change = only(mapped(PLAIN, "u", {"id": "7", "title": 12.5, "body": True, "extra": {"a": 1}}))
    assert (change.doc_id, change.title, change.body) == ("7", "12.5", b"true")


def test_a_row_of_another_table_is_refused() -> None:
    with pytest.raises(PermanentError, match="another table"):
        changes_of(RowChange("c", "public.other", Position(300), {}, None, ROW), PLAIN, PLACE, RECEIPT, 1000)


def test_changes_that_share_a_sequence_keep_their_order_in_the_rank() -> None:
    change = RowChange("u", TABLE, Position(300), {"id": 7}, None, ROW)
    made = changes_of(change, PLAIN, Place(799, 5), RECEIPT, 1000)
    assert made.changes[0].version == StatedVersion(2, 799, Rank.UPSERT + 4 * 5)


EVENT = {"doc": "guide", "op": "upsert", "title": "T", "body": "Text.", "acl": None}


def test_an_outbox_row_is_one_event_and_its_acl_is_absent_where_it_is_null() -> None:
    change = only(mapped(OUTBOX, "c", EVENT, key={"doc": "guide"}))
    assert (change.doc_id, change.op, change.acl) == ("guide", Op.UPSERT, None)
    assert only(mapped(OUTBOX, "c", {**EVENT, "op": "delete"}, key={})).op is Op.DELETE
    moved = only(mapped(OUTBOX, "c", {**EVENT, "op": "acl", "acl": ["hr"], "body": None}, key={}))
    assert (moved.op, moved.acl) == (Op.ACL, ("hr",))


@pytest.mark.parametrize("op", ["u", "d"])
def test_an_outbox_row_that_changes_or_goes_says_nothing(op: RowOp) -> None:
    made = mapped(OUTBOX, op, None if op == "d" else EVENT, before=EVENT if op == "d" else None)
    assert made == Mapped()


@pytest.mark.parametrize(
    "fields", [{"op": "erase"}, {"op": "grant"}, {"op": None}, {"op": "acl", "acl": None}, {"doc": None}]
)
def test_an_outbox_event_that_cannot_be_read_is_an_alert(fields: Row) -> None:
    made = mapped(OUTBOX, "c", {**EVENT, **fields}, key={})
    assert made.changes == ()
    assert made.refused is not None
    assert made.withdrawal


@pytest.mark.parametrize("what", ["title", "body", "category"])
def test_no_refusal_quotes_a_value(what: str) -> None:
    made = mapped(declared({"labels": ["category"]}), "c", {**ROW, "category": "a", what: "secret\x00" * 200})
    assert "secret" not in str(made.refused)


def test_a_row_without_its_key_column_is_not_asked_for() -> None:
    change = RowChange("u", TABLE, Position(200), {"id": 1}, None, {"title": "T", "body": PLACEHOLDER})
    assert PLAIN.postgres is not None
    assert not lacks_values(change, PLAIN.postgres)
