"""A folder read and followed by processes that do not own it, while its owner goes on."""

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

import headrace
from headrace.api.embedded.errors import ReadOnlyStoreError
from headrace.core.batch_encoder import encode_values
from headrace.core.errors import (
    InconsistentLogDirError,
    LogClosedError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
)
from headrace.raft.errors import UnknownTopicOrPartitionError
from tests.support.broker_process import BrokerProcess

DEADLINE_S = 60
NOW_MS = 1_800_000_000_000


@pytest.fixture
def attached(store: headrace.LogStore, folder: Path) -> headrace.LogStore:
    return headrace.open(folder, mode="r")


def test_a_reader_sees_what_the_writer_appends(
    store: headrace.LogStore, attached: headrace.LogStore
) -> None:
    clicks = store.topic("clicks", partitions=2, config={"compression.type": "lz4"})
    clicks.append_many([b"a", b"b"], keys=[b"k1", b"k2"], partition=0)
    seen = attached["clicks"]
    assert seen.read(partition=0).to_pylist() == [b"a", b"b"]
    assert seen.read(partition=0).keys.to_pylist() == [b"k1", b"k2"]
    assert (list(attached), len(seen.partitions)) == (["clicks"], 2)
    clicks.append(b"c", partition=0, headers={"h": b"1"})
    assert [record.value for record in seen.read(1, partition=0)] == [b"b", b"c"]
    assert seen.read(3, partition=0).to_pylist() == []
    assert attached.cluster_id == store.cluster_id
    store.topic("later").append(b"x")
    assert attached["later"].read().to_pylist() == [b"x"]


def test_every_change_is_refused_in_words(
    store: headrace.LogStore, attached: headrace.LogStore
) -> None:
    store.topic("clicks").append(b"a")
    clicks = attached["clicks"]
    for refused in (
        lambda: clicks.append(b"b"),
        lambda: clicks.append_many([b"b"]),
        lambda: clicks.append_array(np.zeros(1)),
        lambda: clicks.append_arrow(clicks),
        lambda: clicks.partition(0).truncate_before(1),
        lambda: clicks.tail(group="report"),
        lambda: attached.topic("other"),
        lambda: attached.delete_topic("clicks"),
        lambda: attached.commit("report", {("clicks", 0): 1}),
        clicks.flush,
    ):
        with pytest.raises(ReadOnlyStoreError, match='mode="r"'):
            refused()
    with pytest.raises(UnknownTopicOrPartitionError):
        attached["other"]
    assert store["clicks"].read().to_pylist() == [b"a"]
    with pytest.raises(ValueError, match="mode"):
        headrace.open(store.path, mode="rw")


@pytest.mark.parametrize("is_refused", [True, False])
def test_no_record_of_an_append_is_seen_before_all_are_there(
    store: headrace.LogStore, attached: headrace.LogStore, is_refused: bool
) -> None:
    """Each batch of one append, in a segment of its own, is looked for while the append goes on."""
    topic = store.topic("clicks", config={"segment.bytes": 1 << 20})
    topic.append(b"before")
    stored = topic.partition(0).stored
    seen = attached["clicks"].partition(0)
    seen_meanwhile = []

    def batches() -> Iterator[bytearray]:
        for number in range(5):
            yield encode_values([b"%d" % number * 700_000], timestamp=NOW_MS + number)
            seen_meanwhile.append(
                (
                    seen.log_end_offset,
                    seen.read(0).to_pylist(),
                    seen.read(1).to_pylist(),
                    seen.offset_for(NOW_MS),
                )
            )
            with pytest.raises(OffsetOutOfRangeError):
                seen.read(2)
        if is_refused:
            raise RecordTooLargeError(2, 1)

    refused = pytest.raises(RecordTooLargeError) if is_refused else nullcontext()
    with refused:
        store._node.append_together(stored, batches(), "coordinator", is_synced=False)
    assert seen_meanwhile == [(1, [b"before"], [], None)] * 5
    after = [value for view in seen.scan() for value in view.to_pylist()]
    expected = [] if is_refused else [b"%d" % number * 700_000 for number in range(5)]
    assert after == [b"before", *expected]


