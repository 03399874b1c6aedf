"""The values that travel through the flow of one request."""

from collections.abc import Mapping
from dataclasses import dataclass

from index.model import IndexIdentity, Seq
from index.reader import Retrieved
from serving.caller import Caller
from serving.core.refusal import Refusal
from serving.core.route import Route
from serving.core.threshold import Thresholds
from serving.evidence import Evidence
from serving.incoming import Ask
from serving.steps import Steps


@dataclass(slots=True)
class Noted:
    """What the access line says of a request; filled as the flow goes. Never text."""

    tenant: str | None = None
    subject_hash: str | None = None
    seq: Seq | None = None
    hits: int | None = None
    route: str | None = None
    refusal: str | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came in."""

    headers: Mapping[str, str]
    body: bytes
    request_id: str
    noted: Noted


@dataclass(frozen=True, slots=True)
class Turn:
    """A request that passed the door, with its clock and the constants it is judged by."""

    caller: Caller
    ask: Ask
    route: Route
    steps: Steps
    incoming: Incoming
    identity: IndexIdentity
    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class Gathered:
    """What there is to answer from, best first."""

    found: Retrieved
    evidence: tuple[Evidence, ...]
    sources: tuple[Evidence, ...]
    """Those that pass the threshold."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The flow ends without an answer; `gathered` where it came that far."""

    refusal: Refusal
    gathered: Gathered | None = None
