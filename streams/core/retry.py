"""Decides what follows a failed commit of a batch, as a value. Pure: the applier counts, waits and acts.

A store that is away is waited for, without end and without dead letters. A batch whose rows are refused is tried once
more, then its mutations alone, so that only the one at fault becomes a dead letter. Anything else ends the process.
"""

from dataclasses import dataclass, replace

from schemas.errors import PermanentError, TransientError, UnknownTenantError

_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 5.0
_PERMANENT_TRIES = 2


@dataclass(frozen=True, slots=True)
class Failures:
    """How often one batch failed so far, this time included."""

    transient: int = 0
    permanent: int = 0

    @property
    def attempts(self) -> int:
        """All of them."""
        return self.transient + self.permanent

    def and_then(self, error: Exception) -> "Failures":
        """One more."""
        if isinstance(error, PermanentError):
            return replace(self, permanent=self.permanent + 1)
        return replace(self, transient=self.transient + 1)


@dataclass(frozen=True, slots=True)
class RetrySame:
    """The same batch at once."""


@dataclass(frozen=True, slots=True)
class CommitSingly:
    """Each mutation of the batch alone."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Every mutation of this batch is at fault."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The same batch, after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Crash:
    """Nobody planned for this: end the process."""


Decision = RetrySame | CommitSingly | DeadLetter | Wait | Crash


def decide(size: int, failures: Failures, error: Exception) -> Decision:
    """What follows when a batch of `size` mutations failed with `error`; `failures` counts this one too."""
    if isinstance(error, TransientError):
        return Wait(min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * (1 << min(failures.transient - 1, 16))))
    if isinstance(error, UnknownTenantError):
        return DeadLetter(error.reason)  # every mutation of a batch has the same tenant
    if isinstance(error, PermanentError):
        if failures.permanent < _PERMANENT_TRIES:
            return RetrySame()
        return CommitSingly() if size > 1 else DeadLetter(error.reason)
    return Crash()
