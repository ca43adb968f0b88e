"""A store: its topics, its folder, its threads, and what it refuses."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import headrace
from headrace.api.embedded.errors import UnsupportedOperationError
from headrace.core.errors import (
    InconsistentLogDirError,
    InvalidConfigError,
    LogClosedError,
    LogDirLockedError,
)
from headrace.raft.errors import (
    InvalidPartitionsError,
    InvalidTopicError,
    UnknownTopicOrPartitionError,
)


def test_what_was_appended_is_there_after_closing(folder: Path) -> None:
    with headrace.open(folder) as store:
        clicks = store.topic("clicks", partitions=4, config={"retention.ms": 86_400_000})
        for number in range(100):
            clicks.append(b"%d" % number, key=b"user-%d" % number)
        written = [view.to_pylist() for view in clicks.scan()]
        cluster_id = store.cluster_id
    with headrace.open(folder) as store:
        clicks = store["clicks"]
        assert [view.to_pylist() for view in clicks.scan()] == written
        assert (len(clicks), store.cluster_id) == (100, cluster_id)
        assert clicks.config == {"retention.ms": "86400000"}


def test_a_killed_writer_loses_nothing_that_was_appended(folder: Path) -> None:
    program = (
        "import headrace, os, sys\n"
        f"store = headrace.open({str(folder)!r})\n"
        "clicks = store.topic('clicks')\n"
        "clicks.append_many([b'%d' % n for n in range(5000)])\n"
        "clicks.append(b'last')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with headrace.open(folder) as store:
        values = store["clicks"].read().to_pylist()
        assert values == [b"%d" % n for n in range(5000)] + [b"last"]
        assert store.verify() == []


def test_a_second_writer_is_told_which_process_writes(folder: Path) -> None:
    with headrace.open(folder), pytest.raises(LogDirLockedError, match=str(os.getpid())):
        headrace.open(folder)
    headrace.open(folder).close()


def test_a_closed_store_refuses_everything_and_views_stay_readable(folder: Path) -> None:
    store = headrace.open(folder)
    clicks = store.topic("clicks")
    clicks.append_many([b"a", b"b"])
    view = clicks.read()
    store.close()
    store.close()
    for refused in (
        lambda: clicks.append(b"c"),
        lambda: clicks.append_many([b"c"]),
        lambda: clicks.append_array(np.zeros(3)),
        clicks.read,
        lambda: store.topic("other"),
        lambda: store["clicks"],
        store.flush,
        clicks.flush,
    ):
        with pytest.raises(LogClosedError, match="closed"):
            refused()
    assert view.to_pylist() == [b"a", b"b"]
    assert [record.value for record in view] == [b"a", b"b"]


def test_a_topic_is_made_once_and_found_again(store: headrace.LogStore) -> None:
    store.topic("clicks", partitions=2)
    assert len(store.topic("clicks").partitions) == 2
    assert "clicks" in store
    assert "other" not in store
    store.topic("about")
    assert (list(store), len(store)) == (["about", "clicks"], 2)


def test_an_unknown_topic_is_named(store: headrace.LogStore) -> None:
    with pytest.raises(UnknownTopicOrPartitionError, match="clicks"):
        store["clicks"]
    with pytest.raises(UnknownTopicOrPartitionError, match="clicks"):
        store.delete_topic("clicks")


def test_a_name_that_is_none_is_refused(store: headrace.LogStore) -> None:
    with pytest.raises(InvalidTopicError):
        store.topic("no spaces")


def test_settings_are_checked_before_anything_is_made(store: headrace.LogStore) -> None:
    with pytest.raises(InvalidConfigError, match=r"retention\.ms"):
        store.topic("clicks", config={"retention.msec": 5})
    with pytest.raises(InvalidConfigError):
        store.topic("clicks", config={"retention.ms": "soon"})
    assert "clicks" not in store


def test_settings_may_be_python_values_under_either_spelling(store: headrace.LogStore) -> None:
    config = {"retention_ms": 5, "preallocate": False, "cleanup.policy": ["compact", "delete"]}
    clicks = store.topic("clicks", config=config)
    assert clicks.config == {
        "retention.ms": "5",
        "preallocate": "false",
        "cleanup.policy": "compact,delete",
    }


def test_settings_of_a_topic_that_exists_are_laid_over_its_own(store: headrace.LogStore) -> None:
    store.topic("clicks", config={"retention.ms": 5, "max.message.bytes": 100})
    clicks = store.topic("clicks", config={"max.message.bytes": 200})
    assert clicks.config == {"retention.ms": "5", "max.message.bytes": "200"}
    clicks.append(b"x" * 120)


def test_another_number_of_partitions_is_refused_and_growing_is_said(
    store: headrace.LogStore,
) -> None:
    store.topic("clicks", partitions=2)
    with pytest.raises(InvalidPartitionsError, match="add_partitions"):
        store.topic("clicks", partitions=3)
    assert len(store.add_partitions("clicks", 3).partitions) == 3
    with pytest.raises(InvalidPartitionsError):
        store.add_partitions("clicks", 3)
    assert len(store["clicks"].partitions) == 3


def test_a_deleted_topic_is_gone_and_its_handle_says_so(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks")
    clicks.append(b"a")
    view = clicks.read()
    store.delete_topic("clicks")
    assert "clicks" not in store
    with pytest.raises(UnknownTopicOrPartitionError):
        clicks.append(b"b")
    assert view.to_pylist() == [b"a"]
    assert store.topic("clicks").append(b"new") == 0


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos.db").write_text("mine")
    with pytest.raises(InconsistentLogDirError, match=r"photos\.db"):
        headrace.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photos.db"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(NotADirectoryError):
        headrace.open(tmp_path / "data")


@pytest.mark.parametrize("text", ["often", "fsync-every=5", "fsync-every=0ms", ""])
def test_a_durability_that_is_none_is_refused(folder: Path, text: str) -> None:
    with pytest.raises(InvalidConfigError, match="durability"):
        headrace.open(folder, durability=text)
    assert not folder.exists()


def test_with_fsync_every_append_is_on_disk_when_it_returns(folder: Path) -> None:
    with headrace.open(folder, durability="fsync") as store:
        partition = store.topic("clicks").partition(0)
        offset = partition.append(b"a")
        assert partition.durable_offset == offset + 1
        assert partition.append_many([b"b"]).is_on_disk
        receipt = partition.append_many([b"c"], durability="page-cache")
        assert not receipt.is_on_disk
        assert partition.durable_offset == 2


def test_one_call_may_ask_for_the_disk(store: headrace.LogStore) -> None:
    partition = store.topic("clicks").partition(0)
    partition.append(b"a")
    assert partition.durable_offset == 0
    partition.append(b"b", durability="fsync")
    assert partition.durable_offset == 2
    with pytest.raises(InvalidConfigError, match="one call"):
        partition.append(b"c", durability="fsync-every=5ms")


def test_a_topic_that_flushes_each_message_is_synced_and_readable(store: headrace.LogStore) -> None:
    clicks = store.topic("clicks", config={"flush.messages": 1})
    assert clicks.append_many([b"a", b"b"]).is_on_disk
    assert clicks.read().to_pylist() == [b"a", b"b"]


def test_flush_covers_every_topic(store: headrace.LogStore) -> None:
    first, second = store.topic("a").partition(0), store.topic("b").partition(0)
    first.append(b"1")
    second.append(b"2")
    store.flush()
    assert (first.durable_offset, second.durable_offset) == (1, 1)


def test_flush_waits_for_no_topic_that_is_deleted_meanwhile(
    store: headrace.LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed:
        def wait(self) -> None:
            raise LogClosedError("clicks-0 was closed")

    store.topic("clicks")
    (partition,) = store._node.replicas.partitions()
    monkeypatch.setattr(store, "_flush_all", lambda: [(partition, Closed())])
    with pytest.raises(LogClosedError):
        store.flush()
    store.delete_topic("clicks")
    store.flush()


def test_fsync_every_syncs_in_the_background(folder: Path) -> None:
    with headrace.open(folder, durability="fsync-every=3600s") as store:
        receipt = store.topic("clicks").partition(0).append_many([b"a"])
        assert not receipt.is_on_disk
    with headrace.open(folder, durability="fsync-every=20ms") as store:
        partition = store.topic("clicks").partition(0)
        partition.append_many([b"b"])
        synced = threading.Event()
        threading.Thread(target=_wait_until_synced, args=(partition, synced), daemon=True).start()
        assert synced.wait(60)


def _wait_until_synced(partition: headrace.TopicPartition, synced: threading.Event) -> None:
    while partition.durable_offset < 2:
        synced.wait(0.005)
    synced.set()


def test_many_threads_append_to_one_store(folder: Path) -> None:
    """Each thread's records stand in its own order, and nothing is lost or doubled."""
    thread_count, rounds = 8, 50
    with headrace.open(folder) as store:
        clicks = store.topic("clicks", partitions=3)
        failures: list[BaseException] = []

        def produce(worker: int) -> None:
            try:
                for number in range(rounds):
                    clicks.append(b"%d:%d" % (worker, 2 * number), key=b"%d" % worker)
                    clicks.append_by_key([b"%d:%d" % (worker, 2 * number + 1)], [b"%d" % worker])
                    if number % 10 == 0:
                        clicks.append_many([b"durable"], partition=0, durability="fsync")
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=produce, args=(n,)) for n in range(thread_count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        seen: dict[bytes, list[int]] = {}
        for view in clicks.scan():
            for value in view.to_pylist():
                if value != b"durable":
                    worker, number = value.split(b":")
                    seen.setdefault(worker, []).append(int(number))
        assert seen == {b"%d" % n: list(range(2 * rounds)) for n in range(thread_count)}
        assert store.verify() == []


def test_closing_while_others_wait_for_the_disk_leaves_nobody_waiting(folder: Path) -> None:
    for _ in range(5):
        store = headrace.open(folder, durability="fsync")
        partition = store.topic("clicks").partition(0)
        ended = []

        def produce(partition: headrace.TopicPartition = partition, ended: list = ended) -> None:
            try:
                while True:
                    partition.append(b"x")
            except LogClosedError as error:
                ended.append(error)

        threads = [threading.Thread(target=produce, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        partition.append(b"y")
        store.close()
        for thread in threads:
            thread.join(60)
        assert len(ended) == 4


def test_each_opening_writes_in_a_leader_epoch_of_its_own(folder: Path) -> None:
    epochs = []
    for _ in range(3):
        with headrace.open(folder) as store:
            epochs.append(store.topic("clicks").append_many([b"a"]).leader_epoch)
    assert epochs == sorted(set(epochs))


def test_neither_numpy_nor_the_server_is_imported_by_opening(folder: Path) -> None:
    program = (
        "import sys, headrace\n"
        "bare = {name for name in sys.modules if name.startswith('headrace.')}\n"
        "assert not bare, bare\n"
        f"with headrace.open({str(folder)!r}) as store:\n"
        "    store.topic('clicks').append(b'a')\n"
        "    assert [r.value for r in store['clicks'].read()] == [b'a']\n"
        "wrong = [name for name in sys.modules if name == 'numpy' or name == 'asyncio'\n"
        "         or name.startswith(('headrace.api.server', 'headrace.api.handlers'))]\n"
        "assert not wrong, wrong\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_misspelt_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Brokr"):
        _ = headrace.Brokr
    assert all(getattr(headrace, name) for name in headrace.__all__)


def test_what_kafkas_producers_have_and_an_append_has_not_is_refused_in_words(
    tmp_path: Path, store: headrace.LogStore
) -> None:
    topic = store.topic("clicks")
    for owner in (store, topic, topic.partition(0)):
        with pytest.raises(UnsupportedOperationError, match="all or none in their partition"):
            owner.transaction()
    with pytest.raises(UnsupportedOperationError, match="has no transactions"):
        headrace.open(tmp_path / "other", transactional_id="orders")
    with pytest.raises(UnsupportedOperationError, match="nothing here sends an append twice"):
        headrace.open(tmp_path / "other", idempotent=True)
    assert not (tmp_path / "other").exists()
