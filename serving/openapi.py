"""The OpenAPI 3.1 description, generated from the models that requests and responses are made of."""

from collections.abc import Mapping

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving.models import (
    ChangeOut,
    DocumentResponse,
    ProblemOut,
    QueryRequest,
    QueryResponse,
    SearchRequest,
    SearchResponse,
    TokenRequest,
    TokenResponse,
    VersionsResponse,
)

_VERSION = "1"
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}]
_PATH_PARAMETERS = [
    {"name": "source", "in": "path", "required": True, "schema": {"type": "string"}},
    {
        "name": "doc_id",
        "in": "path",
        "required": True,
        "description": "one segment: percent-encode it, slashes too (a/b is a%2Fb)",
        "schema": {"type": "string"},
    },
]


def _query_parameter(name: str, schema: Mapping[str, object]) -> dict[str, object]:
    return {"name": name, "in": "query", "schema": schema}


def _problem(description: str) -> dict[str, object]:
    schema = {"$ref": "#/components/schemas/ProblemOut"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


def _operation(
    summary: str, response: type[BaseModel], request: type[BaseModel] | None, parameters: list[dict[str, object]]
) -> dict[str, object]:
    answers = {
        "200": _content("what was asked for; of a question, an answer or a refusal as data", response),
        "400": _problem("the request is at fault; `field` names the member"),
        "401": _problem("no credentials, or none that hold"),
        "403": _problem("a scope is missing"),
        "429": _problem("overloaded: see Retry-After"),
        "503": _problem("the index does not answer"),
    }
    if request is None:
        answers["404"] = _problem("absent, deleted or forbidden alike")
    operation: dict[str, object] = {"summary": summary, "security": _SECURITY, "responses": answers}
    if request is not None:
        operation["requestBody"] = _content("what is asked", request) | {"required": True}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _content(description: str, model: type[BaseModel]) -> dict[str, object]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _stream() -> dict[str, object]:
    operation = _operation("What was committed, as server-sent events", ChangeOut, None, [])
    operation["parameters"] = [
        _query_parameter("after", {"type": "integer"}),
        _query_parameter("source", {"type": "array", "items": {"type": "string"}}),
        _query_parameter("follow", {"type": "boolean", "default": True}),
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
    ]
    events = {"text/event-stream": {"schema": {"$ref": f"#/components/schemas/{ChangeOut.__name__}"}}}
    told = {"description": "events `change`, each with a JSON object, and at last `end`", "content": events}
    gone = _problem("Last-Event-ID is of another build of the index")
    responses = operation["responses"]
    assert isinstance(responses, dict)
    operation["responses"] = {code: answer for code, answer in responses.items() if code != "404"} | {
        "200": told,
        "410": gone,
    }
    return operation


def openapi() -> dict[str, object]:
    """The whole description, as a JSON object."""
    requests: list[type[BaseModel]] = [QueryRequest, SearchRequest, TokenRequest]
    responses: list[type[BaseModel]] = [
        QueryResponse,
        SearchResponse,
        DocumentResponse,
        VersionsResponse,
        TokenResponse,
        ChangeOut,
        ProblemOut,
    ]
    _, schemas = models_json_schema(
        [*((model, "validation") for model in requests), *((model, "serialization") for model in responses)],
        ref_template="#/components/schemas/{model}",
    )
    as_of = _query_parameter("as_of", {"oneOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}]})
    text = _query_parameter("text", {"type": "boolean"})
    limit = _query_parameter("limit", {"type": "integer", "minimum": 1, "maximum": 200})
    below = _query_parameter("below", {"type": "integer"})
    place: list[dict[str, object]] = [dict(parameter) for parameter in _PATH_PARAMETERS]
    document = "/v1/documents/{source}/{doc_id}"
    return {
        "openapi": "3.1.0",
        "info": {"title": "Millstream query API", "version": _VERSION},
        "paths": {
            "/v1/query": {"post": _operation("Answer a question with citations", QueryResponse, QueryRequest, [])},
            "/v1/search": {"post": _operation("Retrieve passages", SearchResponse, SearchRequest, [])},
            document: {"get": _operation("One document", DocumentResponse, None, [*place, as_of, text])},
            f"{document}/versions": {
                "get": _operation("A document's states", VersionsResponse, None, [*place, limit, below])
            },
            "/v1/changes": {"get": _stream()},
            "/v1/tokens": {"post": _operation("A freshness token for a change", TokenResponse, TokenRequest, [])},
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
        },
    }
