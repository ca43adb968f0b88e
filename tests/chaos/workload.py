"""Clients that write, read and commit while brokers die, and note everything in a `History`."""

import contextlib
import threading
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.support.history import (
    Committed,
    History,
    Outcome,
    Partition,
    Seen,
    Send,
    now_s,
    value_of,
)

# Refusals that say for certain that nothing was written.
NOT_WRITTEN = {"NOT_ENOUGH_REPLICAS", "TOPIC_AUTHORIZATION_FAILED", "_QUEUE_FULL"}
FINISH_WITHIN_S = 90.0
# A client that shall move within a second must not wait for an answer any longer than that.
QUICK = {
    "log_level": 0,
    "socket.timeout.ms": 1_000,
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 200,
    "topic.metadata.refresh.fast.interval.ms": 50,
    "topic.metadata.refresh.interval.ms": 10_000,
    "socket.connection.setup.timeout.ms": 1_000,
    "broker.address.ttl": 0,
}


class NumberedProducer:
    """Writes `producer:number` to partitions in turn; each send ends in the history."""

    def __init__(
        self,
        history: History,
        name: str,
        bootstrap: str,
        partitions: Sequence[Partition],
        *,
        is_idempotent: bool,
        pause_s: float = 0.02,
    ) -> None:
        self._history = history
        self._name = name
        self._partitions = partitions
        self._pause_s = pause_s
        self._stop = threading.Event()
        if is_idempotent:
            history.idempotent.add(name)
        self._producer = Producer(
            QUICK
            | {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": is_idempotent,
                "linger.ms": 2,
                "message.timeout.ms": int(FINISH_WITHIN_S * 1000),
                "request.timeout.ms": 1_000,
                "retry.backoff.ms": 20,
                "retry.backoff.max.ms": 100,
                "max.in.flight.requests.per.connection": 5 if is_idempotent else 1,
            },
            logger=None,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            partition = self._partitions[number % len(self._partitions)]
            self._produce(number, partition)
            number += 1
            self._producer.poll(0)
            if number % len(self._partitions) == 0:
                self._stop.wait(self._pause_s)

    def _produce(self, number: int, partition: Partition) -> None:
        invoked_s = now_s()

        def on_delivery(error: Any, message: Any) -> None:
            outcome, offset = Outcome.OK, -1
            if error is None:
                # None: an old duplicate, which the broker had and whose offset it no longer knows.
                told = message.offset()
                offset = -1 if told is None else told
            else:
                outcome = Outcome.FAILED if error.name() in NOT_WRITTEN else Outcome.UNKNOWN
            send = Send(self._name, number, partition, outcome, invoked_s, now_s(), offset)
            self._history.note_send(send)

        while True:
            try:
                self._producer.produce(
                    partition[0],
                    value_of(self._name, number),
                    partition=partition[1],
                    on_delivery=on_delivery,
                )
                return
            except BufferError:
                self._producer.poll(0.05)

    def finish(self) -> int:
        """Sends no more and waits for what is under way; how many nobody can tell about."""
        self._stop.set()
        self._thread.join(FINISH_WITHIN_S)
        return int(self._producer.flush(FINISH_WITHIN_S))


class GroupReader:
    """A member of a consumer group that reads, commits and notes what it saw."""

    def __init__(
        self, history: History, name: str, bootstrap: str, topics: Sequence[str], group: str
    ) -> None:
        self._history = history
        self._name = name
        self._topics = list(topics)
        self._stop = threading.Event()
        self.count = 0
        self._consumer = Consumer(
            QUICK
            | {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "auto.offset.reset": "earliest",
                # One commit at a time: of several under way when a broker dies, the client may send
                # an older one again behind a newer one.
                "enable.auto.commit": False,
                "session.timeout.ms": 10_000,
                "heartbeat.interval.ms": 500,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 50,
            },
            logger=None,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._consumer.subscribe(self._topics)
        while not self._stop.is_set():
            messages = self._consumer.consume(200, 0.1)
            seen = [
                Seen(self._name, (each.topic(), each.partition()), each.offset(), each.value())
                for each in messages
                if each.error() is None
            ]
            self.count += len(seen)
            self._history.note_seen(seen)
            if seen:
                self._commit()
        self._consumer.close()

    def _commit(self) -> None:
        # Refused after a rebalance, unanswered when the coordinator dies: the next one says more.
        with contextlib.suppress(KafkaException):
            self._consumer.commit(asynchronous=False)

    def finish(self) -> None:
        self._stop.set()
        self._thread.join(FINISH_WITHIN_S)


class OffsetWatch:
    """Asks the coordinator again and again what a group has committed."""

    def __init__(
        self, history: History, bootstrap: str, partitions: Sequence[Partition], group: str
    ) -> None:
        self._history = history
        self._group = group
        self._asked = [TopicPartition(*partition) for partition in partitions]
        self._stop = threading.Event()
        self._consumer = Consumer(
            QUICK
            | {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False},
            logger=None,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            try:
                answers = self._consumer.committed(self._asked, timeout=2)
            except KafkaException:  # the coordinator is being replaced: ask again
                continue
            for answer in answers:
                if answer.error is None and answer.offset >= 0:
                    partition = (answer.topic, answer.partition)
                    self._history.note_committed(Committed(self._group, partition, answer.offset))
        self._consumer.close()

    def finish(self) -> None:
        self._stop.set()
        self._thread.join(FINISH_WITHIN_S)


def read_all(bootstrap: str, partition: Partition) -> dict[int, bytes]:
    """Offset -> value of everything in a partition, from its start to its end."""
    consumer = Consumer(
        QUICK | {"bootstrap.servers": bootstrap, "group.id": "final", "enable.partition.eof": True},
        logger=None,
    )
    consumer.assign([TopicPartition(*partition, 0)])
    found: dict[int, bytes] = {}
    deadline_s = now_s() + FINISH_WITHIN_S
    try:
        while now_s() < deadline_s:
            for message in consumer.consume(1_000, 1.0):
                if message.error() is None:
                    found[message.offset()] = message.value()
                elif message.error().name() == "_PARTITION_EOF":
                    return found
        raise AssertionError(f"{partition} was not read to its end in {FINISH_WITHIN_S} s")
    finally:
        consumer.close()
