"""Kafka through confluent-kafka: the one package that imports it.

Serves plain processes and tools (webhook receiver, command line): an idempotent producer whose sends overlap,
administration of topics, offsets and lag, and reading a topic to the end seen at the start. Topic and group names are
given without the installation's prefix everywhere; it is put on and taken off here.
"""

from runtime.kafka.admin import KafkaAdmin
from runtime.kafka.config import client_config, producer_config
from runtime.kafka.errors import NoLeaderError
from runtime.kafka.looking import RecordReader
from runtime.kafka.producer import Producer, open_producer
from runtime.kafka.reading import read_topic

__all__ = [
    "KafkaAdmin",
    "NoLeaderError",
    "Producer",
    "RecordReader",
    "client_config",
    "open_producer",
    "producer_config",
    "read_topic",
]
