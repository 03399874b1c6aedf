"""What is done with personal data in a source's documents: kinds, actions, profiles, and the policy they make.

Pure. sources.yaml states a `Redaction`; `policy_of` makes the decision for every kind explicit.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Kind(StrEnum):
    """A kind of personal data."""

    EMAIL = "EMAIL"
    IBAN = "IBAN"
    SSN = "SSN"
    """A US social security number."""
    CREDIT_CARD = "CREDIT_CARD"
    IP = "IP"
    PHONE = "PHONE"
    PERSON = "PERSON"
    """A name of a person, by a trained model: needs the extra `ner`."""
    PRIVATE = "PRIVATE"
    """A value of a column that the source declares as personal data."""


class Action(StrEnum):
    """What becomes of a value that is found."""

    MASK = "mask"
    """Its kind stands in its place: [EMAIL]."""
    PSEUDONYMISE = "pseudonymise"
    """A keyed token stands in its place, [EMAIL:1f0c…]: the same for equal values within a tenant."""
    DROP = "drop"
    KEEP = "keep"
    """It stays; the chunk says that there is one."""
    IGNORE = "ignore"
    """It is not looked for."""


PROFILES: Mapping[str, Mapping[Kind, Action]] = {
    "off": dict.fromkeys(Kind, Action.IGNORE) | {Kind.PRIVATE: Action.MASK},
    "default": {
        Kind.EMAIL: Action.KEEP,
        Kind.IBAN: Action.MASK,
        Kind.SSN: Action.MASK,
        Kind.CREDIT_CARD: Action.MASK,
        Kind.IP: Action.KEEP,
        Kind.PHONE: Action.KEEP,
        Kind.PERSON: Action.IGNORE,
        Kind.PRIVATE: Action.MASK,
    },
    "strict": dict.fromkeys(Kind, Action.MASK),
}
"""A handbook is asked for mail addresses and phone numbers, so the default profile keeps them and says so."""

THRESHOLDS: Mapping[Kind, float] = dict.fromkeys(Kind, 0.5)

_Threshold = Annotated[float, Field(ge=0.0, le=1.0)]


def _unread(value: object) -> object:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


class Redaction(BaseModel):
    """The block `redaction` of a source: a profile, and what departs from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Annotated[Literal["default", "strict", "off"], BeforeValidator(_unread)] = "default"
    kinds: Mapping[Kind, Action] = {}
    thresholds: Mapping[Kind, _Threshold] = {}
    """Least score of a finding, 0 to 1; lower finds more, and more that is none."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The decision for every kind."""

    actions: Mapping[Kind, Action]
    thresholds: Mapping[Kind, float]

    @property
    def sought(self) -> tuple[Kind, ...]:
        """Kinds that are looked for, sorted."""
        return tuple(sorted(kind for kind, action in self.actions.items() if action is not Action.IGNORE))

    @property
    def pseudonymises(self) -> bool:
        """Whether it needs the key."""
        return Action.PSEUDONYMISE in self.actions.values()

    @property
    def fingerprint(self) -> str:
        """8 hex digits over the decisions that can change a document."""
        lines = [f"{kind}={self.actions[kind]}@{self.thresholds[kind]:g}" for kind in self.sought]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]


def policy_of(redaction: Redaction) -> Policy:
    """The profile's actions and the default thresholds, with what the source states put over them."""
    return Policy({**PROFILES[redaction.profile], **redaction.kinds}, {**THRESHOLDS, **redaction.thresholds})
