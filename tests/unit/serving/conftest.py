"""The API on the twins."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.unit.serving.world import World, world


@pytest.fixture
async def api() -> AsyncIterator[World]:
    """A running API without documents."""
    async with world() as here:
        yield here


@pytest.fixture(autouse=True)
def access_lines() -> Iterator[list[EventDict]]:
    """What the API logs, kept from the terminal."""
    with capture_logs() as lines:
        yield lines
