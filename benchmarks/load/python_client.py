"""A load in Python: what the users of confluent-kafka and aiokafka feel.

    python python_client.py confluent|aiokafka produce|consume BOOTSTRAP TOPIC MESSAGES SIZE

One partition, defaults of the client but for acks=1, a linger of 5 ms and confluent's pause before
it fetches again once its queue was full: 10 ms for 1 s.  With a second, the faster a broker fills
the queue the longer a consumer waits: its rate says when the pauses fell.  One line of JSON.
"""

import asyncio
import json
import sys
import time

CONSUME_BATCH = 10_000
IDLE_LIMIT_S = 20


def confluent_produce(bootstrap: str, topic: str, messages: int, size: int) -> float:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "acks": "1", "linger.ms": "5"})
    failures: list[object] = []
    payload = bytes(size)

    def note(error: object, message: object) -> None:
        if error is not None:
            failures.append(error)

    start = time.perf_counter()
    for _ in range(messages):
        while True:
            try:
                producer.produce(topic, payload, on_delivery=note)
                break
            except BufferError:
                producer.poll(0.01)
    left = producer.flush(120)
    if left or failures:
        sys.exit(f"{left} messages left, {failures[:1]}")
    return time.perf_counter() - start


def confluent_consume(bootstrap: str, topic: str, messages: int, size: int) -> float:
    from confluent_kafka import Consumer, TopicPartition

    settings = {"bootstrap.servers": bootstrap, "group.id": f"python-{time.time_ns()}"}
    consumer = Consumer(settings | {"fetch.queue.backoff.ms": "10"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    # The clock starts with the first message, when the connection is there.
    seen = len(consumer.consume(1, timeout=IDLE_LIMIT_S))
    start = last = time.perf_counter()
    while seen < messages:
        # A whole batch is waited for, so the last one must not ask for more than there is.
        batch = consumer.consume(min(CONSUME_BATCH, messages - seen), timeout=0.5)
        now = time.perf_counter()
        if batch:
            last = now
        elif now - last > IDLE_LIMIT_S:
            sys.exit(f"{seen} of {messages} messages came")
        for message in batch:
            if message.error() is not None:
                sys.exit(str(message.error()))
            seen += len(message.value() or b"") > 0
    consumer.close()
    return last - start


async def aiokafka_produce(bootstrap: str, topic: str, messages: int, size: int) -> float:
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks=1, linger_ms=5)
    payload = bytes(size)
    await producer.start()
    try:
        start = time.perf_counter()
        last = None
        for _ in range(messages):
            last = await producer.send(topic, payload)
        await producer.flush()
        if last is not None:
            await last
        return time.perf_counter() - start
    finally:
        await producer.stop()


async def aiokafka_consume(bootstrap: str, topic: str, messages: int, size: int) -> float:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        async with asyncio.timeout(IDLE_LIMIT_S * 6):
            await consumer.getone()
            start, seen = time.perf_counter(), 1
            async for _ in consumer:
                seen += 1
                if seen == messages:
                    break
        return time.perf_counter() - start
    finally:
        await consumer.stop()


LOADS = {
    ("confluent", "produce"): confluent_produce,
    ("confluent", "consume"): confluent_consume,
    ("aiokafka", "produce"): lambda *load: asyncio.run(aiokafka_produce(*load)),
    ("aiokafka", "consume"): lambda *load: asyncio.run(aiokafka_consume(*load)),
}


def main() -> int:
    client, verb, bootstrap, topic, messages, size = sys.argv[1:]
    count = int(messages)
    seconds = LOADS[client, verb](bootstrap, topic, count, int(size))
    result = {"messages": count, "bytes": count * int(size), "seconds": seconds}
    print(json.dumps({"mode": f"{client} {verb}", **result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
