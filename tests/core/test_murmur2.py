"""Murmur2: Kafka's own test vectors, and the partition that Kafka's clients choose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as foreign_murmur2

from headrace.core.murmur2 import murmur2, partition_for_key


@pytest.mark.parametrize(
    ("key", "expected"),
    # Origin: apache/kafka, UtilsTest.testMurmur2.
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_kafkas_own_vectors(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected


@given(st.binary(max_size=70), st.integers(1, 5000))
def test_a_key_goes_where_kafka_python_sends_it(key: bytes, partition_count: int) -> None:
    hashed = foreign_murmur2(key)
    assert murmur2(key) & 0xFFFFFFFF == hashed
    assert partition_for_key(key, partition_count) == (hashed & 0x7FFFFFFF) % partition_count


def test_any_bytes_like_key_hashes_alike() -> None:
    assert murmur2(bytearray(b"key")) == murmur2(memoryview(b"key")) == murmur2(b"key")


def test_text_is_no_key() -> None:
    with pytest.raises(TypeError):
        partition_for_key("key", 3)  # type: ignore[arg-type]


def test_a_topic_without_partitions_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        partition_for_key(b"key", 0)
