"""Committed offsets when the disk is full or has changed them: never fewer than acknowledged."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.support.broker_process import BrokerProcess
from tests.support.cluster_processes import wait_until
from tests.support.faulty_disk import FaultyDisk
from tests.support.requests import Requester
from tests.support.stored_records import create_topic, fetch_all, produce

NONE = 0
WITHIN_S = 60.0
METADATA_BYTES = 3000


@pytest.fixture
def disk(tmp_path: Path) -> FaultyDisk:
    return FaultyDisk(tmp_path / "disk")


@pytest.fixture
def broker(tmp_path: Path, disk: FaultyDisk) -> Iterator[BrokerProcess]:
    config = {"offsets.topic.num.partitions": "1"}
    with BrokerProcess(tmp_path, environment=disk.environment, config=config) as process:
        with Requester(process.port) as requester:
            assert create_topic(requester, "clicks")[0] == NONE
            for number in range(10):
                assert produce(requester, "clicks", b"%d" % number) == (NONE, number)
        yield process


@pytest.fixture
def consumer(broker: BrokerProcess) -> Iterator[Consumer]:
    settings = {"bootstrap.servers": broker.bootstrap, "group.id": "readers"}
    consumer = Consumer(settings, logger=None)
    yield consumer
    consumer.close()


def commit(consumer: Consumer, offset: int) -> bool:
    """Whether the commit was acknowledged."""
    wanted = TopicPartition("clicks", 0, offset, metadata="m" * METADATA_BYTES)
    try:
        (told,) = consumer.commit(offsets=[wanted], asynchronous=False) or []
    except KafkaException:
        return False
    return told.error is None


def committed(consumer: Consumer) -> int:
    (told,) = consumer.committed([TopicPartition("clicks", 0)], timeout=WITHIN_S)
    assert told.error is None, told.error
    return int(told.offset)


def test_commits_on_a_full_disk_fail_and_go_on_with_the_room(
    broker: BrokerProcess, disk: FaultyDisk, consumer: Consumer
) -> None:
    assert commit(consumer, 1)
    disk.is_full(broker.data)
    newest = 1
    for offset in range(2, 200):
        if not commit(consumer, offset):
            break
        newest = offset
    else:
        raise AssertionError("the disk was never full")
    assert committed(consumer) == newest
    disk.works()
    assert commit(consumer, 500)
    broker.restart()
    assert committed(consumer) == 500


def test_changed_offsets_are_not_guessed_at(
    broker: BrokerProcess, consumer: Consumer, tmp_path: Path
) -> None:
    """Their groups get an error until the file is restored; records and other topics are served."""
    for offset in range(1, 6):
        assert commit(consumer, offset)
    assert broker.terminate() == 0
    (file,) = (broker.data / "__consumer_offsets-0").glob("*.log")
    intact = file.read_bytes()
    changed = bytearray(intact)
    changed[len(changed) // 2] ^= 1
    file.write_bytes(changed)
    broker.start()
    with Requester(broker.port) as requester:
        assert len(fetch_all(requester, "clicks")) == 10
        assert produce(requester, "clicks", b"more") == (NONE, 10)
    with pytest.raises(KafkaException):
        consumer.committed([TopicPartition("clicks", 0)], timeout=2.0)
    wait_until(lambda: str(file) in broker.log.read_text(), "the damaged file is named")
    assert broker.terminate() == 0
    assert file.read_bytes() == bytes(changed)
    file.write_bytes(intact)
    broker.start()
    assert committed(consumer) == 5
    assert commit(consumer, 6)
