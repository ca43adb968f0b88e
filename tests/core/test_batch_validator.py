"""What may enter a topic's log, and the error a producer hears otherwise."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.batch_validator import BatchValidator
from headrace.core.crc32c import crc32c
from headrace.core.errors import (
    CorruptRecordError,
    InvalidRecordError,
    InvalidTimestampError,
    RecordBatchTooLargeError,
    RecordError,
    RecordTooLargeError,
    UnsupportedCompressionTypeError,
)
from headrace.core.log_config import LogConfig
from headrace.core.record_batch import RecordBatch
from tests.support.log_stage import NOW_MS, make_batch

LATEST_PRODUCE = 13


def inspect(
    records: bytes,
    config: LogConfig | None = None,
    *,
    is_client: bool = True,
    produce_version: int = LATEST_PRODUCE,
) -> Any:
    validator = BatchValidator(config or LogConfig())
    return validator.inspect_batch(records, is_client, produce_version, NOW_MS)


def with_field(batch: bytes, position: int, layout: str, value: int) -> bytes:
    """`batch` with one field changed and a CRC that matches."""
    changed = bytearray(batch)
    struct.pack_into(layout, changed, position, value)
    struct.pack_into(">I", changed, 17, crc32c(memoryview(changed)[21:]))
    return bytes(changed)


def test_good_batch_is_described(request: pytest.FixtureRequest) -> None:
    batch = make_batch([b"a", b"b"], producer_id=5, producer_epoch=2, base_sequence=7)
    info = inspect(batch)
    assert (info.record_count, info.size_bytes, info.max_timestamp) == (2, len(batch), NOW_MS + 1)
    assert (info.producer_id, info.producer_epoch) == (5, 2)
    assert (info.base_sequence, info.last_sequence) == (7, 8)
    assert (info.base_offset, info.log_append_time_ms, info.is_duplicate) == (-1, -1, False)


def test_offset_and_epoch_of_the_client_do_not_matter() -> None:
    inspect(make_batch([b"a"], base_offset=77, leader_epoch=5))


@pytest.mark.parametrize(
    ("position", "layout", "value", "error"),
    [
        (57, ">i", 0, InvalidRecordError),
        (57, ">i", -1, InvalidRecordError),
        (57, ">i", 3, InvalidRecordError),
        (23, ">i", 4, InvalidRecordError),
        (21, ">h", 0x20, InvalidRecordError),
        (21, ">h", 0x10, InvalidRecordError),
        (21, ">h", 0x08, InvalidTimestampError),
        (21, ">h", 0x05, UnsupportedCompressionTypeError),
        (21, ">h", 0x01, RecordError),
        (43, ">q", 9, InvalidRecordError),
        (16, ">b", 1, InvalidRecordError),
        (16, ">b", 3, CorruptRecordError),
        (61, ">b", 0x7E, RecordError),
    ],
)
def test_wrong_header_is_refused(position: int, layout: str, value: int, error: type) -> None:
    batch = with_field(make_batch([b"a", b"b"]), position, layout, value)
    with pytest.raises(error):
        inspect(batch)


def test_nothing_and_too_much_are_refused() -> None:
    batch = make_batch([b"a"])
    for records, error in (
        (b"", InvalidRecordError),
        (batch[:-1], CorruptRecordError),
        (batch[:12], CorruptRecordError),
        (batch + batch, InvalidRecordError),
        (batch + b"x", InvalidRecordError),
    ):
        with pytest.raises(error):
            inspect(records)


def test_size_bounds_are_those_of_the_topic() -> None:
    batch = make_batch([bytes(1000)])
    inspect(batch, LogConfig(max_message_bytes=len(batch), segment_bytes=len(batch)))
    with pytest.raises(RecordTooLargeError) as caught:
        inspect(batch, LogConfig(max_message_bytes=len(batch) - 1))
    assert caught.value.size_bytes == len(batch)
    with pytest.raises(RecordBatchTooLargeError):
        inspect(batch, LogConfig(segment_bytes=len(batch) - 1))


def test_record_without_a_key_is_refused_where_the_topic_is_compacted() -> None:
    compacted = LogConfig(cleanup_policy=frozenset(("compact",)))
    batch = make_batch([b"a", b"b", b"c"], keys=lambda index: None if index == 1 else b"k")
    inspect(batch)
    for compression in ("none", "gzip"):
        batch = make_batch(
            [b"a", b"b", b"c"],
            keys=lambda index: None if index == 1 else b"k",
            compression=compression,
        )
        with pytest.raises(InvalidRecordError) as caught:
            inspect(batch, compacted)
        assert [index for index, _ in caught.value.record_errors] == [1]
    inspect(make_batch([b"a"], keys=lambda index: b""), compacted)


def test_timestamps_are_bounded_on_both_sides() -> None:
    hour_ms = 3_600_000
    inspect(make_batch([b"a"], timestamp=NOW_MS + hour_ms))
    with pytest.raises(InvalidTimestampError, match="ahead"):
        inspect(make_batch([b"a"], timestamp=NOW_MS + hour_ms + 1))
    inspect(make_batch([b"a"], timestamp=1))
    bounded = LogConfig(message_timestamp_before_max_ms=1000)
    inspect(make_batch([b"a"], timestamp=NOW_MS - 1000), bounded)
    with pytest.raises(InvalidTimestampError, match="behind"):
        inspect(make_batch([b"a"], timestamp=NOW_MS - 1001), bounded)
    # The broker's own time replaces whatever the producer says.
    own_time = LogConfig(message_timestamp_type="LogAppendTime")
    inspect(make_batch([b"a"], timestamp=NOW_MS + 2 * hour_ms), own_time)


def test_zstd_needs_a_newer_produce_request() -> None:
    batch = make_batch([b"a"], compression="zstd")
    inspect(batch, produce_version=7)
    with pytest.raises(UnsupportedCompressionTypeError):
        inspect(batch, produce_version=6)


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_batch_must_hold_what_its_header_counts(compression: str) -> None:
    batch = make_batch([b"a", b"b"], compression=compression)
    inspect(batch)
    lying = with_field(with_field(batch, 57, ">i", 3), 23, ">i", 2)
    with pytest.raises(RecordError):
        inspect(lying)
    junk = bytearray(batch)
    junk[-4:] = b"\xff\xff\xff\xff"
    struct.pack_into(">I", junk, 17, crc32c(memoryview(junk)[21:]))
    with pytest.raises(RecordError):
        inspect(bytes(junk))


@pytest.mark.parametrize("target", ["uncompressed", "gzip", "lz4", "zstd", "snappy"])
@pytest.mark.parametrize("sent", ["none", "gzip", "lz4"])
def test_batch_is_stored_in_the_codec_of_the_topic(sent: str, target: str) -> None:
    validator = BatchValidator(LogConfig(compression_type=target))
    batch = make_batch(
        [b"a" * 50, b"b" * 50],
        compression=sent,
        producer_id=3,
        producer_epoch=1,
        base_sequence=4,
    )
    info = validator.inspect_batch(batch, True, LATEST_PRODUCE, NOW_MS)
    is_same = {"none": "uncompressed"}.get(sent, sent) == target
    assert validator.needs_rewrite(info) == (not is_same)
    content, rewritten = validator.rewrite_batch(batch, info, NOW_MS)
    stored = RecordBatch(content)
    assert stored.crc_is_valid()
    before = [(each.timestamp, each.key, each.value) for each in RecordBatch(batch).records()]
    assert [(each.timestamp, each.key, each.value) for each in stored.records()] == before
    assert (rewritten.producer_id, rewritten.base_sequence, rewritten.last_sequence) == (3, 4, 5)
    expected_id = {"uncompressed": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}[target]
    assert stored.compression_id == expected_id


def test_log_append_time_is_stamped_under_a_new_crc() -> None:
    validator = BatchValidator(LogConfig(message_timestamp_type="LogAppendTime"))
    batch = make_batch([b"a", b"b"], timestamp=5)
    info = validator.inspect_batch(batch, True, LATEST_PRODUCE, NOW_MS)
    assert validator.needs_rewrite(info)
    content, rewritten = validator.rewrite_batch(batch, info, NOW_MS)
    stored = RecordBatch(content)
    assert stored.crc_is_valid()
    assert stored.has_log_append_time
    assert [each.timestamp for each in stored.records()] == [NOW_MS, NOW_MS]
    assert (rewritten.log_append_time_ms, rewritten.max_timestamp) == (NOW_MS, NOW_MS)


@given(position=st.integers(0, 200), value=st.integers(0, 255), fixes_crc=st.booleans())
def test_changed_bytes_raise_only_record_errors(position: int, value: int, fixes_crc: bool) -> None:
    batch = bytearray(make_batch([b"a" * 30, b"b" * 30], compression="none"))
    batch[position % len(batch)] = value
    if fixes_crc:
        struct.pack_into(">I", batch, 17, crc32c(memoryview(batch)[21:]))
    try:
        inspect(bytes(batch))
    except RecordError:
        return
    RecordBatch(bytes(batch))


@given(records=st.binary(max_size=300))
def test_junk_raises_only_record_errors(records: bytes) -> None:
    with pytest.raises(RecordError):
        inspect(records)
