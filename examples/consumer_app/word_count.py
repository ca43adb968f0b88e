"""A small consumer application: counts the words of a topic and produces the counts to another."""

import json
from collections import Counter

from confluent_kafka import Consumer, Producer

DEADLINE_S = 60.0


def count_words(bootstrap: str, *, messages: int) -> Counter[str]:
    """Consume so many messages of `lines`, and produce their words' counts to `counts`."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "word-count",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    counts: Counter[str] = Counter()
    try:
        consumer.subscribe(["lines"])
        for message in consumer.consume(messages, DEADLINE_S):
            counts.update((message.value() or b"").decode().split())
        producer = Producer({"bootstrap.servers": bootstrap})
        for word, count in counts.items():
            producer.produce("counts", json.dumps(count).encode(), key=word.encode())
        producer.flush(DEADLINE_S)
        consumer.commit(asynchronous=False)
    finally:
        consumer.close()
    return counts
