"""Nothing that a caller may not read reaches any response: a generated matrix of tenants, groups and documents."""

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.versions import Op
from tests.unit.serving.world import World, world

GROUPS = ("red", "green", "blue")
TENANTS = ("acme", "other")
QUESTION = "Which code opens the vault?"
ASKED: tuple[tuple[str, dict[str, int]], ...] = (
    ("/v1/query", {}),
    ("/v1/query", {"as_of": 1}),
    ("/v1/search", {"top_k": 50}),
    ("/v1/search", {"top_k": 50, "as_of": 3}),
)


@dataclass(frozen=True)
class Doc:
    """A document whose text carries a mark of its own."""

    tenant: str
    acl: tuple[str, ...]
    revoked_to: tuple[str, ...] | None
    deleted: bool


acls = st.lists(st.sampled_from((*GROUPS, "user:ada", "user:bob", "public")), max_size=3, unique=True).map(tuple)
docs = st.lists(st.builds(Doc, st.sampled_from(TENANTS), acls, st.none() | acls, st.booleans()), min_size=1, max_size=5)
callers = st.tuples(
    st.sampled_from(TENANTS), st.lists(st.sampled_from(GROUPS), unique=True), st.sampled_from(("ada", "bob"))
)


def _may_read(doc: Doc, caller: tuple[str, list[str], str], *, then: bool = False) -> bool:
    """`then`: as of a time before its deletion, by a caller with the history scope."""
    tenant, groups, sub = caller
    acl = doc.acl if doc.revoked_to is None else doc.revoked_to
    return doc.tenant == tenant and (then or not doc.deleted) and bool({*groups, f"user:{sub}", "public"} & {*acl})


@given(docs, callers)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_forbidden_chunks_never_appear(some: list[Doc], caller: tuple[str, list[str], str]) -> None:
    async with world() as api:
        for number, doc in enumerate(some):
            await _put(api, number, doc)
        tenant, groups, sub = caller
        headers = api.headers(*groups, tenant=tenant, sub=sub, scopes=("query", "history"))
        for path, extra in ASKED:
            status, body = await api.post(path, {"question": QUESTION, "debug": True} | extra, headers)
            if status == 400:
                assert body["type"].endswith(":future_position")
                continue
            assert status == 200, body
            for number, doc in enumerate(some):
                if not _may_read(doc, caller, then="as_of" in extra):
                    assert f"MARK{number}X" not in str(body)
                    assert f"paper{number}'" not in str(body)
        for number, doc in enumerate(some):
            status, _ = await api.get(f"/v1/documents/web/paper{number}", api.headers(*groups, tenant=tenant, sub=sub))
            assert (status == 200) is _may_read(doc, caller)


async def _put(api: World, number: int, doc: Doc) -> None:
    text = f"The vault is opened by code MARK{number}X."
    await api.put(f"paper{number}", text, title="Vault", tenant=doc.tenant, acl=doc.acl)
    if doc.revoked_to is not None:
        await api.put(f"paper{number}", tenant=doc.tenant, acl=doc.revoked_to, op=Op.ACL)
    if doc.deleted:
        await api.put(f"paper{number}", tenant=doc.tenant, acl=None, op=Op.DELETE)


async def test_absent_and_forbidden_documents_get_the_same_response(api: World) -> None:
    await api.put("secret", "The vault is opened by code 7.", title="Vault", acl=("red",))
    forbidden = await api.get("/v1/documents/web/secret")
    absent = await api.get("/v1/documents/web/nothing")
    for status, body in (forbidden, absent):
        assert status == 404
        body.pop("request_id")
    assert forbidden == absent
    question = {"question": QUESTION}
    _, refused = await api.post("/v1/query", question)
    _, allowed = await api.post("/v1/query", question, api.headers("red"))
    assert refused["refusal"]["reason"] == "no_source"
    assert refused["refusal"]["detail"] == (await api.ask("Who composed the Four Seasons?"))["refusal"]["detail"]
    assert "7" in allowed["answer"]


async def test_a_caller_without_groups_reads_what_is_public_and_their_own(api: World) -> None:
    await api.put("a", "The red code of the vault is 1.", acl=("red",))
    await api.put("b", "The public code of the vault is 2.", acl=("public",))
    await api.put("c", "The own code of the vault is 3.", acl=("user:ada",))
    await api.put("d", "The nobody code of the vault is 4.", acl=())
    _, body = await api.post("/v1/search", {"question": "code of the vault", "top_k": 50})
    assert {result["doc_id"] for result in body["results"]} == {"b", "c"}
