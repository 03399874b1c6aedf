"""To who reads, attachments are documents with an id, a title and a kind of their own; to all else, their message."""

import pytest

from schemas.versions import Op
from serving.core.parts import attachment_of, shown_id
from tests.unit.serving.world import World, world

OFFER = ("offer.docx", "docx", "The removal van costs nine hundred euros a day.")
TERMS = ("terms.pdf", "pdf", "The invoice is due within thirty days.")
VAN = "What does the removal van cost a day?"


async def put_mail(api: World, *attached: tuple[str, str, str], acl: tuple[str, ...] = ("public",)) -> None:
    await api.put(
        "m/7.eml", "From: Ada. See both papers.", title="Moving the office", kind="eml", acl=acl, attached=attached
    )


@pytest.mark.parametrize(
    ("shown", "named"),
    [
        ("m/7.eml#attachment-1", ("m/7.eml", 1)),
        ("a#attachment-2#attachment-13", ("a#attachment-2", 13)),
        ("a\nb#attachment-1", ("a\nb", 1)),
        ("#attachment-1", None),
        ("a#attachment-0", None),
        ("a#attachment-01", None),
        ("a#attachment-123456", None),
        ("a#attachment-", None),
        ("a#attachment-1 ", None),
        ("a", None),
    ],
)
def test_an_attachment_s_id_names_its_message_and_its_number(shown: str, named: tuple[str, int] | None) -> None:
    assert attachment_of(shown) == named
    if named is not None:
        assert shown_id(*named) == shown


async def test_an_answer_from_an_attachment_cites_it_by_its_own_id_title_and_kind(api: World) -> None:
    await put_mail(api, OFFER, TERMS)
    (citation,) = (await api.ask(VAN))["citations"]
    assert (citation["doc_id"], citation["part_of"]) == ("m/7.eml#attachment-1", "m/7.eml")
    assert (citation["title"], citation["kind"]) == ("offer.docx", "docx")
    assert citation["url"] == "https://wiki.example/m/7.eml"


async def test_a_message_and_any_other_document_is_part_of_nothing(api: World) -> None:
    await put_mail(api, OFFER)
    await api.put("plain", "The lift carries eight people.", title="Lift")
    (citation,) = (await api.ask("How many people does the lift carry?"))["citations"]
    assert (citation["doc_id"], citation["part_of"], citation["kind"]) == ("plain", None, "markdown")


async def search(api: World, question: str, **more: object) -> list[dict[str, object]]:
    status, body = await api.post("/v1/search", {"question": question} | more)
    assert status == 200, body
    results = body["results"]
    assert isinstance(results, list)
    return results


async def test_a_search_finds_an_attachment_by_its_own_kind_and_shows_its_message_s_title_above_it(
    api: World,
) -> None:
    await put_mail(api, OFFER, TERMS)
    (found,) = await search(api, VAN, filters={"kind": "docx"})
    assert (found["doc_id"], found["part_of"]) == ("m/7.eml#attachment-1", "m/7.eml")
    assert (found["title"], found["kind"], found["heading_path"]) == ("offer.docx", "docx", ["Moving the office"])
    assert {one["kind"] for one in await search(api, VAN)} == {"eml", "docx", "pdf"}


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (["m/7.eml#attachment-1"], {"m/7.eml#attachment-1"}),
        (["m/7.eml#attachment-2", "m/8.eml"], {"m/7.eml#attachment-2", "m/8.eml", "m/8.eml#attachment-1"}),
        (
            ["m/7.eml#attachment-1", "m/7.eml"],
            {"m/7.eml", "m/7.eml#attachment-1", "m/7.eml#attachment-2"},
        ),
        (["m/7.eml#attachment-3"], set()),
        (["own#attachment-1"], {"own#attachment-1"}),
    ],
)
async def test_a_filter_by_doc_id_takes_an_attachment_s_and_a_message_s_stands_for_all_of_it(
    api: World, ids: list[str], found: set[str]
) -> None:
    await put_mail(api, OFFER, TERMS)
    await api.put("m/8.eml", "Thanks for the removal van.", title="Thanks", kind="eml", attached=[OFFER])
    await api.put("own#attachment-1", "The removal van is red.", title="Van")
    results = await search(api, "removal van invoice papers", filters={"source": "web", "doc_id": ids})
    assert {one["doc_id"] for one in results} == found


async def test_neighbours_never_are_of_another_part(api: World) -> None:
    await api.put("m", "One of it.", "Two of it.", title="T", kind="eml", attached=[OFFER, TERMS])
    by_kind: dict[object, list[dict[str, object]]] = {}
    for one in await search(api, "removal van invoice one two of it"):
        by_kind.setdefault(one["kind"], []).append(one)
    assert [(one["before"], one["after"]) for kind in ("docx", "pdf") for one in by_kind[kind]] == [(None, None)] * 2
    first, second = sorted(by_kind["eml"], key=lambda one: str(one["text"]))
    assert (first["before"], first["after"]) == (None, second["chunk_id"])
    assert (second["before"], second["after"]) == (first["chunk_id"], None)


async def test_the_same_attachment_in_two_messages_of_one_subject_is_one_result_with_a_copy(api: World) -> None:
    await put_mail(api, OFFER)
    await api.put("m/8.eml", "Again.", title="Moving the office", kind="eml", attached=[TERMS, OFFER])
    (found,) = await search(api, VAN, filters={"kind": "docx"})
    also = found["also_in"]
    assert isinstance(also, list)
    shown = {(one["doc_id"], one["part_of"]) for one in (found, *also)}
    assert shown == {("m/7.eml#attachment-1", "m/7.eml"), ("m/8.eml#attachment-2", "m/8.eml")}


