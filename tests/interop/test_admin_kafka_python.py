"""kafka-python's KafkaAdminClient against a broker process."""

from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import AlterConfigOp, ConfigResource, KafkaAdminClient
from kafka.errors import (
    InvalidConfigurationError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

from tests.support.broker_process import BrokerProcess

DEADLINE_S = 60


@pytest.fixture
def admin(broker: BrokerProcess) -> Iterator[Any]:
    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    yield client
    client.close()


def settings_of(admin: Any, topic: str, name: str) -> Any:
    described = admin.describe_configs([ConfigResource("topic", topic)], config_filter="all")
    return described["topic"][topic][name]


def produce(broker: BrokerProcess, topic: str, count: int) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    try:
        for future in [producer.send(topic, b"x", partition=0) for _ in range(count)]:
            future.get(timeout=DEADLINE_S)
    finally:
        producer.close()


def test_topics_are_created_grown_described_and_deleted(admin: Any) -> None:
    admin.create_topics({"made": {"num_partitions": 2}}, wait_for_metadata=True)
    admin.create_partitions({"made": 3})
    (topic,) = admin.describe_topics(["made"])
    assert topic["error_code"] == 0
    assert [each["partition_index"] for each in topic["partitions"]] == [0, 1, 2]
    (paged,) = admin.describe_topic_partitions(["made"])["topics"]
    assert [each["leader_id"] for each in paged["partitions"]] == [1, 1, 1]
    admin.delete_topics(["made"])
    assert "made" not in admin.list_topics()


def test_refusals_are_the_errors_of_kafka(admin: Any) -> None:
    admin.create_topics(["refused"])
    with pytest.raises(TopicAlreadyExistsError):
        admin.create_topics(["refused"])
    with pytest.raises(InvalidConfigurationError):
        admin.create_topics({"odd": {"configs": {"no.such": "1"}}})
    with pytest.raises(UnknownTopicOrPartitionError):
        admin.delete_topics(["never.was"])


def test_settings_are_altered_one_by_one(admin: Any) -> None:
    admin.create_topics({"settings": {"configs": {"cleanup.policy": "compact"}}})
    admin.alter_configs([ConfigResource("topic", "settings", {"retention.ms": "1234"})])
    assert settings_of(admin, "settings", "retention.ms")["value"] == "1234"
    assert settings_of(admin, "settings", "cleanup.policy")["value"] == "compact"
    change = {"cleanup.policy": (AlterConfigOp.APPEND, "delete")}
    admin.alter_configs([ConfigResource("topic", "settings", change)])
    assert settings_of(admin, "settings", "cleanup.policy")["value"] == "compact,delete"


def test_records_are_deleted_and_producers_described(admin: Any, broker: BrokerProcess) -> None:
    admin.create_topics(["shortened"])
    produce(broker, "shortened", 10)
    partition = TopicPartition("shortened", 0)
    assert admin.delete_records({partition: 4})[partition]["low_watermark"] == 4
    with pytest.raises(OffsetOutOfRangeError):
        admin.delete_records({partition: 99})
    (producer,) = admin.describe_producers([partition])[partition].active_producers
    assert producer.last_sequence == 9


def test_folders_tell_the_size_of_each_partition(admin: Any, broker: BrokerProcess) -> None:
    admin.create_topics({"sized": {"num_partitions": 2}})
    produce(broker, "sized", 3)
    (answer,) = admin.describe_log_dirs()
    (folder,) = answer["log_dirs"]
    assert folder["log_dir"] == str(broker.data)
    (sized,) = [topic for topic in folder["topics"] if topic["name"] == "sized"]
    sizes = {each["partition_index"]: each["partition_size"] for each in sized["partitions"]}
    assert sizes[0] > 0
    assert sizes[1] == 0
    assert 0 < folder["usable_bytes"] <= folder["total_bytes"]


def test_cluster_and_resources_are_described(admin: Any, broker: BrokerProcess) -> None:
    cluster = admin.describe_cluster()
    assert cluster["controller_id"] == 1
    assert [each["port"] for each in cluster["brokers"]] == [broker.port]
    assert admin.list_config_resources()["broker"] == ["1"]
    assert admin.list_partition_reassignments() == {}
