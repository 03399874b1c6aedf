"""When too large a share of a stage's records ends as dead letters, the stage is at fault, not its input: it stops.

Otherwise a bad release drains its topic into documents.dlq within minutes.
"""

from collections import Counter, deque
from dataclasses import dataclass, field


class TooManyDeadLettersError(Exception):
    """Unplanned for: ends the process, and the record that was to be kept is not acknowledged."""


@dataclass(slots=True)
class LetterLimit:
    """At most `share` of the records among the last ones that held `letters` dead letters."""

    letters: int
    share: float
    _marks: deque[tuple[int, str]] = field(default_factory=deque)
    """Records finished when each of the last letters was put, and the letter's reason."""

    def check(self, stage: str, reason: str, finished: int) -> None:
        """Count one more letter. Raises TooManyDeadLettersError instead, when it would be one too many."""
        if len(self._marks) >= self.letters:
            since = finished - self._marks[0][0]
            if since < self.letters / self.share:
                reasons = Counter(reason for _, reason in self._marks).most_common(3)
                named = ", ".join(f"{name} {count}x" for name, count in reasons)
                raise TooManyDeadLettersError(
                    f"{len(self._marks)} of the last {max(since, self.letters)} records of stage {stage} became dead "
                    f"letters ({named}): mend the cause, start the stage again, then `millstream dlq redrive`; "
                    "MILLSTREAM_DEAD_LETTER_SHARE sets the limit"
                )
            self._marks.popleft()
        self._marks.append((finished, reason))
