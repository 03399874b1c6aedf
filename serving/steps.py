"""Times the steps of one request: for the response's timings_ms and for the metrics."""

from collections.abc import Iterator
from contextlib import contextmanager

from runtime.clock import Clock
from runtime.metrics import QUERY_STEP_SECONDS, Metrics


class Steps:
    """The steps of one request in the order they ran."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._started = clock.monotonic()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a block; a name used twice adds up."""
        started = self._clock.monotonic()
        try:
            yield
        finally:
            seconds = self._clock.monotonic() - started
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds
            self._metrics.observe(QUERY_STEP_SECONDS, seconds, step=name)

    def timings_ms(self) -> dict[str, float]:
        """Milliseconds of each step, and `total` since the request was taken up."""
        total = self._clock.monotonic() - self._started
        return {name: round(seconds * 1000, 3) for name, seconds in (*self._seconds.items(), ("total", total))}
