"""How tests are shared out between workers: files that share an installation stay together; what is named exists."""

from pathlib import Path

import pytest

from tests.balance import APART, LONGEST, TOGETHER, unit_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted({*APART, *LONGEST, *TOGETHER}))
def test_what_is_named_exists(name: str) -> None:
    assert (ROOT / name).exists()


def test_files_that_share_an_installation_are_one_unit_and_others_are_each_their_own() -> None:
    assert unit_of("tests/acceptance/test_first_light.py::test_a[x]") == "tests/acceptance"
    assert unit_of("tests/acceptance/test_crashes.py::test_a") == "tests/acceptance/test_crashes.py"
    assert unit_of("tests/integration/connectors/test_apply.py::test_a") == "tests/integration/connectors"
    assert unit_of("tests/integration/test_cdc.py::test_a") == "tests/integration/test_cdc.py"
    assert unit_of("tests/unit/index/test_plan.py::test_a[b::c]") == "tests/unit/index/test_plan.py"
