"""Decides when reads of a dead store fail at once instead of each waiting out its budget."""

from dataclasses import dataclass

FAILURES = 3
PAUSE_SECONDS = 1.0


@dataclass(slots=True)
class Breaker:
    """After `FAILURES` failures in a row refuse for `PAUSE_SECONDS`, then let one probe through at a time.

    Times are a monotonic clock's, in seconds.
    """

    failures: int = 0
    refuse_until: float = 0.0

    def admits(self, now: float) -> bool:
        """Whether a call may go out; where the breaker is open, saying yes makes this call the probe."""
        if self.failures < FAILURES:
            return True
        if now < self.refuse_until:
            return False
        self.refuse_until = now + PAUSE_SECONDS
        return True

    def succeeded(self) -> None:
        """The store answered."""
        self.failures = 0

    def failed(self, now: float) -> None:
        """The store did not answer."""
        self.failures += 1
        self.refuse_until = now + PAUSE_SECONDS
