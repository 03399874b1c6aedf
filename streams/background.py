"""What runs in a stage beside its records: started and stopped with the process, which ends with it if it fails."""

import asyncio
from abc import ABC, abstractmethod

from runtime.cancellation import no_stray_cancellation
from streams.window import Crash


class Background(ABC):
    """One loop. What nobody planned for goes to `crash`."""

    def __init__(self, crash: Crash) -> None:
        self._crash = crash
        self._runner: asyncio.Task[None] | None = None

    @abstractmethod
    async def _run(self) -> None:
        """For ever, or until cancelled."""

    async def start(self) -> None:
        """Begin."""
        self._runner = asyncio.create_task(self._guarded())

    async def stop(self) -> None:
        """End at once; returns when it has."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait([self._runner])

    async def _guarded(self) -> None:
        try:
            with no_stray_cancellation():
                await self._run()
        except Exception as error:  # noqa: BLE001 - the one place where the unexpected ends the process
            self._crash(error)
