"""One part or service as it runs: start, wait until ready, stop, kill, start again."""

import time

from infra.local.children import Child, log_tail
from infra.local.parts import Part
from infra.local.progress import ProgressSink
from schemas.errors import TransientError

POLL_SECONDS = 0.05


class Running:
    """Holds the part's child process, if it has one."""

    def __init__(self, part: Part, held: int | None = None) -> None:
        """`held`: a descriptor kept open until all of it is gone (see children.Leash)."""
        self.part = part
        self._held = held
        self.child: Child | None = None

    @property
    def pid(self) -> int | None:
        return None if self.child is None else self.child.pid

    def prepare(self, report: ProgressSink) -> None:
        self.part.prepare(report)

    def start(self) -> None:
        self.child = Child(self.part.command(), self._held)

    def is_ready(self) -> bool:
        return self.child is not None and self.exit_code() is None and self.part.is_ready()

    def wait_ready(self) -> None:
        """Returns once it answers. Raises TransientError with its last log lines when it ends or takes too long."""
        deadline = time.monotonic() + self.part.ready_seconds
        while not self.is_ready():
            code = self.exit_code()
            if code is not None:
                raise self.ended(code)
            if time.monotonic() > deadline:
                raise self.too_slow()
            time.sleep(POLL_SECONDS)

    def exit_code(self) -> int | None:
        """None while it runs or was not started."""
        return None if self.child is None else self.child.exit_code()

    def ended(self, code: int) -> TransientError:
        """The error that says so."""
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        return TransientError(f"{self.part.name} ended with {how}: {log_tail(self.part.log_file)}")

    def too_slow(self) -> TransientError:
        """The error that says so."""
        waited = f"{self.part.name} did not answer within {self.part.ready_seconds:.0f} s"
        return TransientError(f"{waited}: {log_tail(self.part.log_file)}")

    def kill(self, number: int) -> None:
        """Send a signal to it and, when it is SIGKILL, wait until it and all it started are gone."""
        if self.child is None:
            return
        self.child.signal(number)
        if number == 9:
            self.child.reap()

    def stop(self) -> None:
        """Returns when nothing of it is left."""
        if self.child is not None:
            self.child.stop()
            self.child = None
