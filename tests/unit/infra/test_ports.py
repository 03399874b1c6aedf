"""The development profile's ports: fixed, overridable, never twice the same."""

import pytest

from infra.local.ports import PORT_NAMES, Ports
from schemas.errors import ConfigError


def test_every_port_has_a_default_of_its_own() -> None:
    assert len(set(Ports().as_dict().values())) == len(PORT_NAMES)


def test_a_variable_moves_one_port_and_leaves_the_others() -> None:
    moved = Ports().overridden({"MILLSTREAM_PORT_KAFKA": "20000"})
    assert moved.kafka == 20000
    assert moved.api == Ports().api


def test_weaviates_data_port_follows_its_gossip_port() -> None:
    assert Ports().overridden({"MILLSTREAM_PORT_WEAVIATE_GOSSIP": "20000"}).weaviate_data == 20001


@pytest.mark.parametrize("text", ["", "abc", "0", "65536", "-1", "1.5", " 80"])
def test_what_is_not_a_port_is_refused_with_the_variables_name(text: str) -> None:
    with pytest.raises(ConfigError, match="MILLSTREAM_PORT_API must be a port number"):
        Ports().overridden({"MILLSTREAM_PORT_API": text})


def test_two_names_on_one_port_are_refused_with_both_names() -> None:
    with pytest.raises(ConfigError, match="ports kafka and api are both 19092"):
        Ports().overridden({"MILLSTREAM_PORT_API": "19092"})
