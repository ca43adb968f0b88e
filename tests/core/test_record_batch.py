"""The view of a record batch and the walk over its records, on bytes of a foreign encoder."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.batch_builder import BatchBuilder
from headrace.core.errors import CorruptRecordError, InvalidRecordError, RecordError
from headrace.core.record import Record
from headrace.core.record_batch import RecordBatch, inspect_records, iter_batches
from tests.support.foreign_batches import CODECS, ROWS, foreign_batch


@pytest.mark.parametrize("compression", CODECS)
def test_a_foreign_batch_gives_back_its_records(compression: str) -> None:
    batch = RecordBatch(foreign_batch(compression=compression))
    assert batch.compression_id == CODECS[compression]
    assert list(batch.records()) == [
        Record(index, timestamp, key, value, tuple(headers))
        for index, (timestamp, key, value, headers) in enumerate(ROWS)
    ]


def test_the_header_is_read_field_by_field() -> None:
    raw = foreign_batch(producer_id=4711, producer_epoch=3, base_sequence=9, is_transactional=True)
    batch = RecordBatch(b"junk" + raw, 4)
    assert (batch.base_offset, batch.last_offset, batch.next_offset) == (0, 4, 5)
    assert (batch.size_bytes, batch.magic, batch.last_offset_delta) == (len(raw), 2, 4)
    assert (batch.base_timestamp, batch.max_timestamp) == (ROWS[0][0], 1_700_000_000_500)
    assert (batch.producer_id, batch.producer_epoch) == (4711, 3)
    assert (batch.base_sequence, batch.last_sequence, batch.record_count) == (9, 13, 5)
    assert (batch.is_transactional, batch.is_control, batch.has_log_append_time) == (1, 0, 0)
    assert batch.delete_horizon_ms is None
    assert batch.crc == int.from_bytes(raw[17:21], "big")
    assert batch.view() == raw
    assert batch.payload() == raw[61:]


def test_sequences_wrap_to_zero_behind_the_largest() -> None:
    raw = foreign_batch(producer_id=1, producer_epoch=0, base_sequence=2**31 - 2)
    assert RecordBatch(raw).last_sequence == 2


def test_any_contiguous_buffer_is_read_in_place() -> None:
    raw = foreign_batch()
    array = np.frombuffer(raw, np.uint8).copy()
    view = RecordBatch(array.data).view()
    array[61] ^= 1
    assert view[61] == array[61] != raw[61]


def test_the_crc_covers_everything_behind_it_and_nothing_before() -> None:
    raw = foreign_batch()
    assert RecordBatch(raw).crc_is_valid()
    for position in (0, 7, 12, 15):
        assert RecordBatch(flip(raw, position)).crc_is_valid()
    for position in (17, 20, 21, 30, 60, 61, len(raw) - 1):
        assert not RecordBatch(flip(raw, position)).crc_is_valid()


def test_a_batch_keeps_its_buffer_alive() -> None:
    batch = RecordBatch(bytearray(foreign_batch()))
    view = batch.view()
    del batch
    assert RecordBatch(view).crc_is_valid()


def test_an_exporter_cannot_shrink_under_a_batch() -> None:
    raw = bytearray(foreign_batch())
    batch = RecordBatch(raw)
    with pytest.raises(BufferError):
        raw.clear()
    del batch
    raw.clear()


def test_batches_back_to_back_are_told_apart() -> None:
    first, second = foreign_batch(), foreign_batch(ROWS[:1], compression="zstd")
    assert [batch.view() for batch in iter_batches(first + second)] == [first, second]
    assert list(iter_batches(b"")) == []


@pytest.mark.parametrize("cut", [1, 60, 61, 100])
def test_a_cut_off_batch_is_corrupt_and_says_where(cut: int) -> None:
    first, second = foreign_batch(), foreign_batch()
    batches = iter_batches(first + second[:cut])
    assert next(batches).view() == first
    with pytest.raises(CorruptRecordError, match=f"byte {len(first)}"):
        next(batches)


@pytest.mark.parametrize(
    ("position", "bytes_there", "reason"),
    [
        (16, b"\x01", "magic 1"),
        (8, b"\x00\x00\x00\x30", "impossible batch_length"),
        (8, b"\xff\xff\xff\xff", "impossible batch_length"),
        (8, b"\x7f\xff\xff\xff", "impossible batch_length"),
        (8, b"\x00\xff\xff\xff", "only"),
    ],
)
def test_an_impossible_header_is_refused(position: int, bytes_there: bytes, reason: str) -> None:
    raw = bytearray(foreign_batch())
    raw[position : position + len(bytes_there)] = bytes_there
    with pytest.raises(CorruptRecordError, match=reason):
        RecordBatch(raw)


def test_zeros_of_a_reserved_tail_are_no_batch() -> None:
    with pytest.raises(CorruptRecordError):
        RecordBatch(bytes(4096))


def test_a_position_outside_the_buffer_is_a_callers_mistake() -> None:
    with pytest.raises(ValueError, match="outside"):
        RecordBatch(foreign_batch(), -1)


@pytest.mark.parametrize("compression", CODECS)
def test_inspection_finds_the_largest_timestamp_and_the_missing_key(compression: str) -> None:
    summary = inspect_records(RecordBatch(foreign_batch(compression=compression)))
    assert (summary.count, summary.first_null_key_index) == (5, 1)
    assert (summary.min_timestamp, summary.max_timestamp) == (1_699_999_999_990, 1_700_000_000_500)
    assert summary.offset_of_max_timestamp == 3


def test_inspection_without_a_null_key_says_minus_one() -> None:
    assert inspect_records(RecordBatch(foreign_batch(ROWS[:1]))).first_null_key_index == -1


def test_log_append_time_speaks_for_every_record() -> None:
    raw = bytearray(foreign_batch())
    raw[22] |= 0x08
    batch = RecordBatch(raw)
    assert batch.has_log_append_time
    assert {record.timestamp for record in batch.records()} == {batch.max_timestamp}
    summary = inspect_records(batch)
    assert (summary.max_timestamp, summary.min_timestamp) == (batch.max_timestamp,) * 2
    assert summary.offset_of_max_timestamp == 0


def test_a_delete_horizon_stands_in_the_base_timestamp() -> None:
    raw = bytearray(foreign_batch())
    raw[22] |= 0x40
    assert RecordBatch(raw).delete_horizon_ms == ROWS[0][0]


@pytest.mark.parametrize("count", [0, 4, 6, 2**31 - 1])
def test_a_wrong_record_count_is_invalid(count: int) -> None:
    raw = bytearray(foreign_batch())
    raw[57:61] = count.to_bytes(4, "big")
    with pytest.raises(InvalidRecordError):
        inspect_records(RecordBatch(raw))
    with pytest.raises(CorruptRecordError):
        list(RecordBatch(raw).records())


def test_a_negative_record_count_is_invalid() -> None:
    raw = bytearray(foreign_batch())
    raw[57:61] = b"\xff\xff\xff\xff"
    with pytest.raises(InvalidRecordError, match="negative"):
        inspect_records(RecordBatch(raw))
    with pytest.raises(CorruptRecordError):
        list(RecordBatch(raw).records())


def test_the_record_to_blame_is_named() -> None:
    raw = bytearray(foreign_batch([(0, None, b"a", []), (0, None, b"b", []), (0, None, b"c", [])]))
    assert raw[61 + 8 + 3] == 2, "the second record's offset_delta, as a zigzag varint"
    raw[61 + 8 + 3] = 0
    with pytest.raises(InvalidRecordError) as caught:
        inspect_records(RecordBatch(raw))
    assert caught.value.record_errors == ((1, "out of order"),)


def test_junk_that_claims_to_be_compressed_is_corrupt() -> None:
    raw = bytearray(foreign_batch())
    for codec_id in (1, 2, 3, 4):
        raw[22] = codec_id
        with pytest.raises(CorruptRecordError):
            inspect_records(RecordBatch(raw))


def test_a_batch_that_unfolds_past_the_bound_is_corrupt() -> None:
    raw = foreign_batch([(0, None, bytes(1_000_000), [])], compression="zstd")
    assert inspect_records(RecordBatch(raw)).count == 1
    with pytest.raises(CorruptRecordError, match="more than 999999 bytes"):
        inspect_records(RecordBatch(raw), max_bytes=999_999)


def test_hostile_bytes_raise_only_what_is_documented() -> None:
    noise = random.Random(7)
    raw = foreign_batch()
    for _ in range(4000):
        hostile = bytearray(raw)
        for _ in range(noise.randint(1, 4)):
            hostile[noise.randrange(16, len(raw))] = noise.choice([0, 1, 2, 127, 128, 255])
        try:
            batch = RecordBatch(hostile)
            inspect_records(batch)
            list(batch.records())
        except RecordError:
            continue


def flip(raw: bytes, position: int) -> bytes:
    changed = bytearray(raw)
    changed[position] ^= 0x10
    return bytes(changed)


_BLOBS = st.none() | st.binary(max_size=300)


@given(
    rows=st.lists(
        st.tuples(st.sampled_from([0, 1, 63, 64, 9_000, 3_000_000, -5, 1 << 40]), _BLOBS, _BLOBS),
        min_size=1,
        max_size=90,
    ),
    has_headers=st.booleans(),
    flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), max_size=2),
)
def test_inspection_agrees_with_the_records_one_by_one(
    rows: list[tuple[int, bytes | None, bytes | None]],
    has_headers: bool,
    flips: list[tuple[int, int]],
) -> None:
    """The fast walk over plain records, and the slow one over all others, are one."""
    headers = [("trace", b"1")] if has_headers else []
    builder = BatchBuilder()
    for delta, key, value in rows:
        builder.append_record(timestamp=1_000_000 + delta, key=key, value=value, headers=headers)
    raw = bytearray(builder.build())
    for position, flip in flips:
        raw[61 + position % (len(raw) - 61)] ^= flip
    batch = RecordBatch(raw)
    try:
        records = list(batch.records())
    except CorruptRecordError:
        with pytest.raises(InvalidRecordError):
            inspect_records(batch)
        return
    offsets = [record.offset for record in records]
    if offsets != sorted(set(offsets)) or not 0 <= offsets[0] <= offsets[-1] < len(rows):
        with pytest.raises(InvalidRecordError):
            inspect_records(batch)
        return
    summary = inspect_records(batch)
    timestamps = [record.timestamp for record in records]
    newest = max(timestamps)
    assert (summary.count, summary.max_timestamp) == (len(rows), newest)
    assert summary.min_timestamp == min(timestamps)
    assert summary.offset_of_max_timestamp == offsets[timestamps.index(newest)]
    null_keys = [index for index, record in enumerate(records) if record.key is None]
    assert summary.first_null_key_index == (null_keys[0] if null_keys else -1)
