"""confluent-kafka (librdkafka) against a broker process: what goes in comes out."""

from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from tests.support.broker_process import BrokerProcess
from tests.support.sample_records import CODECS, SampleRecord, sample_records

DEADLINE_S = 60


def produce(broker: BrokerProcess, topic: str, records: list[SampleRecord], **config: Any) -> None:
    """Produce to partition 0 and fail the test if any delivery failed."""
    errors: list[KafkaError] = []
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "linger.ms": 20}
        | {name.replace("_", "."): value for name, value in config.items()}
    )
    for record in records:
        producer.produce(
            topic,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            timestamp=record.timestamp_ms,
            partition=0,
            on_delivery=lambda error, message: errors.append(error) if error else None,
        )
    assert producer.flush(DEADLINE_S) == 0
    assert errors == []


def consume(broker: BrokerProcess, topic: str, count: int, **config: Any) -> list[Any]:
    """`count` messages of partition 0 from its beginning."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "check.crcs": True,
        }
        | {name.replace("_", "."): value for name, value in config.items()}
    )
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        messages: list[Any] = []
        while len(messages) < count:
            more = consumer.consume(count - len(messages), timeout=DEADLINE_S)
            assert more, f"{len(messages)} of {count} arrived"
            messages += more
    finally:
        consumer.close()
    assert [message.error() for message in messages] == [None] * count
    return messages


def as_record(message: Any) -> SampleRecord:
    headers = tuple((name, value) for name, value in message.headers() or ())
    return SampleRecord(message.key(), message.value(), headers, message.timestamp()[1])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("acks", ["1", "all"])
def test_records_come_back_unchanged(broker: BrokerProcess, codec: str, acks: str) -> None:
    topic = f"confluent-{codec}-{acks}"
    produce(broker, topic, sample_records(), compression_type=codec, acks=acks)
    messages = consume(broker, topic, len(sample_records()))
    assert [as_record(message) for message in messages] == sample_records()
    assert [message.offset() for message in messages] == list(range(len(messages)))


def test_idempotent_producer_delivers_in_order(broker: BrokerProcess) -> None:
    records = [SampleRecord(None, str(number).encode()) for number in range(5000)]
    produce(broker, "confluent-idempotent", records, enable_idempotence=True, batch_size=1000)
    messages = consume(broker, "confluent-idempotent", len(records))
    assert [message.value() for message in messages] == [record.value for record in records]


def test_acks_0_delivers_without_answers(broker: BrokerProcess) -> None:
    records = [SampleRecord(None, str(number).encode()) for number in range(100)]
    produce(broker, "confluent-acks-0", records[:1])
    produce(broker, "confluent-acks-0", records, acks="0")
    messages = consume(broker, "confluent-acks-0", len(records) + 1)
    assert messages[-1].value() == b"99"


def test_offsets_for_times_and_watermarks(broker: BrokerProcess) -> None:
    topic = "confluent-times"
    records = [SampleRecord(None, b"x", (), 1_700_000_000_000 + 10 * n) for n in range(20)]
    produce(broker, topic, records)
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "unused"})
    try:
        assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=DEADLINE_S) == (
            0,
            20,
        )
        asked = [TopicPartition(topic, 0, 1_700_000_000_055)]
        assert consumer.offsets_for_times(asked, timeout=DEADLINE_S)[0].offset == 6
    finally:
        consumer.close()


def test_offset_outside_the_log_is_reset(broker: BrokerProcess) -> None:
    produce(broker, "confluent-reset", sample_records())
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "unused",
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.assign([TopicPartition("confluent-reset", 0, 1_000_000)])
        message = consumer.poll(DEADLINE_S)
        assert message is not None
        assert message.offset() == 0
    finally:
        consumer.close()


def test_record_of_a_megabyte_arrives_through_small_fetches(broker: BrokerProcess) -> None:
    records = [SampleRecord(None, bytes([number]) * 900_000) for number in range(4)]
    produce(broker, "confluent-large", records)
    messages = consume(
        broker, "confluent-large", 4, fetch_message_max_bytes=1000, fetch_max_bytes=1_000_000
    )
    assert [message.value() for message in messages] == [record.value for record in records]
