"""A broker that is stopped in its tracks (SIGSTOP) and goes on: clients only see a delay."""

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from tests.support.broker_process import BrokerProcess
from tests.support.requests import Requester
from tests.support.stored_records import create_topic, fetch_all

NONE = 0
PAUSES = 6
RECORDS = 3000
WITHIN_S = 60.0


@contextmanager
def paused_now_and_then(broker: BrokerProcess) -> Iterator[None]:
    """Pauses of up to half a second, at moments that a seed draws."""
    chance = random.Random(20261125)
    ended = threading.Event()

    def pause() -> None:
        for _ in range(PAUSES):
            ended.wait(chance.uniform(0.0, 0.2))
            os.kill(broker.pid, signal.SIGSTOP)
            ended.wait(chance.uniform(0.05, 0.5))
            os.kill(broker.pid, signal.SIGCONT)

    thread = threading.Thread(target=pause)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.mark.interop
def test_pauses_lose_nothing_repeat_nothing_and_keep_the_group(tmp_path: Path) -> None:
    delivered: list[int] = []
    failures: list[str] = []

    def on_delivery(error: object, message: object) -> None:
        if error is None:
            delivered.append(int(message.value()))  # type: ignore[attr-defined]
        else:
            failures.append(str(error))

    with BrokerProcess(tmp_path) as broker:
        with Requester(broker.port) as requester:
            assert create_topic(requester, "clicks")[0] == NONE
        settings = {"bootstrap.servers": broker.bootstrap}
        consumer = Consumer(
            {**settings, "group.id": "readers", "auto.offset.reset": "earliest"}, logger=None
        )
        consumer.subscribe(["clicks"])
        producer = Producer({**settings, "enable.idempotence": True, "linger.ms": 1}, logger=None)
        consumed: list[int] = []
        with paused_now_and_then(broker):
            for number in range(RECORDS):
                producer.produce("clicks", str(number).encode(), on_delivery=on_delivery)
                producer.poll(0.001 if number % 5 == 0 else 0)
            assert producer.flush(WITHIN_S) == 0
        while len(consumed) < RECORDS:
            message = consumer.poll(WITHIN_S)
            assert message is not None, f"nothing came after {len(consumed)} records"
            assert message.error() is None, message.error()
            consumed.append(int(message.value() or b""))
        consumer.commit(asynchronous=False)
        consumer.close()
        with Requester(broker.port) as requester:
            stored = [int(value or b"") for value in fetch_all(requester, "clicks").values()]
    assert not failures
    assert delivered == stored == consumed == list(range(RECORDS))
