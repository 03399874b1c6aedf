"""What several tests of outages begin with."""

from collections.abc import Iterator, Mapping

import pytest

from infra.local.stack import Stack
from tests.integration.outage_site import Site, running_site


@pytest.fixture(scope="module")
def site(
    parts: Stack, stack_environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with running_site(stack_environment, tmp_path_factory.mktemp("outages"), parts) as started:
        yield started
