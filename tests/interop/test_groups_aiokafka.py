"""aiokafka consumer groups: two members in one event loop, commits, and a killed broker."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from tests.support.broker_process import BrokerProcess
from tests.support.requests import Requester

DEADLINE_S = 60


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 2 * DEADLINE_S))


async def produce(broker: BrokerProcess, topic: str, partitions: int, each: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    try:
        for partition in range(partitions):
            for number in range(each):
                value = f"{partition}/{number}".encode()
                await producer.send_and_wait(topic, value, partition=partition)
    finally:
        await producer.stop()


async def member(broker: BrokerProcess, group: str, topic: str) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=30_000,
        heartbeat_interval_ms=200,
        metadata_max_age_ms=1000,
        request_timeout_ms=40_000,
    )
    await consumer.start()
    return consumer


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.02)


async def take(consumer: AIOKafkaConsumer, count: int) -> list[bytes]:
    values: list[bytes] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(values) < count:
            batches = await consumer.getmany(timeout_ms=500)
            values += [record.value for records in batches.values() for record in records]
    return values


def test_two_members_share_and_one_inherits(broker: BrokerProcess) -> None:
    async def story() -> None:
        with Requester(broker.port) as requester:
            requester.create_topics({"aio-share": 4})
        first = await member(broker, "aio-share", "aio-share")
        second = await member(broker, "aio-share", "aio-share")
        try:
            await wait_until(lambda: len(first.assignment()) == len(second.assignment()) == 2)
            await second.stop()
            await wait_until(lambda: len(first.assignment()) == 4)
        finally:
            await second.stop()
            await first.stop()

    run(story())


def test_a_commit_is_where_the_next_member_begins(broker: BrokerProcess) -> None:
    async def story() -> None:
        partition = TopicPartition("aio-commit", 0)
        with Requester(broker.port) as requester:
            requester.create_topics({"aio-commit": 1})
        await produce(broker, "aio-commit", 1, 10)
        first = await member(broker, "aio-commit", "aio-commit")
        try:
            assert len(await take(first, 10)) == 10
            await first.commit({partition: OffsetAndMetadata(4, "note")})
            assert await first.committed(partition) == 4
        finally:
            await first.stop()
        second = await member(broker, "aio-commit", "aio-commit")
        try:
            assert (await take(second, 6))[0] == b"0/4"
        finally:
            await second.stop()
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        try:
            assert ("aio-commit", "consumer") in await admin.list_consumer_groups()
            offsets = await admin.list_consumer_group_offsets("aio-commit")
            assert offsets[partition] == OffsetAndMetadata(4, "note")
        finally:
            await admin.close()

    run(story())


def test_a_member_goes_on_after_its_broker_was_killed(tmp_path: Path) -> None:
    async def story() -> None:
        with BrokerProcess(tmp_path, topics={"aio-kill": 2}) as broker:
            await produce(broker, "aio-kill", 2, 5)
            consumer = await member(broker, "g", "aio-kill")
            try:
                assert len(await take(consumer, 10)) == 10
                await consumer.commit()
                await asyncio.to_thread(broker.restart)
                await produce(broker, "aio-kill", 2, 1)
                assert sorted(await take(consumer, 2)) == [b"0/0", b"1/0"]
                await consumer.commit()
                for partition in consumer.assignment():
                    assert await consumer.committed(partition) == 6
            finally:
                await consumer.stop()

    run(story())
