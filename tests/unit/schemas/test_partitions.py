import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from schemas.partitions import murmur2, partition_of

# org.apache.kafka.common.utils.UtilsTest.testMurmur2, as Java's signed ints
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
    b"": 275646681,
}


@pytest.mark.parametrize(("payload", "expected"), JAVA.items())
def test_murmur2_is_javas(payload: bytes, expected: int) -> None:
    assert murmur2(payload) == expected % 2**32


@given(st.binary(max_size=40))
def test_murmur2_is_aiokafkas(payload: bytes) -> None:
    assert murmur2(payload) == aiokafka_murmur2(payload) % 2**32


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.integers(1, 64))
def test_a_key_lies_in_one_of_the_partitions(key: str, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
    assert partition_of(key, partitions) == (aiokafka_murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def test_a_topic_without_partitions_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        partition_of("a", 0)
