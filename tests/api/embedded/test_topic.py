"""Which partition a record goes to, and appends that name one or none."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from kafka.partitioner.default import murmur2

import headrace
from headrace.raft.errors import UnknownTopicOrPartitionError


def partition_of(topic: headrace.Topic, value: bytes) -> int:
    return next(view.partition for view in topic.scan() if value in view.to_pylist())


def test_a_key_goes_where_kafkas_clients_send_it(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks", partitions=7)
    for number in range(50):
        key = b"user-%d" % number
        clicks.append(b"v%d" % number, key=key)
        assert partition_of(clicks, b"v%d" % number) == (murmur2(key) & 0x7FFFFFFF) % 7


def test_many_keys_are_spread_as_one_by_one(store: headrace.LogStore) -> None:
    one, many = store.topic("one", partitions=5), store.topic("many", partitions=5)
    keys = [b"k%d" % (number % 17) for number in range(200)]
    values = [b"%d" % number for number in range(200)]
    for key, value in zip(keys, values, strict=True):
        one.append(value, key=key)
    receipts = many.append_by_key(values, keys, timestamps=range(200))
    assert sum(receipt.record_count for receipt in receipts) == 200
    for left, right in zip(one.partitions, many.partitions, strict=True):
        assert left.read().to_pylist() == right.read().to_pylist()
        assert right.read().timestamps.tolist() == [int(v) for v in right.read().to_pylist()]


def test_without_a_key_one_partition_is_filled_then_the_next(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks", partitions=3)
    for _ in range(3 * 17):
        clicks.append(b"x" * 1024)
    assert [each.log_end_offset for each in clicks.partitions] == [17, 17, 17] or sorted(
        each.log_end_offset for each in clicks.partitions
    ) == [16, 16, 19]


@pytest.mark.parametrize("source", ["list", "array", "arrow", "arrow-views"])
def test_bulk_records_with_keys_go_where_single_ones_do(
    store: headrace.LogStore, source: str
) -> None:
    one, many = store.topic("one", partitions=5), store.topic("many", partitions=5)
    keys = [b"k%03d" % (number % 17) for number in range(200)]
    values = [b"%03d" % number for number in range(200)]
    for key, value in zip(keys, values, strict=True):
        one.append(value, key=key)
    if source == "list":
        receipt = many.append_many(values, keys)
    elif source == "array":
        receipt = many.append_array(np.array(values), keys=np.array(keys))
    else:
        binary = pa.binary() if source == "arrow" else pa.binary_view()
        table = pa.table({"payload": pa.array(values, binary), "id": pa.array(keys, binary)})
        chunks = pa.concat_tables([table.slice(0, 60), table.slice(60)])
        receipt = many.append_arrow(chunks, value="payload", key="id")
    first, count = receipt
    assert (first, count, receipt.partition) == (0, 200, partition_of(many, values[0]))
    assert [part.partition for part in receipt.parts] == [
        each.index for each in many.partitions if each.log_end_offset
    ]
    assert sum(part.record_count for part in receipt.parts) == 200
    for left, right in zip(one.partitions, many.partitions, strict=True):
        assert left.read().to_pylist() == right.read().to_pylist()
        assert left.read().keys.to_pylist() == right.read().keys.to_pylist()
    with pytest.raises(ValueError, match="parts"):
        assert receipt.last_offset


def test_arrow_rows_keep_headers_and_timestamps_where_keys_spread_them(
    store: headrace.LogStore,
) -> None:
    clicks = store.topic("clicks", partitions=3)
    rows = range(50)
    headers = [[{"key": "n", "value": b"%d" % row}] * (row % 3) for row in rows]
    pairs = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
    table = pa.table(
        {
            "value": pa.array([b"%d" % row for row in rows], pa.binary()),
            "key": pa.array([None if row % 5 == 0 else b"%d" % (row % 7) for row in rows]),
            "time": pa.array(list(rows), pa.timestamp("ms")),
            "headers": pa.array(headers, pairs),
        }
    ).slice(3)
    receipt = clicks.append_arrow(table, key="key", timestamp="time", headers="headers")
    assert receipt.record_count == 47
    found = {int(record.value or b""): record for view in clicks.scan() for record in view}
    assert sorted(found) == list(rows)[3:]
    for row, record in found.items():
        assert record.timestamp == row
        assert record.key == (None if row % 5 == 0 else b"%d" % (row % 7))
        assert record.headers == (("n", b"%d" % row),) * (row % 3)
    without_key = {
        index for index in range(3) for record in clicks.read(partition=index) if not record.key
    }
    assert len(without_key) == 1


def test_no_rows_with_keys_append_nothing(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks", partitions=3)
    nothing = pa.table({"v": pa.array([], pa.binary()), "k": pa.array([], pa.binary())})
    assert clicks.append_arrow(nothing, value="v", key="k").record_count == 0
    assert clicks.append_many([], keys=[]).record_count == 0
    assert len(clicks) == 0


def test_a_partition_that_is_asked_for_takes_all_keys(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks", partitions=2)
    assert clicks.append_many([b"a"], keys=[b"k"], partition=1).partition == 1
    assert store.topic("single").append_many([b"a"], keys=[b"k"]).parts == ()


def test_batches_without_keys_go_round(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks", partitions=3)
    chosen = [clicks.append_many([b"a"]).partition for _ in range(6)]
    assert all(later == (earlier + 1) % 3 for earlier, later in pairwise(chosen))


def test_a_partition_that_is_not_there_is_named(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks", partitions=2)
    for call in (lambda: clicks.partition(2), lambda: clicks.append(b"a", partition=-1)):
        with pytest.raises(UnknownTopicOrPartitionError, match="0 to 1"):
            call()


def test_reading_a_topic_of_several_partitions_asks_which(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks", partitions=2)
    clicks.append(b"a", partition=1)
    with pytest.raises(ValueError, match="partition="):
        clicks.read()
    assert clicks.read(partition=1).to_pylist() == [b"a"]


def test_text_is_no_key(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks", partitions=2)
    with pytest.raises(TypeError):
        clicks.append(b"a", key="user-1")  # type: ignore[arg-type]
    assert len(clicks) == 0
