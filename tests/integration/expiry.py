"""Records that Kafka removes before their time, as retention does in its own."""

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from runtime.settings import Settings


def expire(settings: Settings, topic: str, partition: int, upto: int = -1) -> None:
    """Remove the records of a partition that lie before an offset; -1: all."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    for done in admin.delete_records([TopicPartition(settings.kafka_topic_prefix + topic, partition, upto)]).values():
        done.result(10)
