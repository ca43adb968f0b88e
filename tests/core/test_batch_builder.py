"""The batch builder against aiokafka's encoder, kafka-python's decoder and golden bytes."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record import MemoryRecords

from headrace.core import BatchBuilder, Record, RecordBatch, inspect_records
from headrace.core.errors import RecordError, RecordTypeError, UnsupportedCompressionTypeError
from tests.support.foreign_batches import CODECS, ROWS, Row, foreign_batch

GOLDEN = Path(__file__).parent.parent / "golden" / "record_batches"


def own_batch(rows: list[Row] = ROWS, **settings: Any) -> bytearray:
    builder = BatchBuilder(**settings)
    for timestamp, key, value, headers in rows:
        builder.append_record(timestamp=timestamp, key=key, value=value, headers=headers)
    return builder.build()


def test_it_writes_what_a_foreign_encoder_writes_byte_for_byte() -> None:
    foreign = bytearray(foreign_batch(producer_id=12, producer_epoch=1, base_sequence=77))
    foreign[12:16] = b"\xff\xff\xff\xff"  # aiokafka writes 0 where the protocol says -1
    assert own_batch(producer_id=12, producer_epoch=1, base_sequence=77) == foreign


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("five_records", {}),
        ("transactional", {"is_transactional": True, "producer_id": 9, "producer_epoch": 2}),
    ],
)
def test_golden_bytes_are_read_and_written_again(name: str, settings: dict[str, Any]) -> None:
    golden = bytes.fromhex((GOLDEN / f"{name}.hex").read_text())
    assert RecordBatch(golden).crc_is_valid()
    assert [record.value for record in RecordBatch(golden).records()] == [row[2] for row in ROWS]
    assert own_batch(base_offset=1000, leader_epoch=5, **settings) == golden


@pytest.mark.parametrize("compression", CODECS)
def test_every_codec_comes_back(compression: str) -> None:
    raw = own_batch(compression=compression)
    batch = RecordBatch(raw)
    assert batch.crc_is_valid()
    assert batch.compression_id == CODECS[compression]
    assert [record.value for record in batch.records()] == [row[2] for row in ROWS]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_kafka_python_reads_it(compression: str) -> None:
    foreign = MemoryRecords(bytes(own_batch(compression=compression, base_offset=40))).next_batch()
    assert foreign.validate_crc()
    read = [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in foreign]
    assert read == [
        (40 + index, timestamp, key, value, headers)
        for index, (timestamp, key, value, headers) in enumerate(ROWS)
    ]


def test_a_gap_left_by_compaction_is_kept() -> None:
    builder = BatchBuilder(base_offset=100)
    builder.append_record(timestamp=1, key=b"a", value=b"1", offset_delta=3)
    builder.append_record(timestamp=2, key=b"b", value=b"2", offset_delta=9)
    batch = RecordBatch(builder.build(last_offset_delta=20))
    assert [record.offset for record in batch.records()] == [103, 109]
    assert (batch.last_offset, batch.record_count) == (120, 2)
    assert inspect_records(batch).offset_of_max_timestamp == 109


def test_offsets_must_grow() -> None:
    builder = BatchBuilder()
    builder.append_record(timestamp=1, key=None, value=b"", offset_delta=3)
    with pytest.raises(ValueError, match="at least 4"):
        builder.append_record(timestamp=1, key=None, value=b"", offset_delta=3)
    with pytest.raises(ValueError, match="at least 3"):
        builder.build(last_offset_delta=2)
    assert builder.record_count == 1


def test_an_empty_batch_needs_the_offsets_it_spans() -> None:
    with pytest.raises(ValueError, match="last_offset_delta"):
        BatchBuilder().build()
    batch = RecordBatch(BatchBuilder(base_offset=7).build(last_offset_delta=4))
    assert (batch.last_offset, batch.record_count, batch.max_timestamp) == (11, 0, -1)
    assert batch.crc_is_valid()
    summary = inspect_records(batch)
    assert (summary.count, summary.max_timestamp, summary.min_timestamp) == (0, -1, -1)
    assert (summary.offset_of_max_timestamp, summary.first_null_key_index) == (-1, -1)
    assert list(batch.records()) == []


def test_a_commit_marker_is_a_control_batch_of_one_record() -> None:
    builder = BatchBuilder(producer_id=3, producer_epoch=0, is_transactional=True, is_control=True)
    key, value = bytes.fromhex("00000001"), bytes.fromhex("000000000007")
    builder.append_record(timestamp=5, key=key, value=value)
    batch = RecordBatch(builder.build())
    assert (batch.attributes, batch.is_control, batch.is_transactional) == (0x30, True, True)
    assert (batch.base_sequence, batch.last_sequence) == (-1, -1)


def test_a_delete_horizon_keeps_the_timestamps_of_the_records() -> None:
    builder = BatchBuilder(delete_horizon_ms=9_000)
    builder.append_record(timestamp=1_000, key=b"k", value=None)
    batch = RecordBatch(builder.build())
    assert batch.delete_horizon_ms == 9_000
    assert [record.timestamp for record in batch.records()] == [1_000]


def test_log_append_time_is_the_largest_timestamp() -> None:
    builder = BatchBuilder(timestamp_type="LogAppendTime")
    for timestamp in (5, 9, 7):
        builder.append_record(timestamp=timestamp, key=None, value=b"x")
    assert [record.timestamp for record in RecordBatch(builder.build()).records()] == [9, 9, 9]


def test_it_goes_on_after_a_build() -> None:
    builder = BatchBuilder()
    for count in (1, 2, 300):
        while builder.record_count < count:
            builder.append_record(timestamp=0, key=None, value=b"v" * 100)
        raw = builder.build()
        assert len(raw) == builder.size_bytes
        assert RecordBatch(raw).record_count == count == len(list(RecordBatch(raw).records()))


def test_bytes_like_keys_and_values_are_taken() -> None:
    builder = BatchBuilder()
    builder.append_record(timestamp=0, key=bytearray(b"k"), value=memoryview(b"value"))
    assert [(r.key, r.value) for r in RecordBatch(builder.build()).records()] == [(b"k", b"value")]


def test_a_wrong_type_is_refused_and_nothing_is_appended() -> None:
    builder = BatchBuilder()
    with pytest.raises(TypeError, match="value must be bytes-like or None, not str"):
        builder.append_record(timestamp=0, key=None, value="text")  # type: ignore[arg-type]
    with pytest.raises(RecordTypeError, match="key must be bytes-like or None, not int"):
        builder.append_record(timestamp=0, key=7, value=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="header's key must be str, not bytes"):
        builder.append_record(
            timestamp=0,
            key=None,
            value=None,
            headers=[(b"h", b"")],  # type: ignore[list-item]
        )
    assert (builder.record_count, builder.size_bytes) == (0, 61)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UnsupportedCompressionTypeError, match=r"brotli.*zstd"):
        BatchBuilder(compression="brotli")
    with pytest.raises(ValueError, match="LogAppendTime"):
        BatchBuilder(timestamp_type="never")


blobs = st.none() | st.binary(max_size=300)
rows = st.lists(
    st.tuples(
        st.integers(-1, 2**62),
        blobs,
        blobs,
        st.lists(st.tuples(st.text(max_size=10), blobs), max_size=3),
    ),
    min_size=1,
    max_size=20,
)


@given(rows=rows, compression=st.sampled_from(sorted(CODECS)), base_offset=st.integers(0, 2**60))
@settings(max_examples=150, deadline=None)
def test_any_records_come_back(rows: list[Row], compression: str, base_offset: int) -> None:
    batch = RecordBatch(own_batch(rows, compression=compression, base_offset=base_offset))
    expected = [
        Record(base_offset + index, timestamp, key, value, tuple(headers))
        for index, (timestamp, key, value, headers) in enumerate(rows)
    ]
    assert list(batch.records()) == expected
    summary = inspect_records(batch)
    latest = max(record.timestamp for record in expected)
    assert (summary.count, summary.max_timestamp) == (len(rows), latest)
    assert summary.min_timestamp == min(record.timestamp for record in expected)
    assert summary.offset_of_max_timestamp == next(
        record.offset for record in expected if record.timestamp == latest
    )
    keyless = [index for index, record in enumerate(expected) if record.key is None]
    assert summary.first_null_key_index == (keyless[0] if keyless else -1)


@given(payload=st.binary(max_size=200), codec_id=st.integers(0, 7), count=st.integers(-2, 9))
@settings(max_examples=300, deadline=None)
def test_random_payloads_raise_only_record_errors(
    payload: bytes, codec_id: int, count: int
) -> None:
    raw = BatchBuilder().build(last_offset_delta=0) + payload
    raw[8:12] = (len(raw) - 12).to_bytes(4, "big")
    raw[22] = codec_id
    raw[57:61] = count.to_bytes(4, "big", signed=True)
    for walk in (inspect_records, lambda batch: list(batch.records())):
        try:
            walk(RecordBatch(raw))
        except RecordError:
            continue
