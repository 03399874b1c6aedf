"""What a build and the parts' answers are read as."""

import struct

import pytest

from infra.local.probes import has_broker_and_controller, split_address
from infra.local.weaviate_build import MODULES, PACKAGES, build_progress


def test_a_builds_progress_only_grows_and_never_claims_the_end() -> None:
    steps = [build_progress(modules, 0, 1.0).fraction for modules in range(0, MODULES * 2, 10)]
    steps += [build_progress(MODULES, packages, 1.0).fraction for packages in range(1, PACKAGES * 2, 50)]
    known = [step for step in steps if step is not None]
    assert known == sorted(known)
    assert len(known) == len(steps)
    assert known[-1] < 1


def test_a_build_says_how_long_it_runs() -> None:
    assert build_progress(200, 928, 75.4).message == f"928 of about {PACKAGES} packages, 1:15"


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def metadata(brokers: int, controller: int) -> bytes:
    """A Metadata response of version 7 up to the controller's id."""
    nodes = b"".join(
        struct.pack(">i", node) + text("127.0.0.1") + struct.pack(">ih", 9092, -1) for node in range(brokers)
    )
    return struct.pack(">iii", 1, 0, brokers) + nodes + text("cluster") + struct.pack(">i", controller)


@pytest.mark.parametrize(
    ("answer", "answers"),
    [
        (metadata(1, 0), True),
        (metadata(3, 2), True),
        (metadata(0, 0), False),
        (metadata(1, -1), False),
        (metadata(1, 0)[:20], False),
        (b"", False),
    ],
)
def test_a_broker_is_ready_once_it_names_brokers_and_a_controller(answer: bytes, answers: bool) -> None:
    assert has_broker_and_controller(answer) is answers


def test_the_first_of_several_addresses_is_asked() -> None:
    assert split_address("127.0.0.1:9092,other:9093") == ("127.0.0.1", 9092)
