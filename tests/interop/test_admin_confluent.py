"""confluent-kafka's AdminClient against a broker process."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from headrace.api.wire.api_keys import ApiKey
from tests.support.broker_process import BrokerProcess
from tests.support.requests import Requester

DEADLINE_S = 60


@pytest.fixture(scope="module")
def admin(broker: BrokerProcess) -> AdminClient:
    """One for all tests: it is not torn down while its threads may still be calling back."""
    return AdminClient({"bootstrap.servers": broker.bootstrap})


def results(futures: dict[Any, "Future[Any]"]) -> dict[Any, Any]:
    return {key: future.result(DEADLINE_S) for key, future in futures.items()}


def error_of(future: "Future[Any]") -> int:
    """The code that the future failed with."""
    with pytest.raises(KafkaException) as caught:
        future.result(DEADLINE_S)
    code: int = caught.value.args[0].code()
    return code


def create(admin: AdminClient, name: str, partitions: int = 1, **config: str) -> None:
    settings = {key.replace("_", "."): value for key, value in config.items()}
    results(admin.create_topics([NewTopic(name, partitions, 1, config=settings)]))


def described(admin: AdminClient, kind: ResourceType, name: str) -> dict[str, Any]:
    resource = ConfigResource(kind, name)
    described: dict[str, Any] = admin.describe_configs([resource])[resource].result(DEADLINE_S)
    return described


def test_topics_are_created_grown_and_deleted(admin: AdminClient) -> None:
    create(admin, "made", 2)
    assert len(admin.list_topics(timeout=DEADLINE_S).topics["made"].partitions) == 2
    results(admin.create_partitions([NewPartitions("made", 5)]))
    assert len(admin.list_topics(timeout=DEADLINE_S).topics["made"].partitions) == 5
    results(admin.delete_topics(["made"]))
    assert "made" not in admin.list_topics(timeout=DEADLINE_S).topics


def test_refusals_carry_kafkas_codes(admin: AdminClient) -> None:
    create(admin, "refused")
    wrong = {
        "refused": (NewTopic("refused", 1, 1), KafkaError.TOPIC_ALREADY_EXISTS),
        "bad name": (NewTopic("bad name", 1, 1), KafkaError.TOPIC_EXCEPTION),
        "three": (NewTopic("three", 1, 3), KafkaError.INVALID_REPLICATION_FACTOR),
        "odd": (NewTopic("odd", 1, 1, config={"no.such": "1"}), KafkaError.INVALID_CONFIG),
    }
    futures = admin.create_topics([topic for topic, _ in wrong.values()])
    assert {name: error_of(future) for name, future in futures.items()} == {
        name: code for name, (_, code) in wrong.items()
    }
    gone = admin.delete_topics(["never.was"])["never.was"]
    assert error_of(gone) == KafkaError.UNKNOWN_TOPIC_OR_PART
    grown = admin.create_partitions([NewPartitions("refused", 1)])["refused"]
    assert error_of(grown) == KafkaError.INVALID_PARTITIONS


def test_validate_only_creates_nothing(admin: AdminClient) -> None:
    results(admin.create_topics([NewTopic("only.checked", 1, 1)], validate_only=True))
    assert "only.checked" not in admin.list_topics(timeout=DEADLINE_S).topics


def test_topic_settings_are_described_with_their_source_and_altered(admin: AdminClient) -> None:
    create(admin, "settings", cleanup_policy="compact")
    before = described(admin, ResourceType.TOPIC, "settings")
    assert (before["cleanup.policy"].value, before["cleanup.policy"].source) == ("compact", 1)
    assert (before["retention.ms"].value, before["retention.ms"].source) == ("604800000", 5)
    change = ConfigResource(
        ResourceType.TOPIC,
        "settings",
        incremental_configs=[
            ConfigEntry("retention.ms", "1234", incremental_operation=AlterConfigOpType.SET),
            ConfigEntry("cleanup.policy", None, incremental_operation=AlterConfigOpType.DELETE),
        ],
    )
    results(admin.incremental_alter_configs([change]))
    after = described(admin, ResourceType.TOPIC, "settings")
    assert (after["retention.ms"].value, after["cleanup.policy"].value) == ("1234", "delete")
    bad = ConfigResource(
        ResourceType.TOPIC,
        "settings",
        incremental_configs=[
            ConfigEntry("retention.ms", "soon", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    assert error_of(admin.incremental_alter_configs([bad])[bad]) == KafkaError.INVALID_CONFIG


def test_dynamic_broker_setting_becomes_the_default_of_topics(admin: AdminClient) -> None:
    create(admin, "inherits")
    broker = described(admin, ResourceType.BROKER, "1")
    assert broker["num.partitions"].value == "1"
    assert broker["num.partitions"].is_read_only
    for operation, expected in (
        (AlterConfigOpType.SET, "2222222"),
        (AlterConfigOpType.DELETE, "1048588"),
    ):
        value = expected if operation == AlterConfigOpType.SET else None
        entry = ConfigEntry("message.max.bytes", value, incremental_operation=operation)
        change = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
        results(admin.incremental_alter_configs([change]))
        topic = described(admin, ResourceType.TOPIC, "inherits")
        assert topic["max.message.bytes"].value == expected


def test_records_are_deleted_up_to_an_offset(admin: AdminClient, broker: BrokerProcess) -> None:
    create(admin, "shortened")
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})
    for number in range(10):
        producer.produce("shortened", str(number).encode(), partition=0)
    assert producer.flush(DEADLINE_S) == 0
    up_to = TopicPartition("shortened", 0, 4)
    (answer,) = results(admin.delete_records([up_to])).values()
    assert answer.low_watermark == 4
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "unused"})
    try:
        watermarks = consumer.get_watermark_offsets(TopicPartition("shortened", 0), DEADLINE_S)
    finally:
        consumer.close()
    assert watermarks == (4, 10)
    beyond = TopicPartition("shortened", 0, 11)
    assert error_of(admin.delete_records([beyond])[beyond]) == KafkaError.OFFSET_OUT_OF_RANGE


def test_cluster_topics_and_offsets_are_described(
    admin: AdminClient, broker: BrokerProcess
) -> None:
    from confluent_kafka import TopicCollection

    create(admin, "told", 2)
    cluster = admin.describe_cluster().result(DEADLINE_S)
    assert cluster.controller.id == 1
    assert [f"{node.host}:{node.port}" for node in cluster.nodes] == [broker.bootstrap]
    topic = results(admin.describe_topics(TopicCollection(["told"])))["told"]
    assert [(each.id, each.leader.id, len(each.isr)) for each in topic.partitions] == [
        (0, 1, 1),
        (1, 1, 1),
    ]
    asked = {TopicPartition("told", 0): OffsetSpec.latest()}
    (offset,) = results(admin.list_offsets(asked)).values()
    assert offset.offset == 0


def test_idempotent_producer_gets_its_id(broker: BrokerProcess, admin: AdminClient) -> None:
    create(admin, "once")
    producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True})
    errors: list[Any] = []
    for number in range(100):
        producer.produce(
            "once", str(number).encode(), on_delivery=lambda error, _: errors.append(error)
        )
    assert producer.flush(DEADLINE_S) == 0
    assert errors == [None] * 100


def test_transactional_producer_is_refused_at_once(broker: BrokerProcess) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "tx"})
    with pytest.raises(KafkaException) as caught:
        producer.init_transactions(DEADLINE_S)
    assert caught.value.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert caught.value.args[0].fatal()


def test_dynamic_limit_of_connections_holds_at_once(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        entry = ConfigEntry(
            "max.connections.per.ip.overrides",
            "127.0.0.1:1",
            incremental_operation=AlterConfigOpType.SET,
        )
        change = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
        results(admin.incremental_alter_configs([change]))
        with pytest.raises(ConnectionError), Requester(broker.port) as requester:
            requester.ask(ApiKey.METADATA, 12, {"topics": []})
