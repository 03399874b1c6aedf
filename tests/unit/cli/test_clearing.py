"""What `source clear` takes a version for, by how its source is versioned."""

import pytest

from cli.clearing import cut_for, written_before
from connectors.clear import Newest
from runtime.settings import Settings, settings_from
from schemas.errors import ConfigError
from schemas.sources import SourceConfig
from schemas.versions import Op, Version
from tests.unit.connectors.test_rows import PLAIN

STATED = SourceConfig(name="erp", tenant="acme", kind="webhook", versioning="source", epoch=3)
LOGGED = SourceConfig(name="wiki", tenant="acme", kind="files")


@pytest.fixture
def settings() -> Settings:
    return settings_from({})


def content(epoch: int, sequence: int) -> Newest:
    return Newest(Version(epoch, sequence, 0), Op.UPSERT, "e", 0)


@pytest.mark.parametrize("text", ["94969944136", "16/1C949848"])
async def test_an_lsn_is_taken_as_postgres_writes_it_or_as_a_number(settings: Settings, text: str) -> None:
    lsn = (0x16 << 32) + 0x1C949848
    cut = await cut_for(settings, {}, PLAIN, text if "/" in text else str(lsn))
    assert cut(content(2, lsn)) is not None
    assert cut(content(2, lsn + 8)) is None
    assert cut(content(3, 1)) is None


async def test_a_source_that_states_versions_must_be_told_one(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="--version"):
        await cut_for(settings, {}, STATED, None)
    cut = await cut_for(settings, {}, STATED, "7")
    assert (cut(content(3, 7)) is None, cut(content(3, 8)) is None) == (False, True)


async def test_a_source_versioned_by_the_log_takes_none(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="leave --version out"):
        await cut_for(settings, {}, LOGGED, "7")


@pytest.mark.parametrize("text", ["", "-1", "0", "x", "1/2/3", "9" * 30, "123456789/1"])
async def test_what_is_no_version_is_refused(settings: Settings, text: str) -> None:
    with pytest.raises(ConfigError, match="--version is a whole number"):
        await cut_for(settings, {}, STATED, text)


async def test_a_captured_source_without_a_database_says_so(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="DSN is not set"):
        await cut_for(settings, {}, PLAIN, None)


def test_what_a_database_writes_after_the_clear_began_stays_even_right_where_it_wrote_then() -> None:
    cut = written_before(2, 4096)
    assert cut(content(2, 4088)) is not None
    assert cut(content(2, 4095)) is not None, "a row of a snapshot taken there"
    assert cut(content(2, 4096)) is None
    assert cut(Newest(Version(2, 4095, 4 * 2**28), Op.UPSERT, "e", 0)) is None, "committed after what was written there"
