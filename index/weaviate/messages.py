"""Turns queries and rows into Weaviate's gRPC messages, and its answers into rows found.

The messages are those the official client publishes for the server's API (uses_127_api: typed properties and vectors).
"""

from collections.abc import Iterable, Sequence

from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]
from weaviate.proto.v1 import base_pb2, base_search_pb2, batch_delete_pb2, batch_pb2, properties_pb2, search_get_pb2

from index.weaviate.query import ROW_ID, Condition, Found, Operator, Query, Row, Value

VECTOR = "default"

_OPERATORS = {
    Operator.EQUAL: base_pb2.Filters.OPERATOR_EQUAL,
    Operator.BELOW: base_pb2.Filters.OPERATOR_LESS_THAN,
    Operator.AT_MOST: base_pb2.Filters.OPERATOR_LESS_THAN_EQUAL,
    Operator.ABOVE: base_pb2.Filters.OPERATOR_GREATER_THAN,
    Operator.AT_LEAST: base_pb2.Filters.OPERATOR_GREATER_THAN_EQUAL,
    Operator.ANY_OF: base_pb2.Filters.OPERATOR_CONTAINS_ANY,
    Operator.ALL_OF: base_pb2.Filters.OPERATOR_CONTAINS_ALL,
}


def search_request(query: Query) -> search_get_pb2.SearchRequest:
    """The message of one query."""
    return search_get_pb2.SearchRequest(
        collection=query.collection,
        tenant=query.tenant,
        limit=query.limit,
        after=query.after,
        filters=_filters(query.conditions),
        near_vector=None if query.near is None else _near(query.near),
        bm25_search=None
        if query.words is None
        else base_search_pb2.BM25(query=query.words[0], properties=query.words[1]),
        sort_by=[search_get_pb2.SortBy(ascending=False, path=[name]) for name in query.newest_by],
        properties=search_get_pb2.PropertiesRequest(non_ref_properties=query.properties),
        metadata=search_get_pb2.MetadataRequest(
            uuid=True,
            distance=query.near is not None,
            score=query.words is not None,
            vectors=[VECTOR] if query.vectors else [],
        ),
        uses_123_api=True,
        uses_125_api=True,
        uses_127_api=True,
    )


def delete_request(collection: str, tenant: str | None, ids: Sequence[str]) -> batch_delete_pb2.BatchDeleteRequest:
    """The message that removes rows by id."""
    condition = Condition(ROW_ID, Operator.ANY_OF, tuple(ids))
    return batch_delete_pb2.BatchDeleteRequest(collection=collection, tenant=tenant, filters=_filter(condition))


def _near(vector: bytes) -> base_search_pb2.NearVector:
    return base_search_pb2.NearVector(
        targets=base_search_pb2.Targets(target_vectors=[VECTOR]),
        vectors=[base_pb2.Vectors(vector_bytes=vector, type=base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32)],
    )


def _filters(conditions: tuple[Condition, ...]) -> base_pb2.Filters | None:
    if not conditions:
        return None
    if len(conditions) == 1:
        return _filter(conditions[0])
    return base_pb2.Filters(
        operator=base_pb2.Filters.OPERATOR_AND, filters=[_filter(condition) for condition in conditions]
    )


def _filter(condition: Condition) -> base_pb2.Filters:
    made = base_pb2.Filters(
        operator=_OPERATORS[condition.operator], target=base_pb2.FilterTarget(property=condition.name)
    )
    match condition.value:
        case int(number):
            made.value_int = number
        case str(text):
            made.value_text = text
        case texts:
            made.value_text_array.values.extend(texts)
    return made


def found(reply: search_get_pb2.SearchReply) -> list[Found]:
    """Rows of an answer, in its order. A property the row does not have is missing."""
    return [_found(result) for result in reply.results]


def _found(result: search_get_pb2.SearchResult) -> Found:
    metadata = result.metadata
    score = metadata.score if metadata.score_present else 0.0
    return Found(
        id=metadata.id,
        properties=_properties(result.properties.non_ref_props),
        score=1.0 - metadata.distance if metadata.distance_present else score,
        vector=metadata.vectors[0].vector_bytes if metadata.vectors else b"",
    )


def _properties(properties: properties_pb2.Properties) -> dict[str, Value]:
    read: dict[str, Value] = {}
    for name, value in properties.fields.items():
        match value.WhichOneof("kind"):
            case "text_value":
                read[name] = value.text_value
            case "int_value":
                read[name] = value.int_value
            case "list_value":
                read[name] = tuple(value.list_value.text_values.values)
    return read


def batch_request(collection: str, tenant: str | None, rows: Iterable[Row]) -> batch_pb2.BatchObjectsRequest:
    """The message that inserts rows, or replaces those whose ids exist."""
    return batch_pb2.BatchObjectsRequest(
        objects=[_object(collection, tenant, row) for row in rows],
        consistency_level=base_pb2.CONSISTENCY_LEVEL_ALL,
    )


def _object(collection: str, tenant: str | None, row: Row) -> batch_pb2.BatchObject:
    plain = Struct()
    lists: list[base_pb2.TextArrayProperties] = []
    for name, value in row.properties.items():
        match value:
            case int(number):
                plain.fields[name].number_value = number
            case str(text):
                plain.fields[name].string_value = text
            case texts:
                lists.append(base_pb2.TextArrayProperties(prop_name=name, values=texts))
    return batch_pb2.BatchObject(
        collection=collection,
        tenant=tenant,
        uuid=row.id,
        properties=batch_pb2.BatchObject.Properties(non_ref_properties=plain, text_array_properties=lists),
        vectors=[] if row.vector is None else [_vector(row.vector)],
    )


def _vector(vector: bytes) -> base_pb2.Vectors:
    return base_pb2.Vectors(name=VECTOR, vector_bytes=vector, type=base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32)
