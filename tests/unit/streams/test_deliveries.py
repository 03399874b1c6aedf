"""How Faust's events become deliveries."""

from types import SimpleNamespace
from typing import cast

from faust.types import EventT

from streams.agents import delivery_of


def test_a_header_without_a_value_is_an_empty_one() -> None:
    message = SimpleNamespace(partition=0, offset=7, key=b"k", value=b"v", headers=[("ms-op", None), ("x", b"1")])
    event = cast("EventT[bytes]", SimpleNamespace(message=message, ack=lambda: None))
    assert delivery_of(event, "documents.changes").headers == (("ms-op", b""), ("x", b"1"))
