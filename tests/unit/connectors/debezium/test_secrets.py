"""Where a password lies and what stands for it; and what a DSN gives away."""

from pathlib import Path

import pytest

from connectors.debezium.postgres import dsn_of
from connectors.debezium.secrets import PasswordStore
from runtime.settings import Settings
from schemas.errors import ConfigError
from tests.unit.connectors.debezium.declared import source


def test_a_password_is_kept_for_its_owner_alone_and_referred_to(tmp_path: Path) -> None:
    store = PasswordStore.of(Settings(connect_secrets_dir=tmp_path / "s"))
    assert not store.keep("articles", "geheim")
    assert not store.keep("articles", "geheim")
    assert store.keep("articles", "neu"), "another one than before"
    file = tmp_path / "s" / "articles"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("neu", 0o600)
    assert store.reference("articles") == f"${{dir:{tmp_path / 's'}:articles}}"
    store.forget("articles")
    assert not list((tmp_path / "s").iterdir())


def test_another_connects_provider_is_referred_to_and_gets_no_file(tmp_path: Path) -> None:
    store = PasswordStore.of(Settings(connect_secrets_dir=tmp_path, connect_password="${vault:db/{source}:password}"))
    assert store.reference("articles") == "${vault:db/articles:password}"
    assert not store.keep("articles", "geheim")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["geheim", "${env}x", "$env:A", "${a b}"])
def test_what_is_no_reference_is_refused_unquoted(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        PasswordStore.of(Settings(connect_password=text))
    assert text not in str(refused.value)


def test_no_provider_at_all_is_said() -> None:
    with pytest.raises(ConfigError, match="source articles: say how Connect finds its password"):
        PasswordStore.of(Settings()).reference("articles")


def test_a_dsn_is_taken_apart() -> None:
    text = "postgresql://reader:ge%40heim@db.example:6543/sales?sslmode=verify-full&sslrootcert=/ca.pem"
    dsn = dsn_of(source(), {"SALES_DSN": text})
    assert dsn.password == "ge@heim"
    assert (dsn.endpoint.host, dsn.endpoint.port, dsn.endpoint.user) == ("db.example", 6543, "reader")
    assert (dsn.endpoint.database, dsn.endpoint.ssl_mode) == ("sales", "verify-full")
    assert "geheim" not in repr(dsn)
    assert "ge@heim" not in repr(dsn)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "SALES_DSN is not set"),
        ("postgresql://u:geheim@h:port/db", "SALES_DSN"),
        ("geheim", "is no DSN"),
        ("postgresql://u:geheim@/db", "one host by TCP"),
        ("postgresql://u:geheim@a,b/db", "one host by TCP"),
        ("host=/run user=u password=geheim", "one host by TCP"),
        ("postgresql://h/db", "and a user"),
    ],
)
def test_a_dsn_that_will_not_do_is_refused_without_a_word_of_it(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        dsn_of(source(), {"SALES_DSN": text})
    assert says in str(refused.value)
    assert "geheim" not in str(refused.value)
