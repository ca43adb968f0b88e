"""Views: columns over the mapping, without a copy where batches are uncompressed."""

import gc

import numpy as np
import pytest

import headrace


@pytest.fixture
def clicks(store: headrace.LogStore) -> headrace.TopicPartition:
    return store.topic("clicks").partition(0)


def test_columns_point_into_the_segment(clicks: headrace.TopicPartition) -> None:
    clicks.append_many([b"one", None, b"three"], keys=[b"k", b"", None])
    view = clicks.read()
    values, keys = view.values, view.keys
    assert values.lengths.tolist() == [3, -1, 5]
    assert keys.lengths.tolist() == [1, 0, -1]
    start, length = values.starts[2], values.lengths[2]
    assert bytes(values.data[start : start + length]) == b"three"
    assert (values[0], values[-1], values[1], keys[0]) == (b"one", b"three", None, b"k")
    assert (view.value(0), view.key(2)) == (b"one", None)
    assert values.data.readonly
    with pytest.raises(IndexError):
        values[3]


def test_columns_are_arrays_that_cannot_be_written(clicks: headrace.TopicPartition) -> None:
    clicks.append_many([b"a", b"b"])
    view = clicks.read(1)
    assert view.offsets.dtype == np.int64
    assert (view.offsets.tolist(), view.offsets.flags.writeable) == ([1], False)
    assert len(view.timestamps) == len(view) == 1


def test_packed_is_one_buffer_with_offsets(clicks: headrace.TopicPartition) -> None:
    clicks.append_many([b"one", None, b"three"])
    data, offsets = clicks.read().values.packed()
    assert (bytes(data), offsets.tolist()) == (b"onethree", [0, 3, 3, 8])


def test_an_empty_view_has_empty_columns(clicks: headrace.TopicPartition) -> None:
    view = clicks.read()
    assert (len(view), list(view), view.to_pylist(), view.next_offset) == (0, [], [], 0)
    assert view.offsets.tolist() == view.values.starts.tolist() == []
    assert view.to_numpy(np.int64).tolist() == []


def test_values_of_other_widths_are_named_by_offset(clicks: headrace.TopicPartition) -> None:
    clicks.append_many([b"12345678", b"1234"])
    with pytest.raises(ValueError, match="offset 1 has 4 bytes, not 8"):
        clicks.read().to_numpy(np.int64)
    with pytest.raises(ValueError, match="objects"):
        clicks.read().to_numpy(object)


def test_iteration_starts_and_ends_with_the_view(clicks: headrace.TopicPartition) -> None:
    for number in range(4):
        clicks.append_many([b"%d%d" % (number, each) for each in range(3)])
    records = list(clicks.read(2, max_records=5))
    assert [record.offset for record in records] == [2, 3, 4, 5, 6]
    assert [record.value for record in records] == [b"02", b"10", b"11", b"12", b"20"]


def test_a_column_outlives_its_view_and_its_store(tmp_path) -> None:
    with headrace.open(tmp_path / "data") as store:
        clicks = store.topic("clicks").partition(0)
        clicks.append_many([b"%05d" % number for number in range(1000)])
        view = clicks.read()
        data, starts, offsets = view.values.data, view.values.starts, view.offsets
        del view
        store.delete_topic("clicks")
    gc.collect()
    assert bytes(data[starts[999] : starts[999] + 5]) == b"00999"
    assert offsets[999] == 999


def test_a_view_says_what_it_is(clicks: headrace.TopicPartition) -> None:
    clicks.append_many([b"a", b"b"])
    view = clicks.read(1)
    assert (view.topic, view.partition, view.start_offset) == ("clicks", 0, 1)
    assert repr(view) == "<RecordBatchView clicks-0: 1 records from 1>"
