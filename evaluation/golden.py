"""The golden set: questions about the example corpus whose right outcome is known.

The file is YAML under `evaluation/golden/`; this module says what a question may hold and reads it. It judges
nothing: a run of the golden set compares an answer with these fields and counts.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import ConfigError

FIRST_LIGHT = Path(__file__).with_name("golden") / "first_light.yaml"

Text = Annotated[str, Field(min_length=1)]


class GoldenQuestion(BaseModel):
    """One question, asked by a principal of one tenant, and what a right outcome is.

    An answer is right when at least one citation is of `documents` (each `source/doc_id`), the answer holds every
    string of `contains` and none of `forbidden`. A refusal is right when its reason is `no_source`; the response must
    then hold none of `forbidden` either. Strings are compared with case, after runs of white space became one space.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{2,62}$")]
    tenant: Text
    groups: Annotated[tuple[Text, ...], Field(min_length=1)]
    subject: Text = "golden"  # the `sub` of the principal: matters where an acl names `user:<sub>`
    question: Text
    expect: Literal["answer", "refusal"]
    documents: tuple[Text, ...] = ()
    contains: tuple[Text, ...] = ()
    forbidden: tuple[Text, ...] = ()
    note: str = ""

    @model_validator(mode="after")
    def _outcome_is_complete(self) -> Self:
        if self.expect == "answer" and not (self.documents and self.contains):
            raise ValueError("an expected answer needs documents and contains")
        if self.expect == "refusal" and (self.documents or self.contains):
            raise ValueError("an expected refusal has neither documents nor contains")
        return self


class GoldenSet(BaseModel):
    """All questions of one file, in its order; ids are unique."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    corpus: Text
    questions: Annotated[tuple[GoldenQuestion, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        seen: set[str] = set()
        for question in self.questions:
            if question.id in seen:
                raise ValueError(f"id {question.id} is used twice")
            seen.add(question.id)
        return self


def load_golden(path: Path = FIRST_LIGHT) -> GoldenSet:
    """Read and check a golden set. Raises ConfigError when the file is missing or not as described here."""
    try:
        return GoldenSet.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except OSError as error:
        raise ConfigError(f"golden set {path.name} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"golden set {path.name} is not valid: {error}") from error
