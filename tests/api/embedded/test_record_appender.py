"""The short way of one record: what it stores, when it is not taken, and who hears of it."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace.core.errors import InvalidRecordError, LogClosedError, RecordTooLargeError
from headrace.core.partitioner import STICKY_BYTES, Partitioner
from headrace.core.record_appender import RecordAppender, TopicAppender
from headrace.raft.errors import UnknownTopicOrPartitionError

NOW_MS = 1_700_000_000_000
RECORDS: list[tuple[bytes | None, bytes | None]] = [
    (b"", None),
    (b"value", b"key"),
    (b"x" * 8000, b""),
    (b"y" * 8190, b"k"),
    (b"z" * 20_000, None),
    (None, b"tombstone"),
    (b"\x00" * 63, b"\xff" * 64),
]


@pytest.fixture
def long_way(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the long way was gone, by topic."""
    taken: Counter[str] = Counter()
    original = headrace.TopicPartition._append_at_length

    def counted(self: headrace.TopicPartition, *record: Any) -> int:
        taken[self.topic] += 1
        return original(self, *record)

    monkeypatch.setattr(headrace.TopicPartition, "_append_at_length", counted)
    return taken


def test_the_short_way_stores_the_same_bytes_as_the_long_one(
    store: headrace.LogStore, long_way: Counter[str]
) -> None:
    short, long = (store.topic(name).partition(0) for name in ("short", "long"))
    for partition in (short, long):
        partition.append(b"first")  # begins the leader's epoch, so it goes the long way
    before = long_way["short"]
    for value, key in RECORDS:
        offset = short.append(value, key=key)
        timestamp = int(short.read(offset).timestamps[0])
        assert long.append(value, key=key, timestamp=timestamp) == offset
        stored, expected = (bytes(each.read(offset)._records) for each in (short, long))
        assert stored == expected
    assert long_way["short"] == before + 2  # the null, and the one above 8 KiB
    assert store.verify() == []


def test_offsets_and_readers_follow_each_append(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks").partition(0)
    for number in range(200):
        assert clicks.append(b"%d" % number) == number
        if number % 7 == 0:
            assert clicks.log_end_offset == number + 1
            assert clicks.read(number).to_pylist() == [b"%d" % number]
    assert store._node.run(lambda: clicks.stored.high_watermark) == 200
    assert clicks.offset_for(0) == 0


def test_segments_are_begun_where_they_are_due(
    store: headrace.LogStore, long_way: Counter[str]
) -> None:
    config = {"segment.bytes": 1 << 20, "index.interval.bytes": 100}
    clicks = store.topic("clicks", config=config).partition(0)
    for number in range(600):
        clicks.append(b"%04d" % number * 1000)
    assert len(clicks.stored.log.segments) == 3
    assert long_way["clicks"] == 3
    values = [value for view in clicks.scan() for value in view.to_pylist()]
    assert values == [b"%04d" % number * 1000 for number in range(600)]
    assert store.verify() == []


def test_what_a_topics_settings_ask_is_done(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks")
    clicks.append(b"plain" * 100)
    store.topic("clicks", config={"compression.type": "zstd", "max.message.bytes": 1000})
    clicks.append(b"packed" * 100)
    assert len(bytes(clicks.read(1)._records)) < 200
    store.topic("clicks", config={"compression.type": "uncompressed"})
    with pytest.raises(RecordTooLargeError):
        clicks.append(b"large" * 300)
    store.topic("clicks", config={"cleanup.policy": "compact"})
    with pytest.raises(InvalidRecordError):
        clicks.append(b"no key")
    assert clicks.append(b"key", key=b"k") == 2


def test_a_deleted_topic_and_a_closed_store_refuse(folder: Path) -> None:
    with headrace.open(folder) as store:
        clicks, views = store.topic("clicks"), store.topic("views")
        for topic in (clicks, views):
            topic.append(b"a")
            topic.append(b"b")
        store.delete_topic("clicks")
        with pytest.raises(UnknownTopicOrPartitionError):
            clicks.append(b"c")
        assert views.append(b"c") == 2
    with pytest.raises(LogClosedError):
        views.append(b"d")
    with headrace.open(folder) as store:
        assert store["views"].read().to_pylist() == [b"a", b"b", b"c"]


def test_many_threads_append_while_a_tail_follows(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks")
    threads, each = 4, 2000
    seen: list[bytes] = []

    def follow() -> None:
        with clicks.tail(timeout=60) as tail:
            for record in tail:
                seen.append(record.value)
                if len(seen) == threads * each:
                    return

    def append(worker: int) -> None:
        for number in range(each):
            clicks.append(b"%d %d" % (worker, number))

    workers = [threading.Thread(target=append, args=(worker,)) for worker in range(threads)]
    follower = threading.Thread(target=follow)
    for thread in (follower, *workers):
        thread.start()
    for thread in (*workers, follower):
        thread.join(60)
    for worker in range(threads):
        own = [value for value in seen if value.startswith(b"%d " % worker)]
        assert own == [b"%d %d" % (worker, number) for number in range(each)]


def test_a_waiting_tail_is_woken_by_one_append(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks")
    clicks.append(b"first")
    clicks.append(b"second")
    tail = clicks.tail(timeout=60)
    assert [next(tail).value, next(tail).value] == [b"first", b"second"]
    armed = threading.Event()
    wait = tail._watch.wait

    def armed_wait(timeout_s: float | None) -> bool:
        armed.set()
        return wait(timeout_s)

    tail._watch.wait = armed_wait  # type: ignore[method-assign]
    found: list[bytes] = []
    follower = threading.Thread(target=lambda: found.append(next(tail).value))
    follower.start()
    assert armed.wait(60)
    clicks.append(b"third")
    follower.join(60)
    assert found == [b"third"]
    tail.close()
    assert store._node.gate is not None
    assert store._node.gate.watch_count == 0


def test_records_without_a_key_fill_one_partition_after_the_other() -> None:
    partitioner = Partitioner(3, 4)
    chosen = [partitioner.partition_of(None, STICKY_BYTES // 4) for _ in range(12)]
    assert chosen == [1] * 4 + [2] * 4 + [0] * 4
    assert partitioner.partition_of(b"key", 1) == partitioner.partition_of(bytearray(b"key"), 1)


def test_only_appenders_make_a_topic() -> None:
    assert issubclass(headrace.TopicPartition, RecordAppender)
    with pytest.raises(TypeError):
        TopicAppender((object(),), Partitioner(1, 0))  # type: ignore[type-var]
