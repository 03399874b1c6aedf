"""Example payloads: schemas/avro/examples/NAME.vN.json, one a schema file.

Plain JSON in the record's own shape; bytes are {"base64": "..."}, times are ISO 8601.
"""

import base64
import json

from schemas.codec import SCHEMA_DIR, AvroSchema
from schemas.records import RECORDS, Record

MODELS = {model.schema_name: model for model in RECORDS}


def example_fields(schema: AvroSchema) -> dict[str, object]:
    """The example of a schema file, bytes decoded."""
    path = SCHEMA_DIR / "examples" / f"{schema.name}.v{schema.version}.json"
    fields = _with_bytes(json.loads(path.read_text()))
    assert isinstance(fields, dict)
    return fields


def example(schema: AvroSchema) -> Record:
    """The example of a schema file as its model."""
    return MODELS[schema.name].model_validate(example_fields(schema))


def _with_bytes(value: object) -> object:
    if isinstance(value, dict):
        if value.keys() == {"base64"}:
            return base64.b64decode(value["base64"], validate=True)
        return {key: _with_bytes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_bytes(item) for item in value]
    return value
