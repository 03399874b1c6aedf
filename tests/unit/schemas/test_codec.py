import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from schemas.codec import (
    MARKER,
    SCHEMA_DIR,
    AvroSchema,
    Codec,
    decode,
    decode_any,
    encode,
    fingerprint_bytes,
    load_schemas,
    schemas,
)
from schemas.errors import DecodeError, PermanentError
from schemas.records import RECORDS, DocumentChange, Hide, Mutation, Record, TakeOver
from tests.unit.schemas.examples import MODELS, example, example_fields
from tests.unit.schemas.strategies import records

every_schema = pytest.mark.parametrize("schema", schemas(), ids=lambda schema: f"{schema.name}.v{schema.version}")
NEWEST = {schema.name: schema for schema in schemas()}
every_newest_schema = pytest.mark.parametrize("schema", NEWEST.values(), ids=lambda schema: schema.name)


@every_newest_schema
def test_an_example_decodes_into_its_model_and_encodes_to_the_same_bytes(schema: AvroSchema) -> None:
    record = example(schema)
    payload = encode(record)
    assert payload[:10] == MARKER + schema.fingerprint
    assert decode_any(payload) == record
    assert encode(decode_any(payload)) == payload
    assert record.model_dump().keys() == example_fields(schema).keys(), "an example states every field"


@pytest.mark.parametrize(
    "schema",
    [schema for schema in schemas() if schema != NEWEST[schema.name]],
    ids=lambda schema: f"{schema.name}.v{schema.version}",
)
def test_what_an_earlier_release_wrote_reads_with_the_defaults_of_newer_fields(schema: AvroSchema) -> None:
    record = example(schema)
    written = Codec.of([schema], RECORDS).encode(record)
    assert written[:10] == MARKER + schema.fingerprint
    assert decode_any(written) == record
    assert record.model_fields_set == example_fields(schema).keys()


def test_every_example_belongs_to_a_schema_file() -> None:
    examples = {path.name.removesuffix(".json") for path in (SCHEMA_DIR / "examples").iterdir()}
    assert examples == {f"{schema.name}.v{schema.version}" for schema in schemas()}


@every_schema
@settings(max_examples=60, deadline=None)
@given(chosen=st.data())
def test_whatever_a_schema_allows_survives_the_round_trip(schema: AvroSchema, chosen: st.DataObject) -> None:
    record = chosen.draw(records(schema))
    payload = encode(record)
    assert decode(payload, MODELS[schema.name]) == record
    assert encode(decode_any(payload)) == payload


def test_models_and_newest_schemas_name_the_same_fields() -> None:
    newest = {schema.name: schema for schema in schemas()}
    assert newest.keys() == MODELS.keys()
    for name, model in MODELS.items():
        _same_fields(model, newest[name].parsed)


def _same_fields(model: type[BaseModel], parsed: Any) -> None:
    in_schema = {field["name"]: field["type"] for field in parsed["fields"]}
    assert in_schema.keys() == model.model_fields.keys(), model.__name__
    for name, kind in in_schema.items():
        optional = isinstance(kind, list) and "null" in kind
        takes_none = type(None) in getattr(model.model_fields[name].annotation, "__args__", ())
        assert optional == takes_none, f"{model.__name__}.{name}"


@every_schema
def test_every_field_of_a_schema_says_what_it_is_and_optional_ones_default_to_null(schema: AvroSchema) -> None:
    assert isinstance(schema.parsed, dict)
    for field in schema.parsed["fields"]:
        assert field.get("doc"), field["name"]
        if isinstance(field["type"], list):
            assert field["type"][0] == "null"
            assert field["default"] is None


def test_the_fingerprint_is_the_specifications_own_little_endian() -> None:
    assert fingerprint_bytes("int") == (0x7275D51A3F395C8F).to_bytes(8, "little")


