"""aiokafka's admin client, which speaks old versions, against a broker process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete

from tests.support.broker_process import BrokerProcess

TOPIC_ALREADY_EXISTS = 36
INVALID_CONFIG = 40


def run(broker: BrokerProcess, story: Callable[[Any], Awaitable[None]]) -> None:
    async def with_admin() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        try:
            await story(admin)
        finally:
            await admin.close()

    asyncio.run(with_admin())


def test_topics_are_created_grown_described_and_deleted(broker: BrokerProcess) -> None:
    async def story(admin: Any) -> None:
        created = await admin.create_topics([NewTopic("made", 2, 1)])
        assert [error[1] for error in created.topic_errors] == [0]
        again = await admin.create_topics([NewTopic("made", 2, 1)])
        assert [error[1] for error in again.topic_errors] == [TOPIC_ALREADY_EXISTS]
        await admin.create_partitions({"made": NewPartitions(3)})
        (topic,) = await admin.describe_topics(["made"])
        assert sorted(each["partition"] for each in topic["partitions"]) == [0, 1, 2]
        assert {each["leader"] for each in topic["partitions"]} == {1}
        await admin.delete_topics(["made"])
        assert "made" not in await admin.list_topics()

    run(broker, story)


def test_altered_settings_replace_those_before(broker: BrokerProcess) -> None:
    async def story(admin: Any) -> None:
        await admin.create_topics([NewTopic("settings", 1, 1, topic_configs={"segment.ms": "9"})])

        async def alter(**configs: str) -> int:
            named = {name.replace("_", "."): value for name, value in configs.items()}
            resource = ConfigResource(ConfigResourceType.TOPIC, "settings", configs=named)
            (answer,) = await admin.alter_configs([resource])
            code: int = answer.resources[0][0]
            return code

        assert await alter(retention_ms="1234") == 0
        assert await alter(retention_ms="soon") == INVALID_CONFIG
        asked = {"retention.ms": None, "segment.ms": None}
        resource = ConfigResource(ConfigResourceType.TOPIC, "settings", configs=asked)
        (answer,) = await admin.describe_configs([resource], include_synonyms=True)
        entries = {entry[0]: entry[1] for entry in answer.resources[0][4]}
        assert entries == {"retention.ms": "1234", "segment.ms": "604800000"}

    run(broker, story)


def test_records_are_deleted_after_idempotent_sends(broker: BrokerProcess) -> None:
    async def story(admin: Any) -> None:
        await admin.create_topics([NewTopic("shortened", 1, 1)])
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=True)
        await producer.start()
        try:
            for _ in range(5):
                await producer.send_and_wait("shortened", b"x")
        finally:
            await producer.stop()
        partition = TopicPartition("shortened", 0)
        deleted = await admin.delete_records({partition: RecordsToDelete(before_offset=3)})
        assert deleted == {partition: 3}

    run(broker, story)


def test_cluster_is_described(broker: BrokerProcess) -> None:
    async def story(admin: Any) -> None:
        cluster = await admin.describe_cluster()
        assert cluster["controller_id"] == 1
        assert [each["port"] for each in cluster["brokers"]] == [broker.port]

    run(broker, story)
