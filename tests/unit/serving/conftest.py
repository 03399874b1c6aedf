"""The API on the twins."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.serving.world import World, world


@pytest.fixture
async def api() -> AsyncIterator[World]:
    """A running API without documents."""
    async with world() as here:
        yield here
