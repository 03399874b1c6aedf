"""What a small topic has had since the last look: for state that is looked at every second, such as the live build."""

from collections.abc import Sequence

from runtime.kafka import KafkaAdmin, read_topic
from runtime.log_port import StoredRecord
from runtime.settings import Settings


class NewRecords:
    """One topic, from its beginning at the first look. Blocks: from a loop, use asyncio.to_thread."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._admin = KafkaAdmin(settings, seconds=5.0)
        self._next: dict[int, int] = {}

    def read(self) -> Sequence[StoredRecord]:
        """Everything that lay in the topic when the call began and was not returned before. Raises TransientError,
        ConfigError.
        """
        ends = self._admin.end_offsets(self._topic)
        if all(self._next.get(partition, 0) >= end for partition, end in ends.items()):
            return ()
        begins = {partition: self._next.get(partition, 0) for partition in ends}
        found = list(read_topic(self._settings, self._topic, start=begins))
        # What the reading itself found behind these ends comes once more: better than a record that is never seen.
        self._next = ends
        return found
