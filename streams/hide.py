"""The stage `hide`: passes deletes and acls of documents.changes on to index.hides, ahead of the queue (design §4).

It knows neither bodies, model nor store. What it cannot read it leaves to `prepare`, which keeps it as a dead letter.
"""

from dataclasses import dataclass

from runtime.clock import Clock
from runtime.faults import Point, reach
from runtime.log_port import Log
from schemas.codec import encode
from schemas.errors import DecodeError
from schemas.headers import StatedChange, stated_change
from schemas.identity import Document
from schemas.records import Coordinates, Hide
from schemas.topics import HIDES, Topics
from streams.core.hides import LastAcls, hide_of
from streams.deliveries import document_of
from streams.window import Delivery, Lease


@dataclass(frozen=True, slots=True)
class Sent:
    """In index.hides; `hide` is this change's own, or of an earlier one that was left out before."""

    hide: Hide
    at: Coordinates


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Takes nothing away that the last acl of its document does not."""


@dataclass(frozen=True, slots=True)
class TakesNothing:
    """An upsert that keeps the acl."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Key or headers are not what they have to be."""


Passed = Sent | LeftOut | TakesNothing | Unreadable


class Hider:
    """Of one process. One change of a document at a time, in the order of the log."""

    def __init__(self, log: Log, topics: Topics, clock: Clock) -> None:
        self._log = log
        self._topics = topics
        self._clock = clock
        self._lease: Lease | None = None
        self._acls = LastAcls()

    async def pass_on(self, delivery: Delivery, lease: Lease) -> Passed:
        """Returns once what is to be sent is acknowledged. Raises TransientError."""
        acls = self._acls_of(lease)
        document = document_of(delivery)
        if document is None:
            return Unreadable()
        stated = self._stated(delivery, document)
        if stated is None:
            acls.forget(document)
            return Unreadable()
        hide = hide_of(document, stated, delivery.coordinates, self._clock.now())
        if hide is None:
            return TakesNothing()
        chosen = acls.choose(hide)
        return LeftOut() if chosen is None else Sent(chosen, await self._send(chosen))

    def _acls_of(self, lease: Lease) -> LastAcls:
        """A new lease begins with no memory: others may have had its partitions meanwhile."""
        if lease is not self._lease:
            self._lease, self._acls = lease, LastAcls()
        return self._acls

    def _stated(self, delivery: Delivery, document: Document) -> StatedChange | None:
        at = delivery.coordinates
        if at.partition != self._topics.partition(at.topic, document=document):
            return None
        try:
            return stated_change(delivery.headers)
        except DecodeError:
            return None

    async def _send(self, hide: Hide) -> Coordinates:
        partition = self._topics.partition(HIDES, tenant=hide.tenant)
        reach(Point.HIDE_1)
        at = await self._log.append(HIDES, partition, hide.key, encode(hide))
        reach(Point.HIDE_2)
        return at
