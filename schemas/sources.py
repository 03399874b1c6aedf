"""A typed view of sources.yaml: who sends documents, for which tenant, and what applies where they say nothing.

A source of kind postgres also says how a row of its table reads as a document, or as an event about one.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import ConfigError, InvalidNameError
from schemas.identity import Source, Tenant, principal, source_name, tenant_name
from schemas.redaction import Redaction
from schemas.yaml_files import one_line, read_yaml


def _tenant(value: str) -> str:
    return _named(tenant_name, value)


def _source(value: str) -> str:
    return _named(source_name, value)


def _principal(value: str) -> str:
    return _named(principal, value)


def _named(check: object, value: str) -> str:
    assert callable(check)
    try:
        return str(check(value))
    except InvalidNameError as error:
        raise ValueError(str(error)) from None


_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_LABEL_COLUMN = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
_MAX_LABELS = 32


def _column(value: str) -> str:
    if not _IDENTIFIER.fullmatch(value):
        raise ValueError("a column is 1 to 63 of a-z A-Z 0-9 _, as Postgres stores it, not starting with a digit")
    return value


def _label_column(value: str) -> str:
    if not _LABEL_COLUMN.fullmatch(value):
        raise ValueError("a label is named like its column: 1 to 63 of a-z 0-9 _, not starting with a digit")
    return value


def _table(value: str) -> str:
    schema, dot, table = value.partition(".")
    if not (dot and _IDENTIFIER.fullmatch(schema) and _IDENTIFIER.fullmatch(table)):
        raise ValueError("a table is schema.table, such as public.articles")
    return value


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise ValueError("the name of an environment variable, such as MILLSTREAM_POSTGRES_DSN, never a DSN itself")
    return value


Column = Annotated[str, AfterValidator(_column)]
LabelColumn = Annotated[str, AfterValidator(_label_column)]


class Columns(BaseModel):
    """Which column of a table says what; None: no column does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: tuple[Column, ...] = Field(min_length=1, max_length=16)
    """Together they are the doc_id; unique and never NULL."""
    tenant: Column | None = None
    op: Column | None = None
    """An outbox event's upsert, delete or acl."""
    title: Column | None = None
    body: Column | None = None
    content_type: Column | None = None
    url: Column | None = None
    acl: Column | None = None
    labels: tuple[LabelColumn, ...] = Field((), max_length=_MAX_LABELS)
    event_time: Column | None = None
    actor: Column | None = None

    @property
    def named(self) -> tuple[str, ...]:
        """Every column that is read, once, the key first."""
        single = (self.tenant, self.op, self.title, self.body, self.content_type, self.url, self.acl)
        named = (*self.key, *single, *self.labels, self.event_time, self.actor)
        return tuple(dict.fromkeys(name for name in named if name is not None))


