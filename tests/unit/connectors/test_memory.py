"""What the receiver remembers of messages."""

import asyncio

from connectors.webhook.memory import MessageMemory, Remembered, Tokens
from schemas.errors import TransientError
from schemas.identity import Source

WIKI = Source("wiki")


async def tokens(*given: str) -> Tokens:
    return given


async def failing() -> Tokens:
    raise TransientError("down")


async def test_the_message_longest_unused_is_forgotten_first() -> None:
    memory = MessageMemory(limit=2)
    for name in "ab":
        memory.put((WIKI, name), Remembered(b"", asyncio.create_task(tokens(name))))
    memory.get((WIKI, "a"))
    memory.put((WIKI, "c"), Remembered(b"", asyncio.create_task(tokens("c"))))
    assert len(memory) == 2
    assert memory.get((WIKI, "b")) is None
    kept = memory.get((WIKI, "a"))
    assert kept is not None
    assert await kept.tokens == ("a",)


async def test_a_message_that_failed_is_forgotten() -> None:
    memory = MessageMemory()
    task = asyncio.create_task(failing())
    memory.put((WIKI, "a"), Remembered(b"", task))
    assert memory.under_way() == (task,)
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert memory.get((WIKI, "a")) is None
    assert memory.under_way() == ()
