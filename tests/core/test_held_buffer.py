"""What holds a buffer for as long as it lives leaves a memoryview free to go, in any order."""

from array import array

import numpy as np
import pytest

from headrace.core import BatchBuilder
from headrace.core.batch_columns import read_columns
from headrace.core.batch_encoder import BinaryColumn
from headrace.core.record_batch import RecordBatch
from headrace.core.wire_buffer import ReadBuffer


def one_batch() -> bytes:
    builder = BatchBuilder()
    builder.append_record(timestamp=7, key=b"k", value=b"value")
    return bytes(builder.build())


def test_a_batch_holds_what_is_under_the_view() -> None:
    under = bytearray(b"before" + one_batch())
    view = memoryview(under)[6:]
    batch = RecordBatch(view)
    view.release()  # BufferError where somebody had a buffer of the view itself
    with pytest.raises(BufferError):
        under.clear()
    assert [bytes(each.value or b"") for each in batch.records()] == [b"value"]
    assert batch.view() == under[6:]
    del batch
    under.clear()


def test_a_batch_in_a_view_that_may_not_be_written_gives_none_that_may() -> None:
    under = bytearray(one_batch())
    assert RecordBatch(memoryview(under).toreadonly()).view().readonly
    assert not RecordBatch(memoryview(under)).view().readonly


def test_a_batch_in_rows_of_numbers() -> None:
    batch = one_batch()
    rows = np.frombuffer(batch + bytes(-len(batch) % 8), np.int64).reshape(2, -1)
    assert RecordBatch(memoryview(rows).cast("B")).view() == batch


def test_columns_hold_what_is_under_the_view() -> None:
    under = bytearray(one_batch())
    view = memoryview(under)
    columns = read_columns(view)
    view.release()
    with pytest.raises(BufferError):
        under.clear()
    assert columns.value_starts[0] == under.index(b"value")
    del columns
    under.clear()


def test_a_column_to_be_encoded_holds_what_is_under_its_views() -> None:
    under = [bytearray(b"abcde"), bytearray(array("i", [0, 2, 5]).tobytes()), bytearray(b"\3")]
    data, offsets, validity = map(memoryview, under)
    column = BinaryColumn(data, offsets.cast("i"), validity)
    del offsets
    data.release()
    validity.release()
    for each in under:
        with pytest.raises(BufferError):
            each.clear()
    assert len(column) == 2
    del column
    for each in under:
        each.clear()


def test_a_read_buffer_holds_what_is_under_the_view() -> None:
    under = bytearray(b"\0\0\0\7\0\0\0\0\0\0\0\t")
    view = memoryview(under)[4:]
    buffer = ReadBuffer(view)
    view.release()
    with pytest.raises(BufferError):
        under.clear()
    assert buffer.remaining_bytes == 8
    del buffer
    under.clear()


def test_a_released_view_is_refused() -> None:
    view = memoryview(one_batch())
    view.release()
    for make in (RecordBatch, ReadBuffer, read_columns):
        with pytest.raises(ValueError, match="released"):
            make(view)
