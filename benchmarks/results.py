"""What a benchmark publishes: one model for every figure, with fixed keys a script may rely on.

Fixed: name, unit, n, p50, p95, p99, machine, commit. What else was learned stands beside them under keys of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from benchmarks.quantiles import Quantiles
from schemas.errors import MillstreamError

Setting = str | int | float | bool


class NothingMeasuredError(MillstreamError):
    """A run without a single sample; the message says what came back instead."""


class _Published(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(_Published):
    """Where it was measured."""

    cores: int
    memory_mb: int
    cpu: str
    python: str


class LoadStep(_Published):
    """One step of a search for the highest rate."""

    clients: int
    requests_per_s: float
    """Answers and refusals a second; what was shed does not count."""
    shed: int
    errors: int
    p50: float | None
    p99: float | None
    """Latency in milliseconds; none where nothing was answered."""


class Figure(_Published):
    """One measured figure. `p50`, `p95` and `p99` are in `unit`, over `n` samples."""

    name: str
    unit: str = "ms"
    n: int
    p50: float
    p95: float
    p99: float
    machine: Machine
    commit: str
    """Git revision, with -dirty where the tree differs from it."""
    at: datetime
    measures: str
    """What a sample is, in words: from which moment to which."""
    stages: dict[str, Quantiles]
    """Parts of a sample and times beside it, in milliseconds."""
    outcomes: dict[str, int]
    """What became of the requests or events, those outside the sample included."""
    settings: dict[str, Setting]
    rss_mb: dict[str, float]
    """Resident memory of each process afterwards."""
    load_before: float
    """Average of running processes in the minute before; not near 0: something else was using the machine."""
    load_generator: str = "same machine"
    requests_per_s: float | None = None
    steps: tuple[LoadStep, ...] | None = None
    shares: dict[str, float] | None = None
    """Parts of a whole, 0 to 1."""
    ratio_to_embedder: float | None = None
    """Chunks a second of the whole pipeline over those of the bare f32 model, on the same chunks and cores."""

    def published(self) -> dict[str, object]:
        """As JSON has it; what a figure has no value for is left out."""
        return self.model_dump(mode="json", exclude_none=True)


@dataclass(frozen=True, slots=True)
class Setup:
    """What the figures of one run share."""

    machine: Machine
    commit: str
    at: datetime
    rss_mb: Mapping[str, float]
    load_before: float

    def figure(
        self,
        name: str,
        sample: Quantiles,
        measures: str,
        *,
        stages: Mapping[str, Quantiles],
        outcomes: Mapping[str, int],
        settings: Mapping[str, Setting],
        requests_per_s: float | None = None,
        steps: Sequence[LoadStep] | None = None,
        unit: str = "ms",
        shares: Mapping[str, float] | None = None,
        ratio_to_embedder: float | None = None,
    ) -> Figure:
        """One figure of this run."""
        return Figure(
            name=name,
            unit=unit,
            n=sample.n,
            p50=sample.p50,
            p95=sample.p95,
            p99=sample.p99,
            machine=self.machine,
            commit=self.commit,
            at=self.at,
            measures=measures,
            stages=dict(stages),
            outcomes=dict(outcomes),
            settings=dict(settings),
            rss_mb=dict(self.rss_mb),
            load_before=self.load_before,
            requests_per_s=requests_per_s,
            steps=None if steps is None else tuple(steps),
            shares=None if shares is None else dict(shares),
            ratio_to_embedder=ratio_to_embedder,
        )
