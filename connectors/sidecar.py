"""`.millstream.yaml` beside a folder's documents: who may read them, where they live, since when they are true, what
they are to be read as.

Rules apply in order, and a later rule wins, field by field: `labels` too is one field and replaced as a whole.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import yaml
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from connectors.changes import is_content_type, is_url
from schemas.errors import ConfigError, InvalidNameError
from schemas.identity import principal
from schemas.yaml_files import one_line, read_yaml

SIDECAR = ".millstream.yaml"
_PLACEHOLDER = re.compile(r"\{(.*?)\}")


@dataclass(frozen=True, slots=True)
class Described:
    """What the rules say about one document; None: nothing."""

    acl: tuple[str, ...] | None = None
    url: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    event_time: datetime | None = None
    content_type: str | None = None

    def at(self, event_time: datetime) -> "Described":
        """The same with this event time."""
        return replace(self, event_time=event_time)


def _principal(value: str) -> str:
    try:
        return principal(value)
    except InvalidNameError as error:
        raise ValueError(str(error)) from None


def _content_type(value: str) -> str:
    if not is_content_type(value):
        raise ValueError("a media type, such as text/plain; charset=iso-8859-1")
    return value


def _url_template(value: str) -> str:
    for name in _PLACEHOLDER.findall(value):
        if name != "path":
            raise ValueError(f"{{{name}}} is not known; {{path}} is")
    if not is_url(value):
        raise ValueError("an http or https address, such as https://wiki.example.com/{path}")
    return value


class Rule(BaseModel):
    """What holds for the documents that `match`, a glob on the path relative to the folder: ** crosses folders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: str = Field(min_length=1)
    acl: tuple[Annotated[str, AfterValidator(_principal)], ...] | None = None
    url: Annotated[str, AfterValidator(_url_template)] | None = None
    labels: dict[str, str] | None = None
    event_time: AwareDatetime | None = None
    content_type: Annotated[str, AfterValidator(_content_type)] | None = None

    def fits(self, path: str) -> bool:
        """Whether the rule is about this path."""
        return re.fullmatch(glob_pattern(self.match), path) is not None


class Sidecar(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[Rule, ...] = ()

    def describe(self, path: str) -> Described:
        """What all fitting rules say together."""
        described = Described()
        for rule in self.rules:
            if rule.fits(path):
                described = Described(
                    acl=described.acl if rule.acl is None else rule.acl,
                    url=described.url if rule.url is None else rule.url.replace("{path}", quote(path)),
                    labels=described.labels if rule.labels is None else rule.labels,
                    event_time=rule.event_time or described.event_time,
                    content_type=rule.content_type or described.content_type,
                )
        return described


def glob_pattern(glob: str) -> str:
    """A regular expression: `**/` any folders or none, `**` anything, `*` and `?` within one name."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    special = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    return "".join(special.get(part, re.escape(part)) for part in parts)


def read_sidecar(folder: Path) -> Sidecar:
    """Read a folder's rules; no file is no rules. Raises ConfigError with one line that names file and place."""
    file = folder / SIDECAR
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Sidecar()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {type(error).__name__}") from None
    return parse_sidecar(text, str(file))


def parse_sidecar(text: str, file: str) -> Sidecar:
    """Read rules. Raises ConfigError with one line."""
    try:
        return Sidecar.model_validate(read_yaml(text) or {})
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(one_line(file, error)) from None
