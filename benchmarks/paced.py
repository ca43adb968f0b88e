"""Messages at a fixed rate with confluent-kafka: an open loop, each timed from when it was due.

Who sends and who receives sleep until there is something to do.  A client that asks again and
again takes one of two cores from the brokers that it waits for, and times its own scheduler.
"""

import ctypes
import struct
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from .peers.install import PeerUnavailableError
from .peers.peer import RunningPeer
from .topics import QUIET

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

MESSAGES_A_SECOND = 1000
LEAD_S = 0.2
LOST_AFTER_S = 20.0
SET_TIMER_SLACK = 29  # of prctl; the kernel may else be 50 us late with a thread that sleeps
SLACK_NS = 1


def paced_latencies(peer: RunningPeer, topic: str, total: int) -> list[float]:
    """Seconds from when each of `total` messages was due, 1,000 a second, to when it was seen."""
    from confluent_kafka import Consumer, Producer, TopicPartition

    settings = {"bootstrap.servers": peer.bootstrap, "log_level": QUIET}
    consumer = Consumer(settings | {"group.id": "latency", "fetch.wait.max.ms": "500"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    wait_for_coordinator(consumer, TopicPartition(topic, 0))
    producer = Producer(settings | {"linger.ms": "0", "acks": "all"})
    with ThreadPoolExecutor(1) as sender:
        start_s = time.perf_counter() + LEAD_S
        sending = sender.submit(_send_paced, producer, topic, start_s, total)
        taken_s = _receive(consumer, sending, start_s, total)
    sending.result()
    consumer.close()
    return taken_s


def wait_for_coordinator(consumer: "Consumer", partition: "TopicPartition") -> None:
    """Has the topic of the groups' offsets made, 50 partitions of it, before anything is due.

    Kafka's coordinator answers NOT_COORDINATOR for a moment where it has only just been elected.
    """
    from confluent_kafka import KafkaError, KafkaException

    settles = {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS}
    deadline = time.perf_counter() + 30
    while True:
        try:
            consumer.committed([partition], timeout=30)
        except KafkaException as error:
            if error.args[0].code() not in settles or time.perf_counter() > deadline:
                raise
            consumer.poll(0.1)
        else:
            return


def _send_paced(producer: Any, topic: str, start_s: float, total: int) -> None:
    """Hand each message over when it is due, with that moment in it."""
    ctypes.CDLL(None).prctl(SET_TIMER_SLACK, SLACK_NS, 0, 0, 0)  # of this thread alone
    for number in range(total):
        due_s = start_s + number / MESSAGES_A_SECOND
        early_s = due_s - time.perf_counter()
        if early_s > 0:
            time.sleep(early_s)
        producer.produce(topic, struct.pack(">d", due_s))
        producer.poll(0)
    producer.flush(LOST_AFTER_S)


def _receive(consumer: Any, sending: Future[None], start_s: float, total: int) -> list[float]:
    """Wait for all of them, or for what keeps the sender from sending."""
    ends_s = start_s + total / MESSAGES_A_SECOND + LOST_AFTER_S
    taken_s: list[float] = []
    while len(taken_s) < total:
        message = consumer.poll(1.0)  # below a millisecond it would not wait at all
        now_s = time.perf_counter()
        if message is not None and message.error() is None:
            (due_s,) = struct.unpack(">d", message.value() or b"")
            taken_s.append(now_s - due_s)
        elif sending.done():
            sending.result()
        if now_s > ends_s:
            raise PeerUnavailableError(f"latency: {len(taken_s)} of {total} messages came back")
    return taken_s
