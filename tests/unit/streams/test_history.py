"""How long history is kept, as sources.yaml states it."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from runtime.metrics import Metrics
from schemas.errors import ConfigError
from schemas.identity import Tenant
from schemas.sources import Sources, parse_sources
from streams.history import TenantHistory

ACME, OTHER = Tenant("acme"), Tenant("other")


def _file(hours: str) -> str:
    return f"version: 1\nsources: []\ntenants: [{{name: acme, history_hours: {hours}}}]\n"


@pytest.fixture
def declared(tmp_path: Path) -> Path:
    file = tmp_path / "sources.yaml"
    file.write_text(_file("72"))
    return file


def _history(file: Path) -> TenantHistory:
    def load() -> Sources:
        return parse_sources(file.read_text())

    return TenantHistory(file, load, 24, Metrics())


def test_a_tenant_has_its_own_hours_or_the_default(declared: Path) -> None:
    history = _history(declared)
    assert (history.kept_for(ACME), history.kept_for(OTHER)) == (timedelta(hours=72), timedelta(hours=24))


def test_an_edit_holds_from_the_next_run_on_and_a_broken_one_changes_nothing(declared: Path) -> None:
    history = _history(declared)
    for hours, kept in (("0", 0), ("minus one", 0), ("48", 48)):
        declared.write_text(_file(hours))
        os.utime(declared, ns=(kept, kept + len(hours)))
        assert history.kept_for(ACME) == timedelta(hours=kept)


@pytest.mark.parametrize(
    ("tenants", "says"),
    [
        ("[{name: acme, history_hours: -1}]", "greater than or equal to 0"),
        ("[{name: acme}, {name: acme, history_hours: 1}]", "two entries"),
        ("[{name: 'A B'}]", "tenant"),
        ("[{name: acme, history: 1}]", "history"),
    ],
)
def test_nonsense_about_tenants_is_refused(tenants: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_sources(f"version: 1\nsources: []\ntenants: {tenants}\n")


def test_tenants_are_read_back_as_they_were_dumped() -> None:
    sources = parse_sources(_file("5"))
    assert Sources.model_validate(sources.model_dump(mode="json")) == sources
    assert sources.tenants == ()
