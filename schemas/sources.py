"""A typed view of sources.yaml: who sends documents, for which tenant, and what applies where they say nothing."""

from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import ConfigError, InvalidNameError
from schemas.identity import Source, Tenant, principal, source_name, tenant_name
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


class SourceConfig(BaseModel):
    """One declared source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_source)]
    tenant: Annotated[str, AfterValidator(_tenant)]
    kind: Literal["webhook", "postgres", "files"]
    versioning: Literal["log", "source"] = "log"
    """log: the record's offset is the version; source: every event states its own number."""
    epoch: int = Field(1, ge=1, le=2**31 - 1)
    """Raised by the operator after a restore of the source or a change of `versioning` or of partitions."""
    default_acl: tuple[Annotated[str, AfterValidator(_principal)], ...] = ()
    """Who may read a document that never had an acl of its own; empty is nobody."""

    @property
    def source(self) -> Source:
        """The checked name."""
        return Source(self.name)

    @property
    def owner(self) -> Tenant:
        """The checked tenant."""
        return Tenant(self.tenant)


class Sources(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    sources: tuple[SourceConfig, ...]

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
        """Every tenant with a source, sorted."""
        return tuple(sorted({source.owner for source in self.sources}))


def parse_sources(text: str) -> Sources:
    """Read sources.yaml. Raises ConfigError with one line that names the place."""
    try:
        return Sources.model_validate(read_yaml(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(one_line("sources.yaml", error)) from None
