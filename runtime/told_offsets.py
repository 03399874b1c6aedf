"""Decides which of the offsets that a client tells are true.

A broker that knows a batch as sent before, and no longer where it lies, answers with offset -1, and both clients take
that for a success and count on from it: the first record of the batch lies at -1, those behind it at 0, 1, 2
(measured with librdkafka 2.16 and aiokafka 0.14; others had the same, twmb/franz-go#846). Such an offset would become
a document's version, a token's, or a writer's epoch.
"""

UNKNOWN = "it lies in the log at an unknown offset, if at all"
"""What is known of a record whose offset is not true. Mostly it is there. But where the first batch of a partition that
was created a moment ago is refused and the second is not, the broker takes the second for the first, and the repeated
first for one that it knows: acknowledged, and lost (Kafka 4.3, seen in the log of a partition that began with the
producer's sequence number 1).
"""


class ToldOffsets:
    """Of one producer. Tell it each record that was acknowledged, in the order of the log."""

    def __init__(self) -> None:
        self._counted_on: dict[tuple[str, int], int] = {}
        """Partition -> the offset that a client tells next if it still counts on from -1. No record can truly lie
        there: as many lie before it as were counted, and the batch's first.
        """

    def true_offset(self, topic: str, partition: int, told: int | None) -> int | None:
        """The offset where it is true; None: nobody knows it."""
        place = topic, partition
        if told is None or told < 0:
            self._counted_on[place] = 0
            return None
        if told == self._counted_on.get(place):
            self._counted_on[place] = told + 1
            return None
        self._counted_on.pop(place, None)
        return told
