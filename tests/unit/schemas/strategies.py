"""Hypothesis strategies read off the Avro schemas themselves: whatever a schema allows is generated."""

from datetime import UTC
from typing import Any

from hypothesis import strategies as st

from schemas.codec import AvroSchema
from schemas.records import Record
from tests.unit.schemas.examples import MODELS

_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    "bytes": st.binary(max_size=16),
}


def records(schema: AvroSchema) -> st.SearchStrategy[Record]:
    """Any record that a schema can hold, as its model."""
    return _of(schema.parsed, {}).map(MODELS[schema.name].model_validate)


def _of(schema: Any, named: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    if isinstance(schema, list):
        return st.one_of([_of(branch, named) for branch in schema])
    if isinstance(schema, str):
        return _PRIMITIVES[schema] if schema in _PRIMITIVES else named[schema.rsplit(".", 1)[-1]]
    if schema.get("logicalType") == "timestamp-micros":
        return st.datetimes(timezones=st.just(UTC))
    match schema["type"]:
        case "array":
            return st.lists(_of(schema["items"], named), max_size=3)
        case "map":
            return st.dictionaries(_PRIMITIVES["string"], _of(schema["values"], named), max_size=3)
        case "enum":
            return st.sampled_from(schema["symbols"])
        case "record":
            fields = st.fixed_dictionaries({field["name"]: _of(field["type"], named) for field in schema["fields"]})
            named[schema["name"].rsplit(".", 1)[-1]] = fields
            return fields
        case primitive:
            return _PRIMITIVES[primitive]
