"""The description is generated from the models and says what the routes are."""

import json
from typing import Any

from serving.openapi import openapi
from tests.unit.serving.world import World


async def test_the_description_is_served_and_every_route_of_v1_is_in_it(api: World) -> None:
    assert api.client is not None
    async with api.client.get("/v1/openapi.json") as response:
        assert response.status == 200
        served = await response.json()
    assert served == json.loads(json.dumps(openapi()))
    routes = {
        resource.canonical
        for resource in api.client.server.app.router.resources()  # type: ignore[attr-defined]
    }
    assert {route for route in routes if route.startswith("/v1/") and route != "/v1/openapi.json"} == {*served["paths"]}


def test_every_reference_resolves() -> None:
    description: Any = openapi()
    schemas = description["components"]["schemas"]

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [one for value in node.values() for one in references(value)]
        if isinstance(node, list):
            return [one for value in node for one in references(value)]
        return []

    for reference in references(description):
        assert reference.removeprefix("#/components/schemas/") in schemas