class PostgresTable(BaseModel):
    """Where a source of kind postgres lies, and how its rows read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dsn_env: Annotated[str, AfterValidator(_variable)]
    """Name of the environment variable that holds the DSN."""
    table: Annotated[str, AfterValidator(_table)]
    shape: Literal["rows", "outbox"] = "rows"
    """rows: one row is one document; outbox: every inserted row is one event."""
    columns: Columns
    content_type: str | None = None
    """Of every body that no column types."""
    body_encoding: Literal["text", "bytes"] = "text"
    tenants: tuple[Annotated[str, AfterValidator(_tenant)], ...] = ()
    """Whom the tenant column may name; none: the source's own tenant alone."""
    pii_columns: tuple[Column, ...] = ()
    """Columns that hold personal data."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.columns.body is None:
            raise ValueError("columns.body: a document needs a body")
        if self.tenants and self.columns.tenant is None:
            raise ValueError("tenants goes with columns.tenant: without it every row is the source's own tenant's")
        if self.shape == "outbox":
            self._check_outbox()
        elif self.columns.op is not None:
            raise ValueError("columns.op goes with shape: outbox; of shape: rows, a row that goes is a delete")
        return self

    def _check_outbox(self) -> None:
        if self.columns.op is None:
            raise ValueError("columns.op: an outbox needs the column that says upsert, delete or acl")
        if len(self.columns.key) != 1:
            raise ValueError("columns.key: of an outbox, the one column that holds the doc_id")


def row_doc_id(values: Sequence[str]) -> str:
    """The doc_id of a row from the text of its key columns, unchecked.

    One value is taken as it is; of several, % and / are escaped and "/" stands between: no two keys meet.
    """
    if len(values) == 1:
        return values[0]
    return "/".join(value.replace("%", "%25").replace("/", "%2F") for value in values)


class SourceConfig(BaseModel):
    """One declared source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_source)]
    tenant: Annotated[str, AfterValidator(_tenant)]
    kind: Literal["webhook", "postgres", "files"]
    versioning: Literal["log", "source"] = "log"
    """log: the record's offset is the version; source: every event states its own number. Not stated for kind
    postgres: the version is the LSN.
    """
    epoch: int = Field(1, ge=1, le=2**31 - 1)
    """Raised by the operator after a restore of the source or a change of `versioning` or of partitions."""
    default_acl: tuple[Annotated[str, AfterValidator(_principal)], ...] = ()
    """Who may read a document that never had an acl of its own; empty is nobody."""
    max_silence_hours: float | None = Field(None, gt=0, le=87_600)
    """The audit raises an alert when nothing was heard of it for longer. Default: it may be silent for ever."""
    redaction: Redaction = Redaction()
    """What is done with personal data in its documents."""
    postgres: PostgresTable | None = None
    """Goes with kind postgres."""

    @model_validator(mode="after")
    def _kind_fits(self) -> Self:
        if (self.kind == "postgres") != (self.postgres is not None):
            raise ValueError(f"source {self.name!r}: kind: postgres and the block postgres: go together")
        if self.kind == "postgres" and "versioning" in self.model_fields_set:
            raise ValueError(f"source {self.name!r}: leave versioning out: a row's version is its LSN")
        return self

    @property
    def source(self) -> Source:
        """The checked name."""
        return Source(self.name)

    @property
    def owner(self) -> Tenant:
        """The checked tenant."""
        return Tenant(self.tenant)

    @property
    def tenants(self) -> tuple[Tenant, ...]:
        """Every tenant that may own a document of this source, its own first."""
        others = self.postgres.tenants if self.postgres else ()
        return tuple(dict.fromkeys(Tenant(name) for name in (self.tenant, *others)))

    def may_name(self, tenant: str) -> bool:
        """Whether the source's tenant column may name `tenant`."""
        named = self.postgres.tenants if self.postgres else ()
        return tenant in (named or (self.tenant,))


class TenantConfig(BaseModel):
    """What applies to one tenant, where it is not the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_tenant)]
    history_hours: float | None = Field(None, ge=0, le=87_600)
    """How long what was superseded can still be asked for; 0: not at all. Default: MILLSTREAM_HISTORY_HOURS."""


class Sources(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    version: Literal[1]
    sources: tuple[SourceConfig, ...]
    tenant_settings: tuple[TenantConfig, ...] = Field((), alias="tenants")
    """Tenants need no entry of their own: they are there as soon as a source names them."""

    @model_validator(mode="after")
    def _unique_tenants(self) -> Self:
        names = [tenant.name for tenant in self.tenant_settings]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"tenant {name!r} has two entries")
        return self

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [source.name for source in self.sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"source {name!r} is declared twice; a source belongs to one tenant")
        return self

    def get(self, name: str) -> SourceConfig | None:
        """The source of that name, if declared."""
        return next((source for source in self.sources if source.name == name), None)

    @property
    def tenants(self) -> tuple[Tenant, ...]:
        """Every tenant that a source may write to, sorted."""
        return tuple(sorted({tenant for source in self.sources for tenant in source.tenants}))

    @property
    def captured(self) -> tuple[SourceConfig, ...]:
        """The sources of kind postgres."""
        return tuple(source for source in self.sources if source.kind == "postgres")


def parse_sources(text: str) -> Sources:
    """Read sources.yaml. Raises ConfigError with one line that names the place."""
    try:
        return Sources.model_validate(read_yaml(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(one_line("sources.yaml", error)) from None
