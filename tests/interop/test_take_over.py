"""A broker process on the folder that a real Kafka left."""

from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from headrace.api.takeover import METADATA_FOLDER
from tests.support.broker_process import BrokerProcess
from tests.support.kafka_folder import CLUSTER_ID, COMMITTED, NODE_ID, unpack_kafka_folder

DEADLINE_S = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return unpack_kafka_folder(tmp_path)


def consume_all(bootstrap: str, topic: str, partition: int) -> list[Message]:
    """Every committed record of a partition."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "unused", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(topic, partition, 0)])
    found: list[Message] = []
    try:
        while True:
            message = consumer.poll(DEADLINE_S)
            assert message is not None, "nothing came in time"
            if message.error():
                return found
            found.append(message)
    finally:
        consumer.close()


def test_records_offsets_and_settings_of_kafka_are_served(folder: Path, tmp_path: Path) -> None:
    settings = {"node.id": str(NODE_ID), "log.dirs": str(folder)}
    with BrokerProcess(tmp_path / "broker", config=settings) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        metadata = admin.list_topics(timeout=DEADLINE_S)
        assert metadata.cluster_id == CLUSTER_ID
        assert set(metadata.brokers) == {NODE_ID}
        for partition in range(3):
            records = consume_all(broker.bootstrap, "clicks", partition)
            numbers = range(partition, 1000, 3)
            assert [record.key() for record in records] == [f"k{n}".encode() for n in numbers]
            assert [record.offset() for record in records] == list(range(len(numbers)))
            assert records[0].headers() == [("h", b"x")]
        assert [each.value() for each in consume_all(broker.bootstrap, "grown", 0)] == [b"txv"]
        asked = ConfigResource(ResourceType.TOPIC, "clicks")
        configs = admin.describe_configs([asked])[asked].result(DEADLINE_S)
        assert configs["retention.ms"].value == "86400000"
        reader = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "readers"})
        partitions = [TopicPartition("clicks", index) for index in COMMITTED]
        committed = reader.committed(partitions, timeout=DEADLINE_S)
        assert {each.partition: each.offset for each in committed} == COMMITTED
        reader.close()


def test_taken_over_folder_is_written_to_and_found_again(folder: Path, tmp_path: Path) -> None:
    metadata_log = folder / METADATA_FOLDER
    before = {path.name: path.read_bytes() for path in metadata_log.iterdir()}
    settings = {"node.id": str(NODE_ID), "log.dirs": str(folder)}
    with BrokerProcess(tmp_path / "broker", config=settings) as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True})
        producer.produce("clicks", b"after", partition=0)
        assert producer.flush(DEADLINE_S) == 0
        broker.restart()
        assert consume_all(broker.bootstrap, "clicks", 0)[-1].value() == b"after"
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.delete_topics(["state"])["state"].result(DEADLINE_S)
        assert broker.terminate() == 0
        broker.start()
        topics = admin.list_topics(timeout=DEADLINE_S).topics
        assert "clicks" in topics
        assert "state" not in topics
    assert {path.name: path.read_bytes() for path in metadata_log.iterdir()} == before
