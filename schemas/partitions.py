"""Which partition a key belongs to: Kafka's own murmur2, the same for every client and language.

confluent-kafka's default (CRC32) disagrees with Java and aiokafka on most keys, so producers here name the partition.
Source: org.apache.kafka.common.utils.Utils.murmur2 and toPositive.
"""

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(payload: bytes) -> int:
    """32-bit murmur2 as an unsigned int."""
    length = len(payload)
    value = (_SEED ^ length) & _MASK
    for start in range(0, length - length % 4, 4):
        word = int.from_bytes(payload[start : start + 4], "little")
        word = (word * _M) & _MASK
        word = ((word ^ (word >> 24)) * _M) & _MASK
        value = ((value * _M) & _MASK) ^ word
    rest = payload[length - length % 4 :]
    if rest:
        value = ((value ^ int.from_bytes(rest, "little")) * _M) & _MASK
    value = ((value ^ (value >> 13)) * _M) & _MASK
    return value ^ (value >> 15)


def partition_of(key: str, partitions: int) -> int:
    """The partition of a UTF-8 key among `partitions`; raises ValueError below 1."""
    if partitions < 1:
        raise ValueError("a topic has at least one partition")
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
