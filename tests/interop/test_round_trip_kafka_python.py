"""kafka-python against a broker process."""

from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.support.broker_process import BrokerProcess
from tests.support.sample_records import CODECS, SampleRecord, sample_records

DEADLINE_S = 60


def produce(broker: BrokerProcess, topic: str, records: list[SampleRecord], **config: Any) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=20, **config)
    try:
        futures = [
            producer.send(
                topic,
                value=record.value,
                key=record.key,
                headers=list(record.headers),
                partition=0,
                timestamp_ms=record.timestamp_ms,
            )
            for record in records
        ]
        for future in futures:
            future.get(timeout=DEADLINE_S)
    finally:
        producer.close(timeout=DEADLINE_S)


def consume(broker: BrokerProcess, topic: str, count: int) -> list[Any]:
    consumer = KafkaConsumer(
        bootstrap_servers=broker.bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        check_crcs=True,
        consumer_timeout_ms=DEADLINE_S * 1000,
    )
    try:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek_to_beginning()
        found: list[Any] = []
        for message in consumer:
            found.append(message)
            if len(found) == count:
                break
        return found
    finally:
        consumer.close()


def as_record(message: Any) -> SampleRecord:
    return SampleRecord(message.key, message.value, tuple(message.headers), message.timestamp)


def sendable_records() -> list[SampleRecord]:
    """Those that this client lets through: no header without a value, and a key or a value."""
    return [
        record
        for record in sample_records()
        if all(value is not None for _, value in record.headers)
        and (record.key, record.value) != (None, None)
    ]


@pytest.mark.parametrize("codec", CODECS)
def test_records_come_back_unchanged(broker: BrokerProcess, codec: str) -> None:
    topic = f"kafka-python-{codec}"
    compression = None if codec == "none" else codec
    records = sendable_records()
    produce(broker, topic, records, compression_type=compression, acks="all")
    assert [as_record(message) for message in consume(broker, topic, len(records))] == records


def test_beginning_and_end_offsets(broker: BrokerProcess) -> None:
    records = [SampleRecord(None, b"x", (), 1_700_000_000_000 + 10 * n) for n in range(20)]
    produce(broker, "kafka-python-ends", records, acks=1)
    partition = TopicPartition("kafka-python-ends", 0)
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap)
    try:
        assert consumer.beginning_offsets([partition]) == {partition: 0}
        assert consumer.end_offsets([partition]) == {partition: 20}
        found = consumer.offsets_for_times({partition: 1_700_000_000_055})[partition]
        assert (found.offset, found.timestamp) == (6, 1_700_000_000_060)
    finally:
        consumer.close()
