"""Reading YAML that people edit: whatever is wrong with it is one kind of error."""

import pytest
import yaml

from connectors.sidecar import parse_sidecar
from schemas.errors import ConfigError
from schemas.sources import parse_sources
from schemas.topics import parse_topics
from schemas.yaml_files import read_yaml

BROKEN = ["since: 2026-13-40", "[" * 5000, "? {a: 1}\n: 2", "x: !!python/object:os.system {}"]


@pytest.mark.parametrize("text", BROKEN)
def test_a_value_that_does_not_exist_and_deep_nesting_are_errors_of_the_file(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)


@pytest.mark.parametrize("text", BROKEN)
def test_every_file_says_so_in_one_line(text: str) -> None:
    for parse in (parse_sources, parse_topics, lambda text: parse_sidecar(text, "folder")):
        with pytest.raises(ConfigError) as caught:
            parse(text)
        assert "\n" not in str(caught.value)