def _released(schema: AvroSchema) -> str:
    """A hash over what may never change once released: everything but docs."""
    text = json.dumps(_without_docs(json.loads(_file(schema).read_text())), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _file(schema: AvroSchema) -> Path:
    return SCHEMA_DIR / f"{schema.name}.v{schema.version}.avsc"


def _without_docs(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_docs(item) for key, item in value.items() if key != "doc"}
    return [_without_docs(item) for item in value] if isinstance(value, list) else value


def test_released_schemas_never_change() -> None:
    now = [f"{schema.name}.v{schema.version} {schema.fingerprint.hex()} {_released(schema)}" for schema in schemas()]
    golden = (SCHEMA_DIR / "fingerprints.txt").read_text().splitlines()
    assert now == [line for line in golden if line and not line.startswith("#")]


@every_schema
def test_a_body_cut_off_anywhere_is_a_decode_error(schema: AvroSchema) -> None:
    payload = encode(example(schema))
    for length in range(len(payload)):
        with pytest.raises(DecodeError):
            decode_any(payload[:length])


@every_schema
def test_bytes_left_over_are_a_decode_error(schema: AvroSchema) -> None:
    with pytest.raises(DecodeError, match="left over"):
        decode_any(encode(example(schema)) + b"\x00")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "single-object"),
        (b"\x00\x00\x00\x00\x01", "single-object"),
        (b"\xc3\x02" + bytes(20), "single-object"),
        (MARKER + bytes(8) + b"x", "no schema has the fingerprint 0000000000000000"),
    ],
)
def test_a_wrong_marker_and_an_unknown_fingerprint_are_decode_errors(payload: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_any(payload)


def test_a_record_of_another_kind_is_a_decode_error() -> None:
    payload = encode(_example_of("hide"))
    assert decode(payload, Hide)
    with pytest.raises(DecodeError, match="expected a mutation, found a hide"):
        decode(payload, Mutation)


def _example_of(name: str) -> Record:
    return example(next(schema for schema in schemas() if schema.name == name))


@every_schema
@settings(max_examples=150, deadline=None)
@given(chosen=st.data())
def test_damaged_bytes_decode_or_raise_a_decode_error(schema: AvroSchema, chosen: st.DataObject) -> None:
    payload = bytearray(encode(example(schema)))
    for _ in range(chosen.draw(st.integers(1, 4))):
        payload[chosen.draw(st.integers(0, len(payload) - 1))] = chosen.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        decode_any(bytes(payload))


def test_a_decode_error_carries_nothing_of_the_payload() -> None:
    secret = "four-leaf-clover"
    change = _example_of("document_change").model_copy(update={"title": secret, "body": secret.encode()})
    payload = encode(change)
    damaged = [payload[:-1], payload + b"\x01", payload.replace(secret.encode(), b"\xff" * len(secret))]
    damaged += [payload[:2] + bytes(8) + payload[10:], b"\xc3\x02" + payload[2:]]
    for broken in damaged:
        with pytest.raises(DecodeError) as caught:
            decode_any(broken)
        assert secret not in str(caught.value)
        assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "clover \ud800"},
        {"acl": ("clover\udfff",)},
        {"labels": {"clover\ud800": "x"}},
        {"version": {"epoch": 1, "sequence": 2**63, "rank": 0}},
        {"version": {"epoch": 2**70, "sequence": 1, "rank": 0}},
    ],
)
def test_what_avro_cannot_hold_is_a_permanent_error_without_the_value(fields: dict[str, object]) -> None:
    change = DocumentChange.model_validate({**_example_of("document_change").model_dump(), **fields})
    with pytest.raises(PermanentError) as caught:
        encode(change)
    assert caught.value.reason == "unencodable"
    assert "clover" not in str(caught.value)
    assert "9223372036854775808" not in str(caught.value)


class TakeOverWithReason(TakeOver):
    """take_over as a later release might have it."""

    reason: str = "assignment"


@pytest.fixture
def next_release(tmp_path: Path) -> Codec:
    """Today's schemas and take_over.v2, which adds a field with a default."""
    for schema in schemas():
        (tmp_path / _file(schema).name).write_bytes(_file(schema).read_bytes())
    changed = json.loads((SCHEMA_DIR / "take_over.v1.avsc").read_text())
    changed["fields"].append({"name": "reason", "type": "string", "default": "assignment", "doc": "why"})
    (tmp_path / "take_over.v2.avsc").write_text(json.dumps(changed))
    models = [TakeOverWithReason if model is TakeOver else model for model in RECORDS]
    return Codec.of(load_schemas(tmp_path), models)


def test_a_later_release_reads_what_this_one_wrote(next_release: Codec) -> None:
    old = _example_of("take_over")
    read = next_release.decode_any(encode(old))
    assert read == TakeOverWithReason(**old.model_dump(), reason="assignment")


def test_a_later_release_writes_its_newest_schema_which_this_one_refuses(next_release: Codec) -> None:
    new = TakeOverWithReason(**_example_of("take_over").model_dump(), reason="repair")
    payload = next_release.encode(new)
    assert next_release.decode_any(payload) == new
    with pytest.raises(DecodeError, match="no schema has the fingerprint"):
        decode_any(payload)


def test_two_versions_that_no_fingerprint_tells_apart_are_refused(tmp_path: Path) -> None:
    schema = json.loads((SCHEMA_DIR / "take_over.v1.avsc").read_text())
    (tmp_path / "take_over.v1.avsc").write_text(json.dumps(schema))
    schema["fields"][0]["default"] = "nobody"
    (tmp_path / "take_over.v2.avsc").write_text(json.dumps(schema))
    with pytest.raises(ValueError, match="same fingerprint"):
        Codec.of(load_schemas(tmp_path), RECORDS)


def test_an_acl_copy_keeps_version_and_acl_and_drops_the_content() -> None:
    change = _example_of("document_change")
    assert isinstance(change, DocumentChange)
    copy = change.acl_copy(1042)
    assert copy.key == change.document.acl_key != change.key
    assert (copy.acl, copy.body, copy.title) == (change.acl, None, None)
    assert copy.version.at(7) == change.version.at(1042)
    assert decode(encode(copy), DocumentChange) == copy
