"""Tokens for rows and for events with the source's own numbers: sealed from what is declared, never from the index."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from runtime.freshness_token import FreshnessToken, open_token
from schemas.identity import Document, Tenant
from schemas.sources import parse_sources
from schemas.versions import Version
from serving.models import TokenRequest
from serving.openapi import openapi
from serving.tokens import lsn_number
from tests.unit.serving.world import KEY, World, world

SOURCES = parse_sources(
    """
version: 1
sources:
  - {name: web, tenant: acme, kind: webhook, versioning: source, epoch: 3}
  - {name: theirs, tenant: other, kind: webhook}
  - name: articles
    tenant: acme
    kind: postgres
    epoch: 2
    postgres:
      dsn_env: MILLSTREAM_POSTGRES_DSN
      table: public.articles
      columns: {key: [id], body: body, tenant: owner}
      tenants: [acme, other]
  - name: prices
    tenant: acme
    kind: postgres
    postgres:
      dsn_env: MILLSTREAM_POSTGRES_DSN
      table: public.prices
      columns: {key: [region, sku], body: body}
"""
)


@pytest.fixture
async def api() -> AsyncIterator[World]:
    """An API with these sources declared."""
    async with world(sources=SOURCES) as here:
        yield here


async def token(api: World, tenant: str = "acme", **asked: object) -> FreshnessToken:
    status, body = await api.post("/v1/tokens", asked, api.headers(tenant=tenant))
    assert status == 200, body
    return open_token(KEY, body["token"], Tenant(tenant))


async def test_a_rows_token_names_its_key_and_waits_for_its_lsn_or_any_later_one(api: World) -> None:
    found = await token(api, source="articles", key={"id": 17}, lsn="16/B374D848")
    assert found.document == Document.checked("acme", "articles", "17")
    assert (found.register, found.version) == ("content", Version(2, 0x16B374D848, 0))
    assert await token(api, source="articles", doc_id="17", lsn=0x16B374D848) == found
    assert await token(api, source="articles", doc_id="17", version=0x16B374D848) == found


async def test_the_columns_of_a_key_are_put_in_the_declared_order(api: World) -> None:
    found = await token(api, source="prices", key={"sku": "a/b", "region": "eu"}, lsn="0/1")
    assert found.document.doc_id == "eu/a%2Fb"


async def test_a_token_may_name_the_acl_and_a_delete(api: World) -> None:
    acl = await token(api, source="web", doc_id="a", version=5, register="acl")
    assert (acl.register, acl.version) == ("acl", Version(3, 5, 0))
    assert (await token(api, source="web", doc_id="a", version=5, op="delete")).version == Version(3, 5, 2)


async def test_a_row_of_another_tenant_in_the_same_table_is_that_tenants(api: World) -> None:
    assert (await token(api, "other", source="articles", key={"id": 1}, lsn="0/1")).document.tenant == "other"


async def test_a_query_waits_for_the_change_that_a_token_names(api: World) -> None:
    _, body = await api.post("/v1/tokens", {"source": "articles", "key": {"id": "w"}, "lsn": "0/9"})
    ask = {"question": "How long is the warranty of the pump?", "at_least": body["token"]}
    asking = asyncio.create_task(api.post("/v1/query", ask | {"wait_ms": 5000}))
    await asyncio.sleep(0.02)
    assert not asking.done()
    text = "The warranty of the pump is seven years."
    await api.put("w", text, title="Warranty", source="articles", version=Version(2, 10, 0))
    assert "seven years" in (await asking)[1]["answer"]


@pytest.mark.parametrize("name", ["theirs", "nobodys"])
async def test_another_tenants_source_looks_like_one_that_is_not_declared(api: World, name: str) -> None:
    status, problem = await api.post("/v1/tokens", {"source": name, "doc_id": "a", "version": 1})
    assert (status, problem["type"]) == (404, "urn:millstream:problem:no_such_source")
    assert name not in problem["detail"]


ROW = {"source": "articles", "key": {"id": 1}, "lsn": "0/1"}


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"source": "web", "version": 1}, "doc_id", "Send doc_id, or key"),
        (ROW | {"doc_id": "1"}, "doc_id", "Send doc_id, or key"),
        (ROW | {"version": 1}, "version", "Send version, or lsn"),
        ({"source": "web", "doc_id": "a"}, "version", "Send version, or lsn"),
        ({"source": "web", "doc_id": "a", "lsn": "0/1"}, "lsn", "no Postgres table"),
        ({"source": "web", "key": {"id": 1}, "version": 1}, "key", "has no rows"),
        (ROW | {"key": {"sku": 1}}, "key", "are id"),
        (ROW | {"key": {"id": 1.5}}, "key", "a text or a whole number"),
        (ROW | {"key": {"id": " "}}, "key", "white space"),
        (ROW | {"lsn": "16-1"}, "lsn", "such as 16/B374D848"),
        (ROW | {"lsn": 1.5}, "lsn", "or its number"),
        (ROW | {"lsn": "FFFFFFFF/FFFFFFFF"}, "lsn", "from 0 to"),
        ({"source": "web", "doc_id": "a", "version": -1}, "version", "from 0 to"),
        ({"source": "web", "doc_id": "a", "version": 2**63}, "version", "from 0 to"),
        (ROW | {"register": "title"}, "register", "'content' or 'acl'"),
        (ROW | {"tenant": "other"}, "tenant", "known are doc_id, key, lsn, op, register, source, version"),
    ],
)
async def test_a_request_that_names_no_change_is_a_problem(
    api: World, body: dict[str, object], field: str, says: str
) -> None:
    status, problem = await api.post("/v1/tokens", body)
    assert (status, problem.get("field")) == (400, field), problem
    assert says in problem["detail"]


async def test_a_token_needs_credentials_and_the_query_scope(api: World) -> None:
    assert (await api.post("/v1/tokens", ROW, {}))[0] == 401
    assert (await api.post("/v1/tokens", ROW, api.headers(scopes=["history"])))[0] == 403


async def test_a_process_that_knows_no_sources_says_so() -> None:
    async with world() as here:
        assert (await here.post("/v1/tokens", ROW))[0] == 503


def test_the_description_names_the_members_as_they_are_sent() -> None:
    components = openapi()["components"]
    assert isinstance(components, dict)
    properties = components["schemas"][TokenRequest.__name__]["properties"]
    assert {"register", "key", "lsn"} <= properties.keys()


@pytest.mark.parametrize(("text", "number"), [("0/0", 0), ("1/0", 2**32), ("16/b374d848", 0x16B374D848), (7, 7)])
def test_an_lsn_is_read_as_postgres_prints_it(text: str | int, number: int) -> None:
    assert lsn_number(text) == number


async def test_waiting_for_a_document_does_not_tell_that_there_is_one(api: World) -> None:
    await api.put("secret", "the merger closes in May", acl=["board"], version=Version(3, 7, 0))

    async def refusal(doc_id: str, *groups: str) -> str | None:
        headers = api.headers(*groups)
        _, asked = await api.post("/v1/tokens", {"source": "web", "doc_id": doc_id, "version": 0}, headers)
        body = {"question": "when does the merger close?", "at_least": asked["token"], "wait_ms": 0}
        _, answer = await api.post("/v1/query", body, headers)
        return None if answer["refusal"] is None else str(answer["refusal"]["reason"])

    assert await refusal("secret", "staff") == await refusal("nowhere", "staff") == "not_yet_indexed"
    assert await refusal("secret", "board") != "not_yet_indexed"
