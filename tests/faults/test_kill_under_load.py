"""SIGKILL under load, again and again: nothing acknowledged is lost, nothing comes twice."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.support.broker_process import BrokerProcess

CYCLES = 50
PARTITIONS = 3
LOAD_S = (0.02, 0.25)


class Load:
    """A producer thread that numbers its records and keeps what was acknowledged, in order."""

    def __init__(self, bootstrap: str, topic: str, *, is_idempotent: bool) -> None:
        self.topic = topic
        self.acknowledged: dict[int, list[int]] = {index: [] for index in range(PARTITIONS)}
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": is_idempotent,
                "linger.ms": 1,
                "batch.num.messages": 50,
                "message.timeout.ms": 120_000,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 50,
                "retry.backoff.ms": 10,
                "retry.backoff.max.ms": 50,
                # Without idempotence order holds only with one request in flight.
                "max.in.flight.requests.per.connection": 5 if is_idempotent else 1,
            },
            logger=None,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _on_delivery(self, error: Any, message: Any) -> None:
        if error is not None:
            self.failures.append(error.str())
        else:
            self.acknowledged[message.partition()].append(int(message.value()))

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            try:
                self._producer.produce(
                    self.topic,
                    str(number).encode(),
                    partition=number % PARTITIONS,
                    on_delivery=self._on_delivery,
                )
                number += 1
            except BufferError:
                self._producer.poll(0.05)
            # A modest rate, so that the test is about kills and not about volume.
            self._producer.poll(0.001 if number % 20 == 0 else 0)

    def finish(self) -> None:
        """Stops sending and waits until everything sent is acknowledged."""
        self._stop.set()
        self._thread.join(60)
        assert self._producer.flush(60) == 0
        assert not self.failures, self.failures[:3]


def stored(bootstrap: str, topic: str, partition: int) -> Iterator[int]:
    """Every record of a partition from its beginning, as numbers."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "check", "enable.partition.eof": True},
        logger=None,
    )
    consumer.assign([TopicPartition(topic, partition, 0)])
    try:
        while True:
            message = consumer.poll(60)
            assert message is not None, "nothing came for 60 s"
            if message.error() is not None:
                return
            yield int(message.value() or b"")
    finally:
        consumer.close()


@pytest.mark.interop
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fifty_kills_lose_nothing_acknowledged_and_repeat_nothing(tmp_path: Path) -> None:
    seed = 20261123
    chance = random.Random(seed)
    pause = threading.Event()
    topics = {"plain": PARTITIONS, "exact": PARTITIONS}
    with BrokerProcess(tmp_path, topics=topics) as broker:
        plain = Load(broker.bootstrap, "plain", is_idempotent=False)
        exact = Load(broker.bootstrap, "exact", is_idempotent=True)
        for _ in range(CYCLES):
            # The moment of the kill is what varies: it is drawn, not waited for.
            pause.wait(chance.uniform(*LOAD_S))
            broker.restart()
        plain.finish()
        exact.finish()
        broker.restart()
        for index in range(PARTITIONS):
            check_exact(list(stored(broker.bootstrap, "exact", index)), exact.acknowledged[index])
            check_plain(list(stored(broker.bootstrap, "plain", index)), plain.acknowledged[index])


def check_exact(found: list[int], acknowledged: list[int]) -> None:
    """With idempotence: all of it, once, in order, and nothing that was never sent."""
    assert len(acknowledged) > CYCLES
    assert found == sorted(set(found)), "twice or out of order"
    assert found == acknowledged


def check_plain(found: list[int], acknowledged: list[int]) -> None:
    """Without: a retry may repeat a batch; nothing is lost, first copies keep their order."""
    assert len(acknowledged) > CYCLES
    assert set(acknowledged) <= set(found)
    first_copies = list(dict.fromkeys(found))
    assert first_copies == sorted(first_copies)
