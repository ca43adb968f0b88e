"""aiokafka against a broker process: it speaks the oldest versions of all clients here."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.support.broker_process import BrokerProcess
from tests.support.sample_records import CODECS, SampleRecord, sample_records

DEADLINE_S = 60


def run(scenario: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(scenario, DEADLINE_S))


async def produce(
    broker: BrokerProcess, topic: str, records: list[SampleRecord], **config: Any
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, **config)
    await producer.start()
    try:
        deliveries = [
            await producer.send(
                topic,
                value=record.value,
                key=record.key,
                headers=list(record.headers),
                partition=0,
                timestamp_ms=record.timestamp_ms,
            )
            for record in records
        ]
        await asyncio.gather(*deliveries)
    finally:
        await producer.stop()


async def consume(broker: BrokerProcess, topic: str, count: int) -> list[Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", check_crcs=True
    )
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


def as_record(message: Any) -> SampleRecord:
    return SampleRecord(message.key, message.value, tuple(message.headers), message.timestamp)


def sendable_records() -> list[SampleRecord]:
    """Those that this client lets through: it wants a key or a value."""
    return [record for record in sample_records() if (record.key, record.value) != (None, None)]


@pytest.mark.parametrize("codec", CODECS)
def test_records_come_back_unchanged(broker: BrokerProcess, codec: str) -> None:
    topic = f"aiokafka-{codec}"

    async def scenario() -> list[Any]:
        compression = None if codec == "none" else codec
        await produce(broker, topic, sendable_records(), compression_type=compression, acks="all")
        return await consume(broker, topic, len(sendable_records()))

    assert [as_record(message) for message in run(scenario())] == sendable_records()


def test_idempotent_producer_delivers_in_order(broker: BrokerProcess) -> None:
    records = [SampleRecord(None, str(number).encode()) for number in range(2000)]

    async def scenario() -> list[Any]:
        await produce(broker, "aiokafka-idempotent", records, enable_idempotence=True)
        return await consume(broker, "aiokafka-idempotent", len(records))

    assert [message.value for message in run(scenario())] == [record.value for record in records]


def test_waiting_consumer_gets_a_record_as_soon_as_it_is_produced(broker: BrokerProcess) -> None:
    async def scenario() -> Any:
        await produce(broker, "aiokafka-wait", [SampleRecord(None, b"first")])
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, fetch_max_wait_ms=35_000)
        await consumer.start()
        try:
            partition = TopicPartition("aiokafka-wait", 0)
            consumer.assign([partition])
            consumer.seek(partition, 1)
            waiting = asyncio.create_task(consumer.getone())
            await asyncio.sleep(0)
            await produce(broker, "aiokafka-wait", [SampleRecord(None, b"second")])
            return await asyncio.wait_for(waiting, 25)
        finally:
            await consumer.stop()

    assert run(scenario()).value == b"second"