async def test_a_message_lists_its_attachments_and_each_is_read_under_its_id(api: World) -> None:
    await put_mail(api, OFFER, TERMS)
    _, message = await api.get("/v1/documents/web/m%2F7.eml?text=true")
    assert message["attachments"] == [
        {"doc_id": "m/7.eml#attachment-1", "title": "offer.docx", "kind": "docx"},
        {"doc_id": "m/7.eml#attachment-2", "title": "terms.pdf", "kind": "pdf"},
    ]
    assert (message["part_of"], message["kind"]) == (None, "eml")
    assert [chunk["text"] for chunk in message["chunks"]] == ["From: Ada. See both papers."]
    status, terms = await api.get("/v1/documents/web/m%2F7.eml%23attachment-2?text=true")
    assert status == 200
    assert (terms["doc_id"], terms["part_of"], terms["attachments"]) == ("m/7.eml#attachment-2", "m/7.eml", [])
    assert (terms["title"], terms["kind"], terms["state"]) == ("terms.pdf", "pdf", message["state"])
    assert [(chunk["ordinal"], chunk["text"]) for chunk in terms["chunks"]] == [(0, TERMS[2])]
    assert (await api.get("/v1/documents/web/m%2F7.eml%23attachment-3"))[0] == 404


async def test_the_versions_of_an_attachment_are_its_message_s(api: World) -> None:
    await put_mail(api, OFFER)
    await put_mail(api, OFFER, TERMS)
    place = "/v1/documents/web/m%2F7.eml%23attachment-2/versions"
    status, body = await api.get(place)
    assert status == 200
    assert (body["doc_id"], body["part_of"]) == ("m/7.eml#attachment-2", "m/7.eml")
    assert [version["seq"] for version in body["versions"]] == [2, 1]
    assert [version["seq"] for version in (await api.get(f"{place}?below=2"))[1]["versions"]] == [1]
    assert (await api.get("/v1/documents/web/m%2F7.eml%23attachment-3/versions"))[0] == 404


async def test_a_document_with_that_very_id_comes_before_an_attachment(api: World) -> None:
    await put_mail(api, OFFER)
    await api.put("m/7.eml#attachment-1", "Another paper.", title="Its own")
    place = "/v1/documents/web/m%2F7.eml%23attachment-1"
    _, body = await api.get(place)
    assert (body["title"], body["part_of"]) == ("Its own", None)
    _, trail = await api.get(f"{place}/versions")
    assert ([version["seq"] for version in trail["versions"]], trail["part_of"]) == ([2], None)
    await api.put("m/7.eml#attachment-1", op=Op.DELETE, acl=None)
    assert (await api.get(place))[1]["title"] == "offer.docx"


async def test_an_attachment_s_id_may_be_longer_than_any_document_s(api: World) -> None:
    name = "m" * 1020
    await api.put(name, "Hello.", title="T", kind="eml", attached=[OFFER])
    for place in (f"{name}%23attachment-1", f"{name}%23attachment-1/versions"):
        assert (await api.get(f"/v1/documents/web/{place}"))[0] == 200
    for place in (f"{name}%23attachment-2", f"{name}%23attachment-2/versions"):
        assert (await api.get(f"/v1/documents/web/{place}"))[0] == 404
    assert (await api.get(f"/v1/documents/web/{name}mmmmm%23attachment-1"))[0] == 400


async def test_whoever_may_not_read_the_message_is_told_the_same_of_its_attachments_as_of_what_is_not_there(
    api: World,
) -> None:
    await put_mail(api, OFFER, acl=("staff",))
    headers = api.headers("guests")
    told = []
    for place in ("m%2F7.eml%23attachment-1", "m%2F7.eml%23attachment-9", "none%23attachment-1", "none"):
        for suffix in ("", "/versions"):
            status, body = await api.get(f"/v1/documents/web/{place}{suffix}", headers)
            told.append((status, body["type"], body["detail"]))
    assert len(set(told)) == 1
    assert told[0][0] == 404
    assert (await api.get("/v1/documents/web/m%2F7.eml%23attachment-1", api.headers("staff")))[0] == 200


async def test_a_delete_of_the_message_takes_its_attachments_with_it_and_history_has_them(api: World) -> None:
    await put_mail(api, OFFER)
    await api.put("m/7.eml", op=Op.DELETE, acl=None)
    place = "/v1/documents/web/m%2F7.eml%23attachment-1"
    assert (await api.get(place))[0] == 404
    assert (await api.get(f"{place}/versions"))[0] == 404
    assert await search(api, VAN) == []
    status, then = await api.get(f"{place}?as_of=1", api.headers(scopes=("query", "history")))
    assert (status, then["title"]) == (200, "offer.docx")


async def test_an_answer_from_an_attachment_is_purged_with_its_message() -> None:
    async with world(cache_bytes=1 << 20) as api:
        await put_mail(api, OFFER)
        first, again = await api.ask(VAN), await api.ask(VAN)
        assert (again["cached"], again["citations"]) == ("exact", first["citations"])
        await put_mail(api, ("offer.docx", "docx", "The removal van costs seven hundred euros a day."))
        after = await api.ask(VAN)
        assert not after["cached"]
        assert "seven hundred" in after["answer"]
