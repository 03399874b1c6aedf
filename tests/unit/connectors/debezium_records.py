"""Records as Debezium 3.7 writes them with our connector template, in short."""

import orjson

TABLE = "public.articles"


def source(lsn: int, *, last_commit: int | None = 100, snapshot: str = "false", **more: object) -> dict[str, object]:
    schema, _, table = TABLE.partition(".")
    sequence = orjson.dumps([None if last_commit is None else str(last_commit), str(lsn)]).decode()
    where = {"schema": schema, "table": table, "lsn": lsn, "sequence": sequence, "snapshot": snapshot, "txId": 7}
    return {"connector": "postgresql", "version": "3.7.0.Final", **where, **more}


def row(op: str, lsn: int, *, before: object = None, after: object = None, **more: object) -> bytes:
    content = {"before": before, "after": after, "source": source(lsn, **more), "transaction": None, "op": op}  # type: ignore[arg-type]
    return orjson.dumps({**content, "ts_ms": 1})


def key(**columns: object) -> bytes:
    return orjson.dumps(columns)


def notification(kind: str, **more: str) -> bytes:
    told = {"id": "1", "type": kind, "aggregate_type": "Initial Snapshot", "timestamp": 1}
    return orjson.dumps({**told, "additional_data": {"connector_name": "c", **more}})


def scanned(rows: int) -> bytes:
    facts = {"scanned_collection": TABLE, "total_rows_scanned": str(rows), "status": "SUCCEEDED"}
    return notification("TABLE_SCAN_COMPLETED", data_collections=TABLE, **facts)


HEARTBEAT = orjson.dumps({"ts_ms": 1795261885665})
