"""What was answered to which webhook-id: who repeats a message gets the same tokens, and nothing is in the log twice.

Bounded, in memory, per process: after a restart a repeated message is appended again. Where the source states its own
versions that changes nothing; where the log is the order, a message repeated after a later one of its document, within
the signature's five minutes, counts as the newer: such a source should repeat nothing it was answered 202 for.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from schemas.identity import Source

LIMIT = 10_000

Tokens = tuple[str, ...]
MessageKey = tuple[Source, str]
"""Source and webhook-id."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A message that was taken: the digest of its body, and its tokens once the log has acknowledged all of it."""

    digest: bytes
    tokens: "asyncio.Task[Tokens]"


class MessageMemory:
    """The last LIMIT messages; one that failed is forgotten, so that its repetition is tried anew."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._messages: OrderedDict[MessageKey, Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._messages)

    def get(self, key: MessageKey) -> Remembered | None:
        """What was taken under this id, or is being taken now."""
        found = self._messages.get(key)
        if found is not None:
            self._messages.move_to_end(key)
        return found

    def put(self, key: MessageKey, message: Remembered) -> None:
        """Remember; beyond the limit the message longest unused is forgotten."""
        self._messages[key] = message
        message.tokens.add_done_callback(lambda done: self._settled(key, done))
        while len(self._messages) > self._limit:
            self._messages.popitem(last=False)

    def under_way(self) -> tuple["asyncio.Task[Tokens]", ...]:
        """Messages without an acknowledgement yet."""
        return tuple(message.tokens for message in self._messages.values() if not message.tokens.done())

    def _settled(self, key: MessageKey, done: "asyncio.Task[Tokens]") -> None:
        failed = done.cancelled() or done.exception() is not None
        current = self._messages.get(key)
        if failed and current is not None and current.tokens is done:
            self._messages.pop(key)
