"""Columns encoded as one batch: the same bytes as the builder makes a record at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core import BatchBuilder, RecordBatch, inspect_records
from headrace.core.batch_encoder import (
    BinaryColumn,
    encode_array,
    encode_columns,
    encode_values,
)
from headrace.core.errors import (
    RecordBatchTooLargeError,
    RecordTypeError,
    UnsupportedCompressionTypeError,
)

NOW = 1_700_000_000_000
blobs = st.binary(max_size=300)


def built(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None = None,
    timestamps: Sequence[int] | None = None,
    **settings: Any,
) -> bytearray:
    builder = BatchBuilder(**settings)
    for index, value in enumerate(values):
        builder.append_record(
            timestamp=NOW if timestamps is None else timestamps[index],
            key=None if keys is None else keys[index],
            value=value,
        )
    return builder.build()


def column(
    elements: Sequence[bytes | None], width: type = np.int32, junk: bytes = b""
) -> BinaryColumn:
    """As Arrow would hold it: the data may start behind something else, nulls are a bitmap."""
    lengths = [len(element or b"") for element in elements]
    offsets: Any = np.cumsum([len(junk), *lengths]).astype(width)
    data = junk + b"".join(element or b"" for element in elements)
    bits = np.packbits([element is not None for element in elements], bitorder="little")
    return BinaryColumn(data, offsets, bits.tobytes())


@given(rows=st.lists(st.tuples(st.none() | blobs, st.none() | blobs), min_size=1, max_size=100))
@settings(max_examples=200, deadline=None)
def test_a_list_becomes_what_the_builder_makes(
    rows: list[tuple[bytes | None, bytes | None]],
) -> None:
    keys, values = [key for key, _ in rows], [value for _, value in rows]
    assert encode_values(values, keys, timestamp=NOW) == built(values, keys)
    assert encode_values(tuple(values), timestamp=NOW) == built(values)


@given(
    rows=st.lists(st.tuples(st.none() | blobs, st.none() | blobs), min_size=1, max_size=100),
    width=st.sampled_from([np.int32, np.int64]),
    junk=st.binary(max_size=9),
)
@settings(max_examples=200, deadline=None)
def test_columns_become_what_the_builder_makes(
    rows: list[tuple[bytes | None, bytes | None]], width: type, junk: bytes
) -> None:
    keys, values = [key for key, _ in rows], [value for _, value in rows]
    encoded = encode_columns(
        column(values, width, junk), column(keys, width), timestamp=NOW, base_offset=7
    )
    assert encoded == built(values, keys, base_offset=7)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 8191, 8193])
@pytest.mark.parametrize("width", [0, 1, 3, 4, 7, 8, 15, 16, 17, 63, 64, 100, 257])
def test_rows_of_an_array_become_what_the_builder_makes(count: int, width: int) -> None:
    if count > 100 and width > 20:
        count = 150
    array = np.random.default_rng(count).integers(0, 256, (count, width), np.uint8)
    assert encode_array(array, timestamp=NOW) == built([row.tobytes() for row in array])


@pytest.mark.parametrize("width", [np.int32, np.int64])
def test_a_plain_column_without_nulls_or_keys(width: type) -> None:
    values = [bytes([index]) * (index % 70) for index in range(200)]
    offsets: Any = np.cumsum([0, *map(len, values)]).astype(width)
    plain = BinaryColumn(b"".join(values), offsets)
    assert len(plain) == 200
    assert encode_columns(plain, timestamp=NOW) == built(values)


def test_a_slice_of_a_wider_array_is_read_in_place() -> None:
    table = np.arange(200, dtype=np.uint8).reshape(10, 20)
    values, keys = table[::2, 3:11], table[::2, :2]
    expected = built([row.tobytes() for row in values], [row.tobytes() for row in keys])
    assert encode_array(values, keys, timestamp=NOW) == expected


def test_items_of_a_structured_array_are_values() -> None:
    items = np.array([(1, 2.5), (3, 4.5)], np.dtype([("a", "<i4"), ("b", "<f8")]))
    assert encode_array(items, timestamp=NOW) == built([item.tobytes() for item in items])


def test_each_record_may_have_its_own_timestamp() -> None:
    times = [NOW, NOW - 70_000, NOW + 5, NOW + 4]
    values = [b"a", b"b", b"c", b"d"]
    stamped = np.array(times, np.int64)
    encoded = encode_values(values, timestamp=0, timestamps=stamped)
    assert encoded == built(values, timestamps=times)
    array = np.frombuffer(b"abcd", np.uint8).reshape(4, 1)
    assert encode_array(array, timestamp=0, timestamps=stamped) == encoded
    assert inspect_records(RecordBatch(encoded)).max_timestamp == NOW + 5


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_comes_back(compression: str) -> None:
    values = [b"%d green bottles" % index for index in range(1000)]
    batch = RecordBatch(encode_values(values, timestamp=NOW, compression=compression))
    assert batch.crc_is_valid()
    assert [record.value for record in batch.records()] == values


def test_other_bytes_like_values_are_copied_in() -> None:
    values: list[Any] = [
        b"bytes",
        bytearray(b"array"),
        memoryview(b"view"),
        np.arange(3, dtype=np.uint8).data,
    ]
    assert encode_values(values, timestamp=NOW) == built([bytes(value) for value in values])


def test_one_more_timestamp_than_records_is_refused() -> None:
    with pytest.raises(ValueError, match="2 int64"):
        encode_values([b"a", b"b"], timestamp=0, timestamps=np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="int64"):
        encode_values([b"a", b"b"], timestamp=0, timestamps=np.zeros(2, np.float64))


@pytest.mark.parametrize(
    ("offsets", "data"),
    [([0, 5], b"abc"), ([-1, 2], b"abc"), ([0, 3, 2], b"abc"), ([0, 9, 3], b"abc")],
)
@pytest.mark.parametrize("width", [np.int32, np.int64])
def test_offsets_that_leave_the_data_are_refused(
    offsets: list[int], data: bytes, width: type
) -> None:
    bad = BinaryColumn(data, np.array(offsets, width))
    with pytest.raises(ValueError, match="offsets must not"):
        encode_columns(bad, timestamp=NOW)
    with pytest.raises(ValueError, match="offsets must not"):
        encode_columns(BinaryColumn(b"", np.zeros(len(offsets), width)), bad, timestamp=NOW)


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.float64, np.uint8, ">i4"])
def test_offsets_of_another_type_are_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="int32 or int64"):
        BinaryColumn(b"abc", np.array([0, 3], kind))


def test_empty_offsets_and_short_bitmaps_are_refused() -> None:
    with pytest.raises(ValueError, match="one more"):
        BinaryColumn(b"abc", np.array([], np.int32))
    with pytest.raises(ValueError, match="bitmap"):
        BinaryColumn(b"", np.zeros(10, np.int32), b"\xff")
    with pytest.raises(ValueError, match="bitmap"):
        BinaryColumn(b"", np.zeros(9, np.int32), b"\xff", validity_start=1)


def test_no_records_and_unequal_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        encode_values([], timestamp=NOW)
    with pytest.raises(ValueError, match="1 keys for 2 values"):
        encode_values([b"a", b"b"], [b"k"], timestamp=NOW)
    with pytest.raises(ValueError, match="1 keys for 2 values"):
        encode_array(np.zeros((2, 4), np.uint8), np.zeros((1, 4), np.uint8), timestamp=NOW)


def test_an_element_of_another_type_is_named() -> None:
    with pytest.raises(TypeError, match="value 1 must be bytes-like or None, not str"):
        encode_values([b"a", "b"], timestamp=NOW)  # type: ignore[list-item]
    with pytest.raises(RecordTypeError, match="key 0 must be bytes-like") as raised:
        encode_values([b"a"], [7], timestamp=NOW)  # type: ignore[list-item]
    assert (raised.value.what, raised.value.index, raised.value.type_name) == ("key", 0, "int")


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="fixed-width"):
        encode_array(np.zeros((2, 3, 4), np.uint8), timestamp=NOW)
    with pytest.raises(ValueError, match="fixed-width"):
        encode_array(np.zeros((2, 8), np.uint8)[:, ::2], timestamp=NOW)
    with pytest.raises(ValueError, match="fixed-width"):
        encode_array(np.zeros((2, 3), np.int32), timestamp=NOW)


def test_a_batch_past_two_gib_is_refused_before_it_is_made() -> None:
    wide = np.broadcast_to(np.zeros((1, 1 << 20), np.uint8), (2049, 1 << 20))
    with pytest.raises(RecordBatchTooLargeError, match="2 GiB"):
        encode_array(wide, timestamp=NOW)
    endless = np.broadcast_to(np.zeros((1, 0), np.uint8), (1 << 60, 0))
    with pytest.raises(RecordBatchTooLargeError, match="2 GiB"):
        encode_array(endless, timestamp=NOW)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(UnsupportedCompressionTypeError, match="brotli"):
        encode_values([b"a"], timestamp=NOW, compression="brotli")
