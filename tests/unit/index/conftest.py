"""What several tests of the index begin with."""

import pytest

from tests.unit.index.fakes import new_index
from tests.unit.index.house import House
from tests.unit.index.library import Library


@pytest.fixture
async def house() -> House:
    return House(await new_index())


@pytest.fixture
async def library() -> Library:
    return Library(await new_index())
