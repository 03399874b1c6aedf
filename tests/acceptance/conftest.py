"""One installation for all acceptance tests, on free ports in a folder of its own; at the end nothing of it is left."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.ports import free_ports
from tests.acceptance.installation import EXAMPLES, Installation, users_environment
from tests.integration.parts.traces import processes_left

MARKS = (pytest.mark.parts, pytest.mark.timeout(420))
FOLDERS = {"handbook": Path("aurora/handbook"), "manuals": Path("harbor/manuals")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever runs here starts real parts and waits for whole processes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for mark in MARKS:
                item.add_marker(mark)


@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """What `millstream up` starts; `millstream down` ends it."""
    ports, lease = free_ports()
    with lease:
        installed = Installation(tmp_path_factory.mktemp("project"), users_environment(ports.as_dict()))
        try:
            installed.millstream("up")
            yield installed
        finally:
            installed.millstream("down")
            assert processes_left(installed.folder, 5.0) == []


@pytest.fixture(scope="package")
def loaded(installation: Installation) -> dict[str, dict[str, int]]:
    """The example companies' folders as they lie in the repository; source -> what loading it said."""
    return {source: installation.load(source, EXAMPLES / folder) for source, folder in FOLDERS.items()}
