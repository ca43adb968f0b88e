"""Kafka's metadata log: what counts, what is refused, what it adds up to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.api.takeover import KafkaImage, KafkaMetadataError, read_metadata
from headrace.api.takeover.metadata_log import METADATA_FOLDER
from headrace.api.wire.codec import encode_stored
from headrace.api.wire.stored_cluster import KINDS
from headrace.core import BatchBuilder
from tests.support.kafka_folder import unpack_kafka_folder

ID = b"\1" * 16
TYPE_OF = {kind: number for number, kind in KINDS.items()}


def frame(kind: str, version: int = 0, **body: Any) -> bytes:
    return bytes((1, TYPE_OF[kind], version)) + encode_stored(kind, version, body)


def batch(*frames: bytes, base_offset: int = 0, is_control: bool = False) -> bytes:
    builder = BatchBuilder(base_offset=base_offset, leader_epoch=1, is_control=is_control)
    for value in frames:
        builder.append_record(timestamp=1, key=None, value=value)
    return bytes(builder.build())


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_files(**files: bytes) -> Path:
        names = {"log": f"{0:020}.log"}
        for name, content in files.items():
            (tmp_path / names.get(name, name)).write_bytes(content)
        return tmp_path

    return write_files


def image_of(folder: Path) -> KafkaImage:
    return KafkaImage.of(read_metadata(folder))


def topic(name: str, topic_id: bytes = ID) -> bytes:
    return frame("TopicRecord", name=name, topic_id=topic_id)


def partition(index: int, epoch: int = 0, replicas: tuple[int, ...] = (7,)) -> bytes:
    body = {"partition_id": index, "topic_id": ID, "replicas": list(replicas), "isr": [7]}
    return frame("PartitionRecord", 2, **body, leader=7, leader_epoch=epoch)


def config(kind: int, resource: str, name: str, value: str | None) -> bytes:
    return frame("ConfigRecord", resource_type=kind, resource_name=resource, name=name, value=value)


def test_real_kafka_folder_adds_up_to_its_topics_settings_and_ids(tmp_path: Path) -> None:
    image = image_of(unpack_kafka_folder(tmp_path) / METADATA_FOLDER)
    counts = {each.name: len(each.partitions) for each in image.topics.values()}
    assert counts == {
        "clicks": 3,
        "state": 1,
        "grown": 4,
        "__consumer_offsets": 3,
        "__transaction_state": 50,
    }
    clicks = image.topic_named("clicks")
    assert clicks is not None
    assert clicks.topic_id.hex() == "3f36fadd4a414ea3be8f530c56ee313d"
    assert [each.replicas for each in clicks.partitions.values()] == [[7]] * 3
    assert image.topic_configs["clicks"] == {
        "retention.ms": "86400000",
        "max.message.bytes": "2000000",
    }
    assert image.topic_configs["state"] == {"cleanup.policy": "compact"}
    assert image.broker_configs["7"] == {"log.retention.ms": "777777"}
    assert image.next_producer_id == 1000
    assert not image.lost


def test_leader_epoch_grows_with_each_change_of_leader(write: Callable[..., Path]) -> None:
    changes = [
        frame("PartitionChangeRecord", partition_id=0, topic_id=ID, leader=-1),
        frame("PartitionChangeRecord", partition_id=0, topic_id=ID, isr=[7]),
        frame("PartitionChangeRecord", partition_id=0, topic_id=ID, leader=7, replicas=[7, 8]),
    ]
    image = image_of(write(log=batch(topic("a"), partition(0, epoch=4), *changes)))
    found = image.topics[ID].partitions[0]
    assert (found.leader_epoch, found.replicas) == (6, [7, 8])


def test_removed_topic_and_removed_setting_are_gone(write: Callable[..., Path]) -> None:
    records = [
        topic("a"),
        config(2, "a", "retention.ms", "5"),
        frame("RemoveTopicRecord", topic_id=ID),
        topic("b", b"\2" * 16),
        config(2, "b", "retention.ms", "5"),
        config(2, "b", "retention.ms", None),
    ]
    image = image_of(write(log=batch(*records)))
    assert [each.name for each in image.topics.values()] == ["b"]
    assert image.topic_configs == {"b": {}}


def test_transaction_counts_whole_or_not_at_all(write: Callable[..., Path]) -> None:
    records = [
        frame("BeginTransactionRecord"),
        topic("aborted", b"\2" * 16),
        frame("AbortTransactionRecord"),
        frame("BeginTransactionRecord"),
        topic("kept"),
        frame("EndTransactionRecord"),
        frame("BeginTransactionRecord"),
        topic("unfinished", b"\3" * 16),
    ]
    image = image_of(write(log=batch(*records)))
    assert [each.name for each in image.topics.values()] == ["kept"]


def test_newest_snapshot_stands_for_the_log_below_it(write: Callable[..., Path]) -> None:
    log = batch(topic("old", b"\2" * 16), topic("new"), base_offset=10)
    folder = write(
        log=log,
        **{
            f"{5:020}-{1:010}.checkpoint": batch(topic("older", b"\4" * 16)),
            f"{11:020}-{1:010}.checkpoint": batch(topic("snapshot", b"\3" * 16)),
            f"{12:020}-{1:010}.checkpoint.part": b"half written",
        },
    )
    assert {each.name for each in image_of(folder).topics.values()} == {"snapshot", "new"}


def test_control_batches_are_no_metadata(write: Callable[..., Path]) -> None:
    folder = write(log=batch(b"\0\0", is_control=True) + batch(topic("a"), base_offset=1))
    assert [each.name for each in image_of(folder).topics.values()] == ["a"]


def test_what_is_lost_is_counted_by_its_name(write: Callable[..., Path]) -> None:
    records = [bytes((1, 18, 0)), bytes((1, 18, 0)), bytes((1, 11, 0)), config(32, "g", "x", "1")]
    image = image_of(write(log=batch(*records)))
    assert image.lost == {
        "access control entries": 2,
        "SCRAM credentials": 1,
        "group settings": 1,
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (batch(topic("a"))[:-1] + b"\xff", "CRC"),
        (batch(topic("a"))[:-1], "corrupt at byte 0"),
        (batch(b"\2\2\0"), "frame version 2"),
        (batch(b""), "no varint"),
        (batch(b"\1\2\x63"), "offset 0"),
        (batch(partition(0)), "contradicts itself at offset 0"),
    ],
)
def test_damage_is_told_with_its_place(
    write: Callable[..., Path], content: bytes, reason: str
) -> None:
    with pytest.raises(KafkaMetadataError, match=reason):
        image_of(write(log=content))


@settings(max_examples=200)
@given(value=st.binary(max_size=60))
def test_any_frame_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, value: bytes
) -> None:
    folder = tmp_path_factory.mktemp("metadata")
    (folder / f"{0:020}.log").write_bytes(batch(topic("a"), value))
    try:
        image = image_of(folder)
    except KafkaMetadataError:
        return
    assert all(isinstance(each.name, str) for each in image.topics.values())
