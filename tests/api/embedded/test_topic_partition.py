"""One partition: every way to append, every way to read, and what is refused half-way."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace
from headrace.core.batch_encoder import encode_values
from headrace.core.errors import (
    InvalidRecordError,
    InvalidTimestampError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
)

NOW_MS = 1_700_000_000_000


@pytest.fixture
def clicks(store: headrace.LogStore) -> headrace.TopicPartition:
    return store.topic("clicks").partition(0)


def test_one_record_keeps_its_key_headers_and_timestamp(clicks: headrace.TopicPartition) -> None:
    headers = {"trace": b"1", "none": None}
    assert clicks.append(b"v", key=b"k", headers=headers, timestamp=NOW_MS) == 0
    assert clicks.append(None, headers=[("h", b"1"), ("h", b"2")], timestamp=NOW_MS) == 1
    first, second = clicks.read()
    assert (first.offset, first.timestamp, first.key, first.value) == (0, NOW_MS, b"k", b"v")
    assert first.headers == (("trace", b"1"), ("none", None))
    assert (second.key, second.value, second.headers) == (None, None, (("h", b"1"), ("h", b"2")))


@pytest.mark.parametrize(
    "values",
    [
        [b"a", b"", None, bytearray(b"d"), memoryview(b"ee")],
        (b"a", b"b"),
        iter([b"a", b"b"]),
        np.array([b"a", b"bcd", b""]),
        np.array(["a", "grün", ""]),
        np.array([b"a", None], dtype=object),
    ],
    ids=["list", "tuple", "iterator", "S", "U", "object"],
)
def test_values_may_come_in_many_forms(clicks: headrace.TopicPartition, values: object) -> None:
    if not isinstance(values, np.ndarray):
        values = list(values)  # type: ignore[call-overload]
    expected = [
        value.encode() if isinstance(value, str) else None if value is None else bytes(value)
        for value in values
    ]
    first, count = clicks.append_many(values)
    assert (first, count) == (0, len(expected))
    assert clicks.read().to_pylist() == expected


def test_a_generator_is_taken_as_a_list(clicks: headrace.TopicPartition) -> None:
    assert clicks.append_many(b"%d" % n for n in range(3)).record_count == 3
    assert clicks.append_many([]).record_count == 0
    assert clicks.log_end_offset == 3


@given(
    st.lists(
        st.tuples(st.none() | st.binary(max_size=300), st.none() | st.binary(max_size=20)),
        max_size=60,
    ),
    st.integers(90, 400),
)
@settings(max_examples=40, deadline=None)
def test_records_are_cut_to_batches_that_fit_and_come_back_whole(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[bytes | None, bytes | None]],
    max_message_bytes: int,
) -> None:
    config = {"max.message.bytes": max_message_bytes}
    values, keys = [row[0] for row in rows], [row[1] for row in rows]
    with headrace.open(tmp_path_factory.mktemp("cut")) as store:
        clicks = store.topic("clicks", config=config).partition(0)
        alone = [len(encode_values([value], [key], timestamp=NOW_MS)) for value, key in rows]
        if max(alone, default=0) > max_message_bytes:
            with pytest.raises(RecordTooLargeError):
                clicks.append_many(values, keys)
            assert clicks.log_end_offset == 0
            return
        assert tuple(clicks.append_many(values, keys)) == (0, len(rows))
        view = clicks.read()
        assert list(zip(view.to_pylist(), view.keys.to_pylist(), strict=True)) == rows
        assert [record.key for record in view] == keys


def test_of_many_records_none_is_left_where_one_is_refused(
    clicks: headrace.TopicPartition,
) -> None:
    clicks.append(b"before")
    values: list[object] = [b"x" * 1000] * 2000
    for wrong, error in ((b"y" * 2_000_000, RecordTooLargeError), ("text", TypeError)):
        with pytest.raises(error):
            clicks.append_many([*values, wrong])
        assert clicks.log_end_offset == 1
    assert clicks.append(b"after") == 1
    assert clicks.read().to_pylist() == [b"before", b"after"]


def test_what_is_left_of_a_refused_append_over_segments_is_gone_after_reopening(
    folder: Path,
) -> None:
    config = {"segment.bytes": 1 << 20, "max.message.bytes": 1 << 19}
    with headrace.open(folder) as store:
        clicks = store.topic("clicks", config=config).partition(0)
        clicks.append(b"before")
        with pytest.raises(RecordTooLargeError):
            clicks.append_many([*[b"x" * 10_000] * 500, b"y" * (1 << 20)])
        clicks.append(b"after")
        assert store.verify() == []
    with headrace.open(folder) as store:
        assert store["clicks"].read().to_pylist() == [b"before", b"after"]


@pytest.mark.parametrize("value", ["text", 5, ["list"]])
def test_a_value_or_key_that_is_not_bytes_is_refused(
    clicks: headrace.TopicPartition, value: object
) -> None:
    with pytest.raises(TypeError, match="value 0 must be bytes-like"):
        clicks.append(value)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="key 0 must be bytes-like"):
        clicks.append(b"v", key=value)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        clicks.append(b"v", key=value, headers={"h": b"1"})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="value 1 must be bytes-like"):
        clicks.append_many([b"v", value])
    assert clicks.log_end_offset == 0


def test_one_value_is_no_list_of_values(clicks: headrace.TopicPartition) -> None:
    with pytest.raises(TypeError, match="list of bytes-likes"):
        clicks.append_many(b"abc")
    with pytest.raises(TypeError, match="append_array"):
        clicks.append_many(np.zeros(3))
    with pytest.raises(ValueError, match="1 keys for 2 values"):
        clicks.append_many([b"a", b"b"], keys=[b"k"])


def test_rows_and_items_of_arrays_are_records(clicks: headrace.TopicPartition) -> None:
    rows = np.arange(5000 * 16, dtype=np.uint64).view(np.uint8).reshape(-1, 128)
    assert tuple(clicks.append_array(rows)) == (0, 5000)
    np.testing.assert_array_equal(
        clicks.read(max_records=5000).to_numpy("V128").view(np.uint8).reshape(-1, 128), rows
    )
    point = np.dtype([("x", "<f8"), ("n", "<i4")])
    points = np.zeros(3, dtype=point)
    points["x"] = [1, 2, 3]
    clicks.append_array(points, keys=np.array([7, 8, 9], dtype=">i4"))
    view = clicks.read(5000)
    np.testing.assert_array_equal(view.to_numpy(point), points)
    assert view.keys.to_numpy(">i4").tolist() == [7, 8, 9]
    days = np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[D]")
    clicks.append_array(days)
    np.testing.assert_array_equal(clicks.read(5003).to_numpy("datetime64[D]"), days)


def test_sliced_and_transposed_arrays_are_taken_by_their_content(
    clicks: headrace.TopicPartition,
) -> None:
    base = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for array in (base[::2], base[:, 2:5], base.T):
        first, _ = clicks.append_array(array)
        expected = [bytes(row) for row in array]
        assert clicks.read(first).to_pylist() == expected


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((2, 2), dtype=np.int32), ValueError),
        (np.zeros((2, 2, 2), dtype=np.uint8), ValueError),
        (np.array([b"a", None], dtype=object), TypeError),
        (np.uint8(5), ValueError),
    ],
)
def test_arrays_of_other_shapes_are_refused(
    clicks: headrace.TopicPartition, array: np.ndarray, error: type[Exception]
) -> None:
    with pytest.raises(error):
        clicks.append_array(array)
    assert clicks.log_end_offset == 0


def test_timestamps_are_kept_and_may_be_dates(clicks: headrace.TopicPartition) -> None:
    stamps = np.array(["2023-11-14T22:13:20", "2023-11-14T22:13:21"], dtype="datetime64[s]")
    clicks.append_many([b"a", b"b"], timestamps=stamps)
    clicks.append_array(np.zeros(2), timestamps=[NOW_MS + 5000, NOW_MS + 6000])
    assert (clicks.read().timestamps - NOW_MS).tolist() == [0, 1000, 5000, 6000]
    assert clicks.offset_for(NOW_MS + 1) == 1
    assert clicks.offset_for(NOW_MS + 6001) is None
    with pytest.raises(ValueError, match="timestamps"):
        clicks.append_many([b"a"], timestamps=[1, 2])
    with pytest.raises(TypeError, match="datetime64"):
        clicks.append_many([b"a"], timestamps=[1.5])


def test_a_timestamp_too_far_ahead_is_refused(clicks: headrace.TopicPartition) -> None:
    with pytest.raises(InvalidTimestampError):
        clicks.append(b"a", timestamp=1 << 60)
    with pytest.raises(InvalidTimestampError):
        clicks.append_many([b"a", b"b"], timestamps=[0, 1 << 60])
    assert clicks.log_end_offset == 0


def test_a_compacted_topic_needs_keys(store: headrace.LogStore) -> None:
    latest = store.topic("latest", config={"cleanup.policy": "compact"}).partition(0)
    for refused in (
        lambda: latest.append(b"a"),
        lambda: latest.append_many([b"a", b"b"], [b"k", None]),
        lambda: latest.append_array(np.zeros(2)),
    ):
        with pytest.raises(InvalidRecordError, match="key"):
            refused()
    assert latest.append(b"a", key=b"k") == 0


@pytest.mark.parametrize("codec", ["lz4", "zstd", "snappy", "gzip", "uncompressed"])
def test_a_topic_keeps_its_batches_in_its_own_codec(store: headrace.LogStore, codec: str) -> None:
    packed = store.topic("packed", config={"compression.type": codec}).partition(0)
    values = [b"value-%d" % (n % 10) for n in range(1000)]
    packed.append_many(values)
    packed.append(b"one", headers={"h": b"1"})
    assert packed.read().to_pylist() == [*values, b"one"]
    view = packed.read(990, max_records=3)
    assert (view.to_pylist(), view.next_offset) == (values[990:993], 993)


def test_reading_goes_on_at_next_offset(clicks: headrace.TopicPartition) -> None:
    for number in range(10):
        clicks.append_many([b"%d-%d" % (number, each) for each in range(3)])
    offset, seen = 0, []
    while True:
        view = clicks.read(offset, max_bytes=1, max_records=2)
        if not len(view):
            break
        seen += view.to_pylist()
        offset = view.next_offset
    assert seen == [b"%d-%d" % (number, each) for number in range(10) for each in range(3)]
    assert offset == clicks.log_end_offset


def test_a_scan_ends_where_it_is_told(clicks: headrace.TopicPartition) -> None:
    clicks.append_many([b"%d" % number for number in range(10)])

    def scanned(*bounds: int | None) -> list[bytes | None]:
        return [value for view in clicks.scan(*bounds) for value in view.to_pylist()]

    assert scanned(2, 5) == [b"2", b"3", b"4"]
    assert scanned(None, 1) == [b"0"]
    assert scanned(8) == [b"8", b"9"]
    assert scanned(10) == []


def test_an_offset_outside_the_log_is_refused_with_its_bounds(
    clicks: headrace.TopicPartition,
) -> None:
    clicks.append_many([b"a", b"b"])
    assert len(clicks.read(2)) == 0
    with pytest.raises(OffsetOutOfRangeError) as caught:
        clicks.read(3)
    assert (caught.value.log_start_offset, caught.value.log_end_offset) == (0, 2)


def test_truncating_gives_up_old_records_and_live_views_keep_them(folder: Path) -> None:
    with headrace.open(folder) as store:
        topic = store.topic("clicks", config={"segment.bytes": 1 << 20})
        clicks = topic.partition(0)
        for _ in range(4):
            clicks.append_many([b"x" * 1000] * 600)
        view = clicks.read(0, max_records=10)
        assert clicks.truncate_before(2000) == 2000
        assert (clicks.log_start_offset, clicks.log_end_offset) == (2000, 2400)
        with pytest.raises(OffsetOutOfRangeError):
            clicks.read(0)
        assert view.to_pylist() == [b"x" * 1000] * 10
        with pytest.raises(OffsetOutOfRangeError):
            clicks.truncate_before(2401)
    with headrace.open(folder) as store:
        assert store["clicks"].partition(0).log_start_offset == 2000


def test_a_receipt_says_where_the_records_are(clicks: headrace.TopicPartition) -> None:
    clicks.append(b"a")
    receipt = clicks.append_many([b"b", b"c"], durability="fsync")
    assert (receipt.topic, receipt.partition) == ("clicks", 0)
    assert (receipt.first_offset, receipt.last_offset, receipt.record_count) == (1, 2, 2)
    assert receipt.is_on_disk
