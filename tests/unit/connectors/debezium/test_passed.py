"""When everything that a database has written is in the log."""

import pytest

from connectors.debezium.passed import passed
from schemas.errors import TransientError


class Pipe:
    """A connector and a capture that come one step further each time somebody looks."""

    def __init__(self, confirmed: int | None, captured: int) -> None:
        self.confirmed = confirmed
        self.captured = captured
        self.end_seen_at: int | None = None

    async def tell(self) -> int | None:
        if self.confirmed is not None:
            self.confirmed += 8
        return self.confirmed

    def end(self) -> int:
        self.end_seen_at = self.confirmed
        return 7

    def capture(self) -> int:
        self.captured += 2
        return self.captured


async def test_it_is_passed_when_debezium_has_told_it_and_capture_has_acknowledged_it() -> None:
    pipe = Pipe(confirmed=96, captured=3)
    await passed(112, pipe.tell, pipe.end, pipe.capture)
    assert pipe.end_seen_at == 112, "the end is looked at after everything was told"
    assert pipe.captured >= 7


async def test_a_source_without_a_slot_has_nothing_on_its_way() -> None:
    pipe = Pipe(confirmed=None, captured=0)
    await passed(112, pipe.tell, pipe.end, pipe.capture)
    assert pipe.captured == 0


async def test_what_does_not_come_about_is_said_with_what_to_do() -> None:
    pipe = Pipe(confirmed=-(10**6), captured=0)
    with pytest.raises(TransientError, match=r"millstream status.*--version"):
        await passed(112, pipe.tell, pipe.end, pipe.capture, seconds=0.01)
