"""Batches read as columns: the same facts as reading record by record, without the objects."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core import BatchBuilder, iter_batches
from headrace.core.batch_columns import BatchColumns, read_columns
from headrace.core.batch_encoder import encode_array, encode_values
from headrace.core.errors import CorruptRecordError, RecordError
from tests.support.foreign_batches import ROWS, Row, foreign_batch

blobs = st.none() | st.binary(max_size=100)
batches = st.lists(
    st.tuples(
        st.sampled_from(["none", "none", "lz4", "snappy"]),
        st.lists(st.tuples(st.integers(0, 2**50), blobs, blobs), min_size=1, max_size=20),
    ),
    max_size=6,
)


def facts(columns: BatchColumns) -> list[tuple[int, int, bytes | None, bytes | None]]:
    return list(
        zip(
            columns.offsets,
            columns.timestamps,
            columns.keys_to_list(),
            columns.values_to_list(),
            strict=True,
        )
    )


def record_facts(raw: bytes, start_offset: int = 0) -> list[tuple[int, int, object, object]]:
    return [
        (record.offset, record.timestamp, record.key, record.value)
        for batch in iter_batches(raw)
        for record in batch.records()
        if record.offset >= start_offset and not batch.is_control
    ]


def batch_of(rows: list[Row], **settings: object) -> bytes:
    builder = BatchBuilder(**settings)  # type: ignore[arg-type]
    for timestamp, key, value, headers in rows:
        builder.append_record(timestamp=timestamp, key=key, value=value, headers=headers)
    return bytes(builder.build())


@given(drawn=batches, start_offset=st.integers(0, 130), limit=st.none() | st.integers(0, 130))
@settings(max_examples=200, deadline=None)
def test_columns_say_what_the_records_say(
    drawn: list[tuple[str, list[tuple[int, bytes | None, bytes | None]]]],
    start_offset: int,
    limit: int | None,
) -> None:
    raw, next_offset = b"", 0
    for compression, rows in drawn:
        whole: list[Row] = [(timestamp, key, value, []) for timestamp, key, value in rows]
        raw += batch_of(whole, compression=compression, base_offset=next_offset)
        next_offset += len(rows)
    columns = read_columns(raw, start_offset=start_offset, max_records=limit, check_crc=True)
    assert facts(columns) == record_facts(raw, start_offset)[:limit]


def test_headers_are_skipped_and_log_append_time_is_kept() -> None:
    raw = foreign_batch() + batch_of(ROWS, base_offset=5, timestamp_type="LogAppendTime")
    columns = read_columns(raw)
    assert facts(columns) == record_facts(raw)
    assert set(columns.timestamps[5:]) == {1_700_000_000_500}


def test_uncompressed_batches_are_read_in_place() -> None:
    raw = bytearray(foreign_batch())
    columns = read_columns(raw)
    assert columns.data is raw
    raw[columns.value_starts[0]] = ord("J")
    assert columns.value(0) == b"Jello"
    with pytest.raises(BufferError):
        raw.clear()


def test_the_columns_are_read_only_int64_arrays_for_numpy() -> None:
    columns = read_columns(foreign_batch())
    lengths = np.asarray(columns.value_lengths)
    assert lengths.dtype == np.int64
    assert lengths.tolist() == [5, 5, 0, -1, 768]
    assert np.asarray(columns.key_lengths).tolist() == [6, -1, 0, 6, 10]
    assert not lengths.flags.writeable
    del columns
    assert lengths.sum() == 777


def test_one_key_or_value_is_read_by_its_index() -> None:
    columns = read_columns(foreign_batch(compression="zstd"))
    assert (len(columns), columns.record_count) == (5, 5)
    assert [columns.value(index) for index in range(5)] == [row[2] for row in ROWS]
    assert [columns.key(index) for index in range(5)] == [row[1] for row in ROWS]
    for outside in (-1, 5):
        with pytest.raises(IndexError):
            columns.value(outside)


def test_transaction_markers_are_left_out() -> None:
    marker = BatchBuilder(base_offset=5, is_control=True, is_transactional=True, producer_id=1)
    marker.append_record(timestamp=1, key=b"\0\0\0\1", value=b"\0\0\0\0\0\0")
    raw = foreign_batch() + bytes(marker.build()) + batch_of(ROWS[:1], base_offset=6)
    assert list(read_columns(raw).offsets) == [0, 1, 2, 3, 4, 6]


def test_packed_values_are_an_arrow_column() -> None:
    packed, offsets = read_columns(foreign_batch()).packed_values()
    assert list(offsets) == [0, 5, 10, 10, 10, 778]
    assert packed == b"".join(row[2] or b"" for row in ROWS)
    keys, key_offsets = read_columns(foreign_batch()).packed_keys()
    assert [bytes(keys[a:b]) for a, b in pairwise(key_offsets)] == [row[1] or b"" for row in ROWS]


@pytest.mark.parametrize("compression", ["none", "lz4"])
def test_values_of_one_width_become_an_array(compression: str) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (500, 24), np.uint8)
    raw = encode_array(rows, rows[:, :4], timestamp=1, compression=compression)
    columns = read_columns(raw)
    values, keys = np.zeros_like(rows), np.zeros((500, 4), np.uint8)
    columns.copy_values_into(values)
    columns.copy_keys_into(keys)
    assert (values == rows).all()
    assert (keys == rows[:, :4]).all()
    items = np.zeros(500, np.dtype([("a", "<i8"), ("b", "<f8", 2)]))
    columns.copy_values_into(items)
    assert items.tobytes() == rows.tobytes()


def test_a_value_of_another_width_is_named_by_its_offset() -> None:
    columns = read_columns(encode_values([b"abcd", b"abc"], timestamp=1, base_offset=40))
    with pytest.raises(ValueError, match="value at offset 41 has 3 bytes, not 4"):
        columns.copy_values_into(np.zeros((2, 4), np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        columns.copy_values_into(np.zeros((3, 4), np.uint8))
    with pytest.raises((BufferError, ValueError)):
        columns.copy_values_into(bytes(2))


def test_a_wrong_crc_is_seen_only_when_asked() -> None:
    raw = bytearray(foreign_batch())
    raw[-1] ^= 1
    raw[-3] ^= 1
    assert len(read_columns(raw)) == 5
    with pytest.raises(CorruptRecordError, match="CRC"):
        read_columns(raw, check_crc=True)


def test_what_unfolds_past_the_bound_is_corrupt() -> None:
    raw = encode_values([bytes(1000)] * 100, timestamp=1, compression="zstd") * 2
    assert len(read_columns(raw)) == 200
    with pytest.raises(CorruptRecordError, match="more than"):
        read_columns(raw, max_bytes=150_000)


def test_a_record_count_the_bytes_cannot_hold_takes_no_memory() -> None:
    raw = bytearray(foreign_batch())
    for count in (2**31 - 1, 2**32 - 1):
        raw[57:61] = count.to_bytes(4, "big")
        with pytest.raises(CorruptRecordError, match="cannot hold"):
            read_columns(raw)


def test_columns_come_only_from_reading() -> None:
    with pytest.raises(TypeError, match="read_columns"):
        BatchColumns()


def test_hostile_bytes_raise_only_record_errors() -> None:
    noise = random.Random(9)
    raw = foreign_batch()
    for _ in range(3000):
        hostile = bytearray(raw)
        for _ in range(noise.randint(1, 4)):
            hostile[noise.randrange(16, len(raw))] = noise.choice([0, 1, 2, 127, 128, 255])
        try:
            columns = read_columns(hostile)
            columns.values_to_list()
            columns.packed_keys()
        except RecordError:
            continue


def test_no_batches_are_no_records() -> None:
    assert facts(read_columns(b"")) == []


def test_next_offset_stands_behind_what_was_read() -> None:
    raw = bytes(encode_values([b"a", b"b", b"c"], timestamp=1, base_offset=10)) + bytes(
        encode_values([b"d", b"e"], timestamp=1, base_offset=13)
    )
    assert read_columns(raw).next_offset == 15
    assert read_columns(raw, start_offset=11, max_records=1).next_offset == 12
    assert read_columns(raw, start_offset=11, max_records=3).next_offset == 14
    assert read_columns(raw, start_offset=12, max_records=0).next_offset == 12
    assert read_columns(b"", start_offset=7).next_offset == 7


def test_next_offset_passes_a_marker_without_records() -> None:
    builder = BatchBuilder(is_control=True, is_transactional=True, producer_id=1, base_offset=5)
    builder.append_record(timestamp=1, key=b"\0\0\0\1", value=b"\0\0\0\0\0\0")
    columns = read_columns(bytes(builder.build()), start_offset=5)
    assert (len(columns), columns.next_offset) == (0, 6)


def test_no_batch_behind_the_limit_is_looked_at() -> None:
    raw = bytes(encode_values([b"a", b"b"], timestamp=1)) + b"this is no batch"
    assert read_columns(raw, max_records=2).values_to_list() == [b"a", b"b"]
    with pytest.raises(CorruptRecordError):
        read_columns(raw, max_records=3)