def test_what_is_taken_back_between_two_looks_is_read_anew(
    store: headrace.LogStore, attached: headrace.LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The append begins and is taken back between the reader's look at the bell and its answer."""
    topic = store.topic("clicks")
    topic.append(b"before")
    seen = attached["clicks"].partition(0)
    log = seen.stored._log
    read_records = log.read_records

    def slow_read(*, start_offset: int, max_bytes: int) -> memoryview:
        monkeypatch.setattr(log, "read_records", read_records)
        found: list[memoryview] = []

        def batches() -> Iterator[bytearray]:
            yield encode_values([b"taken back"], timestamp=NOW_MS)
            found.append(read_records(start_offset=start_offset, max_bytes=max_bytes))
            raise RecordTooLargeError(2, 1)

        stored = topic.partition(0).stored
        with pytest.raises(RecordTooLargeError):
            store._node.append_together(stored, batches(), "coordinator", is_synced=False)
        return found[0]

    monkeypatch.setattr(log, "read_records", slow_read)
    assert seen.read(0).to_pylist() == [b"before"]


def test_only_a_log_folder_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        headrace.open(tmp_path / "missing", mode="r")
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(InconsistentLogDirError):
        headrace.open(tmp_path, mode="r")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("seed", range(3))
def test_any_interleaving_of_writer_and_reader_shows_a_prefix(folder: Path, seed: int) -> None:
    """Small segments and indexes, batches of all sizes, refused appends in between."""
    chance = random.Random(seed)
    config = {"segment.bytes": 1 << 20, "index.interval.bytes": 200, "max.message.bytes": 1 << 19}
    written: list[bytes] = []
    with headrace.open(folder) as store, headrace.open(folder, mode="r") as attached:
        clicks = store.topic("clicks", config=config).partition(0)
        clicks.append(b"0")
        written.append(b"0")
        seen = attached["clicks"].partition(0)
        for step in range(300):
            match chance.randrange(4):
                case 0:
                    values = [b"%d-%d" % (step, n) for n in range(chance.randrange(1, 300))]
                    clicks.append_many(values)
                    written += values
                case 1:
                    value = bytes([step % 256]) * chance.randrange(1, 100_000)
                    clicks.append(value)
                    written.append(value)
                case 2:
                    with pytest.raises(headrace.HeadraceError):
                        clicks.append_many([*[b"no" * 100] * 5000, b"x" * (1 << 20)])
                case _:
                    start = chance.randrange(len(written) + 1)
                    view = seen.read(start, max_bytes=chance.choice([1, 1000, 1 << 20]))
                    assert view.to_pylist() == written[start : start + len(view)]
                    assert len(view) or start == len(written)
                    assert seen.log_end_offset == len(written)
        everything = [value for view in seen.scan() for value in view.to_pylist()]
        assert everything == written


def test_a_reader_goes_on_where_the_writer_let_go(
    store: headrace.LogStore, attached: headrace.LogStore
) -> None:
    clicks = store.topic("clicks", config={"segment.bytes": 1 << 20}).partition(0)
    for _ in range(4):
        clicks.append_many([b"x" * 1000] * 600)
    seen = attached["clicks"].partition(0)
    view = seen.read(0, max_records=5)
    clicks.truncate_before(2000)
    clicks.flush()
    assert seen.log_start_offset > 0
    with pytest.raises(OffsetOutOfRangeError):
        seen.read(0)
    assert seen.read(2000).to_pylist()[0] == b"x" * 1000
    assert view.to_pylist() == [b"x" * 1000] * 5
    values = [record.value for record in attached["clicks"].tail(follow=False)]
    assert len(values) == 2400 - seen.log_start_offset


def test_records_are_found_by_time(store: headrace.LogStore, attached: headrace.LogStore) -> None:
    clicks = store.topic("clicks")
    clicks.append_many([b"a", b"b", b"c"], timestamps=[1000, 2000, 3000])
    seen = attached["clicks"].partition(0)
    assert [seen.offset_for(at) for at in (0, 1500, 3000, 3001)] == [0, 1, 2, None]


def test_arrow_and_numpy_work_from_outside(
    store: headrace.LogStore, attached: headrace.LogStore
) -> None:
    import polars as pl

    store.topic("numbers").append_array(np.arange(1000))
    seen = attached["numbers"]
    assert seen.read().to_numpy(np.int64).tolist() == list(range(1000))
    assert pl.DataFrame(seen).height == 1000


def test_closing_wakes_a_tail_of_the_reader(
    store: headrace.LogStore, attached: headrace.LogStore
) -> None:
    store.topic("clicks").append(b"a")
    taken = threading.Event()
    ended: list[BaseException] = []

    def follow() -> None:
        try:
            for _ in attached["clicks"].tail():
                taken.set()
        except LogClosedError as error:
            ended.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    assert taken.wait(DEADLINE_S)
    attached.close()
    thread.join(DEADLINE_S)
    assert len(ended) == 1


FOLLOWER = """
import sys, headrace
with headrace.open(sys.argv[1], mode="r") as store:
    print("ready", flush=True)
    for record in store["clicks"].tail(timeout=120):
        if record.value == b"end":
            break
        print(record.value.decode(), flush=True)
"""

WRITER = """
import sys, headrace
store = headrace.open(sys.argv[1])
clicks = store["clicks"]
number = 0
while True:
    clicks.append(b"%d" % number)
    print(number, flush=True)
    number += 1
"""


def follower(folder: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", FOLLOWER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_follow_a_third_that_is_killed_and_nothing_is_lost(folder: Path) -> None:
    with headrace.open(folder) as store:
        store.topic("clicks")
    followers = [follower(folder) for _ in range(2)]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline() for _ in range(500)]
    writer.kill()
    acknowledged += writer.stdout.readlines()
    writer.wait()
    writer.stdout.close()
    count = len([line for line in acknowledged if line.endswith("\n")])
    with headrace.open(folder) as store:
        kept = store["clicks"].read().to_pylist()
        assert len(kept) >= count
        store["clicks"].append(b"end")
    for process in followers:
        told, _ = process.communicate(timeout=120)
        assert told.split() == [str(number) for number in range(len(kept))]
        assert process.returncode == 0


def test_a_process_follows_what_a_broker_serves(tmp_path: Path) -> None:
    from confluent_kafka import Producer

    with BrokerProcess(tmp_path, topics={"clicks": 1}) as broker:
        process = follower(broker.data)
        producer = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": "zstd"})
        for number in range(300):
            producer.produce("clicks", b"%d" % number)
        producer.flush(DEADLINE_S)
        producer.produce("clicks", b"end")
        producer.flush(DEADLINE_S)
        told, _ = process.communicate(timeout=120)
        assert told.split() == [str(number) for number in range(300)]
