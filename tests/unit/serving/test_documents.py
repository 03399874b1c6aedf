"""/v1/documents: one percent-encoded segment names a document; absent, deleted and forbidden look the same."""

import pytest

from schemas.versions import Op
from tests.unit.serving.world import World


async def test_a_document_is_read_with_its_position_and_origin(api: World) -> None:
    await api.put("a", "One.", "Two.", title="A", labels={"team": "x"})
    status, body = await api.get("/v1/documents/web/a")
    assert status == 200
    assert (body["title"], body["labels"], body["kind"]) == ("A", ["team=x"], "markdown")
    assert body["chunks"] is None
    assert body["state"]["chunks"] == 2
    assert body["state"]["change"] == {"topic": "documents.changes", "partition": 0, "offset": 1}
    assert body["position"]["seq"] == 1
    _, body = await api.get("/v1/documents/web/a?text=true")
    assert [chunk["text"] for chunk in body["chunks"]] == ["One.", "Two."]
    assert [chunk["ordinal"] for chunk in body["chunks"]] == [0, 1]


@pytest.mark.parametrize(
    ("doc_id", "path"),
    [
        ("a/b", "a%2Fb"),
        ("a/versions", "a%2Fversions"),
        ("versions", "versions"),
        ("50% off", "50%25%20off"),
        ("a?b#c", "a%3Fb%23c"),
        ("å/ä", "%C3%A5%2F%C3%A4"),
    ],
)
async def test_a_doc_id_is_one_percent_encoded_segment(api: World, doc_id: str, path: str) -> None:
    await api.put(doc_id, "One.")
    status, body = await api.get(f"/v1/documents/web/{path}")
    assert status == 200, body
    assert body["doc_id"] == doc_id
    status, body = await api.get(f"/v1/documents/web/{path}/versions")
    assert status == 200
    assert [version["seq"] for version in body["versions"]] == [1]


async def test_slashes_that_are_not_encoded_are_not_found_and_the_problem_says_how(api: World) -> None:
    await api.put("a/b", "One.")
    status, body = await api.get("/v1/documents/web/a/b")
    assert status == 404
    assert "a%2Fb" in body["detail"]


async def test_versions_are_the_audit_trail_newest_first_in_pages(api: World) -> None:
    for number in range(3):
        await api.put("a", f"Text {number}.")
    _, first = await api.get("/v1/documents/web/a/versions?limit=2")
    assert [version["seq"] for version in first["versions"]] == [3, 2]
    _, second = await api.get(f"/v1/documents/web/a/versions?limit=2&below={first['next']}")
    assert [version["seq"] for version in second["versions"]] == [1]
    assert second["next"] is None


async def test_a_deleted_document_is_gone_but_history_shows_its_versions(api: World) -> None:
    await api.put("a", "One.")
    await api.put("a", op=Op.DELETE, acl=None)
    assert (await api.get("/v1/documents/web/a"))[0] == 404
    assert (await api.get("/v1/documents/web/a/versions"))[0] == 404
    headers = api.headers(scopes=("query", "history"))
    status, body = await api.get("/v1/documents/web/a/versions", headers)
    assert status == 200
    assert [(version["op"], version["present"]) for version in body["versions"]] == [
        ("delete", False),
        ("upsert", True),
    ]
    status, body = await api.get("/v1/documents/web/a?as_of=1", headers)
    assert status == 200
    assert body["position"]["seq"] == 1
    at_a_time = await api.get(f"/v1/documents/web/a?as_of={body['position']['committed_at']}", headers)
    assert at_a_time[0] == 404, "both were committed at that time, and the newest head counts"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("a?as_of=x", "as_of"),
        ("a?as_of=-1", "as_of"),
        ("a?as_of=2026-01-01T00:00:00", "as_of"),
        ("a?as_of=99999999999999999999999999", "as_of"),
        ("a?as_of=5", "as_of"),
        ("a?text=maybe", "text"),
        ("a?colour=red", "colour"),
        ("a/versions?limit=0", "limit"),
        ("a/versions?limit=201", "limit"),
        ("a/versions?limit=000000000000000000011000000", "limit"),
        ("a%20", None),
        ("a%09b", None),
    ],
)
async def test_a_bad_parameter_is_a_problem(api: World, path: str, field: str | None) -> None:
    await api.put("a", "One.")
    status, body = await api.get(f"/v1/documents/web/{path}")
    assert status == 400, body
    assert body.get("field") == field


async def test_a_source_or_tenant_nobody_declared_is_not_found(api: World) -> None:
    assert (await api.get("/v1/documents/nowhere/a"))[0] == 404
    assert (await api.get("/v1/documents/web/a", api.headers(tenant="nobody")))[0] == 404
    assert (await api.get("/v1/documents/web/a/versions", api.headers(tenant="nobody")))[0] == 404


async def test_documents_need_credentials(api: World) -> None:
    assert (await api.get("/v1/documents/web/a", {}))[0] == 401
    assert (await api.get("/v1/documents/web/a", api.headers(scopes=("feedback",))))[0] == 403
