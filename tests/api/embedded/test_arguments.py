"""What cannot be used is refused with an error of our own, before anything is done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headrace
from headrace.api.embedded.errors import LogFolderNotFoundError, NotAFolderError
from headrace.core.errors import HeadraceError, OffsetOutOfRangeError, RecordTypeError
from headrace.raft.errors import UnknownTopicOrPartitionError

HUGE = 2**70
# What takes a whole number, by the name of its argument.
WHOLE: dict[str, Callable[[headrace.Topic, Any], object]] = {
    "partition": lambda topic, bad: topic.partition(bad),
    "start_offset": lambda topic, bad: topic.partition(0).read(bad),
    "max_bytes": lambda topic, bad: topic.read(0, partition=0, max_bytes=bad),
    "max_records": lambda topic, bad: topic.read(0, partition=0, max_records=bad),
    "timestamp": lambda topic, bad: topic.append(b"v", timestamp=bad),
    "offset": lambda topic, bad: topic.partition(0).truncate_before(bad),
}


@pytest.fixture
def clicks(store: headrace.LogStore) -> headrace.Topic:
    topic = store.topic("clicks", partitions=2)
    topic.append(b"0", partition=0)
    return topic


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("bad", ["1", 1.5, True, b"1", object()])
def test_a_whole_number_is_no_other_type(clicks: headrace.Topic, name: str, bad: object) -> None:
    with pytest.raises(headrace.ArgumentTypeError) as raised:
        WHOLE[name](clicks, bad)
    assert (raised.value.name, raised.value.value) == (name, bad)
    assert isinstance(raised.value, TypeError)
    assert isinstance(raised.value, HeadraceError)
    assert len(clicks) == 1


@pytest.mark.parametrize("name", WHOLE)
def test_a_number_beyond_64_bits_is_refused(clicks: headrace.Topic, name: str) -> None:
    with pytest.raises((headrace.InvalidArgumentError, OffsetOutOfRangeError), match=str(HUGE)):
        WHOLE[name](clicks, HUGE)
    assert len(clicks) == 1


def test_integers_of_numpy_are_numbers(clicks: headrace.Topic) -> None:
    partition = clicks.partition(np.int32(0))  # type: ignore[arg-type]
    assert partition.read(np.int64(0)).to_pylist() == [b"0"]  # type: ignore[arg-type]
    assert clicks.append(b"1", partition=np.uint8(0)) == 1  # type: ignore[arg-type]
    assert partition.truncate_before(np.int64(1)) == 1  # type: ignore[arg-type]
    with pytest.raises(OffsetOutOfRangeError):
        partition.read(-1)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda topic: topic.append(b"v", headers="h"), headrace.ArgumentTypeError, "headers"),
        (lambda topic: topic.append(b"v", headers=[("h",)]), headrace.ArgumentTypeError, "headers"),
        (
            lambda topic: topic.append(b"v", headers={1: b"x"}),
            headrace.ArgumentTypeError,
            "headers",
        ),
        (lambda topic: topic.append_many(None), headrace.ArgumentTypeError, "values"),
        (lambda topic: topic.append_many(b"one"), headrace.ArgumentTypeError, "values"),
        (
            lambda topic: topic.append_many([b"a"], 5, partition=0),
            headrace.ArgumentTypeError,
            "keys",
        ),
        (
            lambda topic: topic.append_many([b"a"], [], partition=0),
            headrace.InvalidArgumentError,
            "keys",
        ),
        (
            lambda topic: topic.append_many([b"a"], timestamps=[1.5]),
            headrace.ArgumentTypeError,
            "timestamps",
        ),
        (lambda topic: topic.append_array(5), headrace.InvalidArgumentError, "array"),
        (lambda topic: topic.append_array([None]), headrace.ArgumentTypeError, "array"),
        (lambda topic: topic.append_arrow(5), headrace.ArgumentTypeError, "source"),
        (lambda topic: topic.read(), headrace.InvalidArgumentError, "partition"),
        (lambda topic: topic.tail(start="now"), headrace.InvalidArgumentError, "start"),
        (lambda topic: topic.tail(timeout="1"), headrace.ArgumentTypeError, "timeout"),
        (lambda topic: topic.tail(timeout=-1), headrace.InvalidArgumentError, "timeout"),
        (lambda topic: topic.tail(group=5), headrace.ArgumentTypeError, "group"),
        (lambda topic: topic.tail().commit(), headrace.InvalidArgumentError, "group"),
    ],
)
def test_each_argument_of_a_topic_is_named(
    clicks: headrace.Topic,
    call: Callable[[headrace.Topic], object],
    error: type[headrace.ArgumentError],
    name: str,
) -> None:
    with pytest.raises(error) as raised:
        call(clicks)
    assert raised.value.name == name
    assert str(raised.value).startswith(f"{name}=")
    assert len(clicks) == 1


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda store: store.topic(5), "name"),
        (lambda store: store.topic("t", partitions="2"), "partitions"),
        (lambda store: store.topic("t", partitions=HUGE), "partitions"),
        (lambda store: store.topic("t", partitions=0), "partitions"),
        (lambda store: store.topic("t", config="x"), "config"),
        (lambda store: store.add_partitions("clicks", HUGE), "total"),
        (lambda store: store.committed(None), "group"),
        (lambda store: store.commit(None, {}), "group"),
        (lambda store: store.commit("g", {"clicks": 1}), "offsets"),
        (lambda store: store.commit("g", {("clicks", 0): "1"}), "offsets"),
        (lambda store: headrace.open(store.path, mode="a"), "mode"),
        (lambda store: headrace.open(None), "path"),  # type: ignore[arg-type]
    ],
)
def test_each_argument_of_a_store_is_named(
    store: headrace.LogStore, call: Callable[[headrace.LogStore], object], name: str
) -> None:
    store.topic("clicks")
    with pytest.raises(headrace.ArgumentError) as raised:
        call(store)
    assert raised.value.name == name
    assert list(store) == ["clicks"]


def test_what_is_not_there_is_told_in_fields(store: headrace.LogStore) -> None:
    with pytest.raises(UnknownTopicOrPartitionError) as raised:
        store["views"]
    assert (raised.value.topic, raised.value.partition) == ("views", None)
    with pytest.raises(UnknownTopicOrPartitionError) as raised:
        store.topic("clicks").partition(7)
    assert (raised.value.topic, raised.value.partition) == ("clicks", 7)
    with pytest.raises(UnknownTopicOrPartitionError) as raised:
        store["clicks"].append(b"v", partition=-1)
    assert (raised.value.topic, raised.value.partition) == ("clicks", -1)


def test_a_key_that_is_no_bytes_is_named_with_its_place(clicks: headrace.Topic) -> None:
    with pytest.raises(RecordTypeError) as raised:
        clicks.append_many([b"a", b"b"], [b"k", 5])  # type: ignore[list-item]
    assert (raised.value.what, raised.value.index, raised.value.type_name) == ("key", 1, "int")
    with pytest.raises(RecordTypeError):
        clicks.append(b"a", key=5)  # type: ignore[arg-type]
    assert len(clicks) == 1


def test_folders_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(LogFolderNotFoundError) as missing:
        headrace.open(tmp_path / "nowhere", mode="r")
    assert missing.value.path == tmp_path / "nowhere"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotAFolderError) as file:
        headrace.open(tmp_path / "file")
    assert file.value.path == tmp_path / "file"


def test_faults_name_what_they_do_not_know() -> None:
    faults = headrace.Broker().faults
    for call, name in (
        (lambda: faults.fail("Prduce", "NOT_LEADER_OR_FOLLOWER"), "api"),
        (lambda: faults.fail("ApiVersions", "NOT_LEADER_OR_FOLLOWER"), "api"),
        (lambda: faults.fail("Produce", "NO_LEADER"), "error"),
        (lambda: faults.drop_before("Produce", times=0), "times"),
    ):
        with pytest.raises(headrace.InvalidArgumentError) as raised:
            call()
        assert raised.value.name == name
    assert faults.unspent == 0
