"""Which partition a record goes to, and appends that name one or none."""

from itertools import pairwise

import numpy as np
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


def test_records_with_keys_need_a_partition_to_stay_together(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks", partitions=2)
    with pytest.raises(ValueError, match="append_by_key"):
        clicks.append_many([b"a"], keys=[b"k"])
    with pytest.raises(ValueError, match="append_by_key"):
        clicks.append_array(np.zeros(1), keys=np.zeros(1))
    assert clicks.append_many([b"a"], keys=[b"k"], partition=1).partition == 1
    assert store.topic("single").append_many([b"a"], keys=[b"k"]).partition == 0


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
