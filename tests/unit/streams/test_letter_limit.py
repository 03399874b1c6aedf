"""A stage whose records mostly end as dead letters stops; one with some poison among good input does not."""

import pytest

from runtime.clock import ManualClock
from runtime.log_port import MemoryLog
from schemas.errors import PermanentError
from schemas.topics import DLQ
from streams.core.letter_limit import LetterLimit, TooManyDeadLettersError
from streams.dead_letters import DeadLetters
from tests.unit.streams.records import change, change_delivery, topics

ERROR = PermanentError("unreadable", reason="unreadable")


def test_a_stage_that_fails_at_everything_stops_after_so_many_letters() -> None:
    limit = LetterLimit(letters=20, share=0.5)
    for done in range(20):
        limit.check("prepare", "unreadable", done)
    with pytest.raises(TooManyDeadLettersError, match=r"unreadable 20x.*dlq redrive"):
        limit.check("prepare", "unreadable", 20)


def test_poison_below_the_share_never_stops_it() -> None:
    limit = LetterLimit(letters=20, share=0.5)
    for number in range(1000):
        limit.check("prepare", "unreadable", number * 2)


def test_a_burst_of_poison_after_much_good_input_counts_from_the_burst() -> None:
    limit = LetterLimit(letters=20, share=0.5)
    for number in range(20):
        limit.check("prepare", "unreadable", number * 1000)
    for number in range(20):
        limit.check("prepare", "unreadable", 20_000 + number)
    with pytest.raises(TooManyDeadLettersError):
        limit.check("prepare", "unreadable", 20_020)


async def test_the_record_that_is_one_too_many_is_not_kept() -> None:
    log, done = MemoryLog(), 0
    limit = LetterLimit(letters=2, share=0.5)
    letters = DeadLetters(log, topics(), "prepare", ManualClock(), limit=limit, finished=lambda: done)
    for offset in (1, 2):
        await letters.put(change_delivery(change(), offset), ERROR, 1)
        done += 1
    with pytest.raises(TooManyDeadLettersError):
        await letters.put(change_delivery(change(), 3), ERROR, 1)
    assert len(list(log.records(DLQ))) == 2
