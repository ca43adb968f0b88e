"""Batches read as columns: the same facts as reading record by record, without the objects."""

import random
import struct
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


def uniform_batch(count: int, key_size: int, value_size: int, step_ms: int) -> bytearray:
    """Records of one framing, as most producers send them."""
    chance = random.Random(count)
    return encode_values(
        [chance.randbytes(value_size) for _ in range(count)],
        None if key_size < 0 else [chance.randbytes(key_size) for _ in range(count)],
        timestamp=1_700_000_000_000,
        timestamps=np.arange(count) * step_ms + 1_700_000_000_000 if step_ms else None,
        base_offset=1000,
    )


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 66, 8191, 8192, 8193, 20_000])
@pytest.mark.parametrize(("key_size", "step_ms"), [(-1, 0), (0, 0), (7, 0), (-1, 3), (70, 1)])
def test_records_of_one_framing_are_read_as_each_alone(
    count: int, key_size: int, step_ms: int
) -> None:
    for value_size in (0, 1, 63, 64, 100):
        raw = bytes(uniform_batch(count, key_size, value_size, step_ms))
        assert facts(read_columns(raw)) == record_facts(raw)
    for start_offset in (1001, 1063, 1064, 1000 + count - 1, 1000 + count):
        columns = read_columns(raw, start_offset=start_offset, max_records=70)
        assert facts(columns) == record_facts(raw, start_offset)[:70]
        assert columns.null_keys == (len(columns) if key_size < 0 else 0)


def read_either(raw: bytes) -> tuple[object, object]:
    """What the columns say and what the records say; None where the bytes are refused."""
    answers: list[object] = []
    for read in (lambda: facts(read_columns(raw)), lambda: record_facts(raw)):
        try:
            answers.append(read())
        except RecordError:
            answers.append(None)
    return answers[0], answers[1]


@pytest.mark.parametrize(("key_size", "value_size"), [(-1, 100), (3, 9), (0, 0), (-1, 64)])
def test_one_changed_byte_in_a_run_is_read_or_refused_as_by_the_record_reader(
    key_size: int, value_size: int
) -> None:
    raw = bytes(uniform_batch(90, key_size, value_size, 0))
    stride = (len(raw) - 61) // 90
    outcomes = []
    for position in range(61 + 60 * stride, 61 + 68 * stride):
        for byte in (0, 1, 2, 0x7E, 0x80, 0x81, 0xFF, raw[position] ^ 1, raw[position] + 2 & 0xFF):
            changed = bytearray(raw)
            changed[position] = byte
            by_columns, by_records = read_either(bytes(changed))
            assert by_columns == by_records, (position, byte)
            outcomes.append(by_columns is None)
    assert len(set(outcomes)) == 2


def test_overlong_numbers_are_not_taken_for_short_ones() -> None:
    """Deltas 0 and 128 written as 80 00 and 80 02: the second is no 1, though 02 alone would be."""
    records = b"".join(
        bytes((len(body) * 2,)) + body
        for body in (
            b"\x00\x00" + delta + b"\x01" + b"\x50" + b"v" * 40 + b"\x00"
            for delta in (b"\x80\x00", b"\x80\x02", b"\x80\x04")
        )
    )
    raw = raw_batch(records, 3, last_offset_delta=256)
    by_columns, by_records = read_either(raw)
    assert by_columns == by_records
    assert by_columns is not None
    assert [fact[0] for fact in by_columns] == [0, 128, 256]


def raw_batch(records: bytes, count: int, *, last_offset_delta: int) -> bytes:
    """A batch around records as they are, its CRC left wrong: columns look only when asked."""
    header = struct.pack(
        ">qiibIhiqqqhii",
        0,
        49 + len(records),
        -1,
        2,
        0,
        0,
        last_offset_delta,
        1,
        1,
        -1,
        -1,
        -1,
        count,
    )
    return header + records
