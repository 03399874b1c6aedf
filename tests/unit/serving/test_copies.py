"""The same words in several documents take one place in a result set; neighbours are linked."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.serving.world import World

WARRANTY = "The warranty of the pump is seven years."
QUESTION = "How long is the warranty of the pump?"


async def searched(api: World, **more: object) -> Any:
    """The body of a search for the question."""
    status, body = await api.post("/v1/search", {"question": QUESTION, **more})
    assert status == 200
    return body


async def test_copies_take_one_place_and_are_named(api: World) -> None:
    for name in ("a", "b", "c"):
        await api.put(name, WARRANTY, title="Warranty")
    await api.put("d", "The warranty of the pump covers its parts.", title="Warranty")
    (first, second) = (await searched(api, top_k=2))["results"]
    assert {first["doc_id"], *(copy["doc_id"] for copy in first["also_in"])} == {"a", "b", "c"}
    assert len(first["also_in"]) == 2
    assert (second["doc_id"], second["also_in"]) == ("d", [])


async def test_the_same_words_under_another_title_are_no_copy(api: World) -> None:
    await api.put("a", "The warranty is seven years.", title="Pump")
    await api.put("b", "The warranty is seven years.", title="Drill")
    results = (await searched(api))["results"]
    assert [(one["doc_id"], one["also_in"]) for one in results] == [("a", []), ("b", [])]


async def test_a_copy_that_the_caller_may_not_read_is_neither_found_nor_named(api: World) -> None:
    await api.put("a", WARRANTY, title="Warranty")
    await api.put("b", WARRANTY, title="Warranty", acl=("board",))
    (result,) = (await searched(api))["results"]
    assert (result["doc_id"], result["also_in"]) == ("a", [])


@pytest.mark.parametrize("copies", [20, 60])
async def test_a_crowd_of_copies_leaves_the_other_places_to_others(api: World, copies: int) -> None:
    for number in range(copies):
        await api.put(f"copy{number}", WARRANTY, title="Warranty")
    for number in range(6):
        await api.put(f"other{number}", f"The pump has part {number} and a warranty card.", title="Parts")
    results = (await searched(api, top_k=5))["results"]
    assert len(results) == 5
    assert results[0]["doc_id"].startswith("copy")
    assert all(one["doc_id"].startswith("other") for one in results[1:])


async def test_what_two_editions_say_alike_is_answered_from_the_newer(api: World) -> None:
    old, new = datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    for name, time in (("z-new", new), ("a-old", old), ("m-old", old)):
        await api.put(name, WARRANTY, title="Warranty terms", event_time=time)
    body = await api.ask(QUESTION)
    assert [citation["doc_id"] for citation in body["citations"]] == ["z-new"]


async def test_a_result_names_the_chunks_before_and_after_it(api: World) -> None:
    await api.put("a", "Unpack the box.", WARRANTY, "Call the shop.", title="Guide")
    document = (await api.get("/v1/documents/web/a?text=true"))[1]
    first, second, third = (chunk["chunk_id"] for chunk in document["chunks"])
    results = {one["chunk_id"]: (one["before"], one["after"]) for one in (await searched(api))["results"]}
    assert results == {first: (None, second), second: (first, third), third: (second, None)}
