"""Bytes of records: Avro single-object encoding (Avro 1.12 specification, "Single object encoding").

Two marker bytes, the writer schema's CRC-64-AVRO fingerprint (8 bytes, little endian), then the Avro body. Every
version of every schema in schemas/avro stays readable: the fingerprint names the writer's, the newest is the
reader's.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import fastavro
import orjson
from fastavro.schema import fingerprint, to_parsing_canonical_form
from fastavro.types import Schema
from pydantic import ValidationError

from schemas.errors import DecodeError, PermanentError
from schemas.records import RECORDS, Record

MARKER = b"\xc3\x01"
_PREFIX_BYTES = 10
SCHEMA_DIR = Path(__file__).parent / "avro"

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class AvroSchema:
    """One schema file: `name` and `version` from its file name, the parsed schema, its 8-byte fingerprint."""

    name: str
    version: int
    parsed: Schema
    fingerprint: bytes


def fingerprint_bytes(schema: Schema) -> bytes:
    """CRC-64-AVRO over the parsing canonical form, as the encoding carries it (little endian)."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


@dataclass(frozen=True, slots=True)
class Codec:
    """Encodes and decodes the records of one set of schema files."""

    newest: Mapping[str, AvroSchema]
    by_fingerprint: Mapping[bytes, AvroSchema]
    models: Mapping[str, type[Record]]

    @classmethod
    def of(cls, found: Iterable[AvroSchema], models: Iterable[type[Record]]) -> "Codec":
        """A codec for these schemas. Raises ValueError where a fingerprint would not say which schema wrote a record:
        it covers neither defaults nor logical types, so two versions that differ in nothing else share it.
        """
        ordered = sorted(found, key=lambda schema: (schema.name, schema.version))
        by_fingerprint = {schema.fingerprint: schema for schema in ordered}
        if len(by_fingerprint) != len(ordered):
            raise ValueError("two schema files have the same fingerprint")
        return cls({schema.name: schema for schema in ordered}, by_fingerprint, {m.schema_name: m for m in models})

    def encode(self, record: Record) -> bytes:
        """Encode with the newest schema of the record's name. Raises PermanentError for what Avro cannot hold."""
        schema = self.newest[record.schema_name]
        body = io.BytesIO()
        try:
            fastavro.schemaless_writer(body, schema.parsed, _with_lists(record.model_dump()))
        except (ValueError, OverflowError):  # a lone surrogate, a number beyond 64 bits; the messages quote the value
            raise PermanentError(
                f"a {record.schema_name} holds text that is not Unicode or a number beyond 64 bits",
                reason="unencodable",
            ) from None
        return MARKER + schema.fingerprint + body.getvalue()

    def decode_any(self, payload: bytes) -> Record:
        """Decode whichever record this is. Raises DecodeError, without any of the payload in its message."""
        if len(payload) < _PREFIX_BYTES or payload[:2] != MARKER:
            raise DecodeError("not Avro single-object encoding: the value does not begin with C3 01 and a fingerprint")
        writer = self.by_fingerprint.get(payload[2:_PREFIX_BYTES])
        if writer is None:
            raise DecodeError(f"no schema has the fingerprint {payload[2:_PREFIX_BYTES].hex()}")
        body = io.BytesIO(payload[_PREFIX_BYTES:])
        try:
            fields = fastavro.schemaless_reader(body, writer.parsed, self.newest[writer.name].parsed)
        except Exception as error:  # noqa: BLE001 - fastavro raises whatever the bytes provoke; each means the same
            raise DecodeError(
                f"the body does not fit schema {writer.name}.v{writer.version}: {type(error).__name__}"
            ) from None
        if body.read(1):
            raise DecodeError(f"bytes left over after schema {writer.name}.v{writer.version}")
        try:
            return self.models[writer.name].model_validate(fields)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise DecodeError(f"{writer.name}.{where}: {error.errors()[0]['type']}") from None


def _with_lists(value: object) -> object:
    """Tuples as lists: inside a union fastavro takes a tuple for (branch, value)."""
    if isinstance(value, dict):
        return {key: _with_lists(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_with_lists(item) for item in value]
    return value


def load_schemas(directory: Path) -> tuple[AvroSchema, ...]:
    """Every schema file `name.vN.avsc` of a directory, oldest version of a name first."""
    found = []
    for path in directory.glob("*.v*.avsc"):
        name, version = path.name.removesuffix(".avsc").rsplit(".v", 1)
        raw = orjson.loads(path.read_bytes())
        found.append(AvroSchema(name, int(version), fastavro.parse_schema(raw), fingerprint_bytes(raw)))
    return tuple(sorted(found, key=lambda schema: (schema.name, schema.version)))


@cache
def schemas() -> tuple[AvroSchema, ...]:
    """The schemas of this release."""
    return load_schemas(SCHEMA_DIR)


@cache
def _codec() -> Codec:
    return Codec.of(schemas(), RECORDS)


def encode(record: Record) -> bytes:
    """Encode with the newest schema of the record's name. Raises PermanentError for what Avro cannot hold."""
    return _codec().encode(record)


def decode_any(payload: bytes) -> Record:
    """Decode whichever record this is. Raises DecodeError, without any of the payload in its message."""
    return _codec().decode_any(payload)


def decode(payload: bytes, model: type[R]) -> R:
    """Decode a record of one kind. Raises DecodeError, also for a record of another kind."""
    record = decode_any(payload)
    if not isinstance(record, model):
        raise DecodeError(f"expected a {model.schema_name}, found a {record.schema_name}")
    return record
