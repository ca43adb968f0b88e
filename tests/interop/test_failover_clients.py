"""Unmodified clients go on through the death of leaders: nothing lost, twice or out of order."""

import asyncio
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Producer
from kafka import KafkaConsumer, KafkaProducer

from tests.chaos.workload import QUICK, read_all
from tests.support.cluster_processes import ClusterProcesses, wait_until
from tests.support.kafka_java import JVM_FLAGS, kafka_classpath

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 2
RECORDS = 1_500
WITHIN_S = 90.0
KILLED_WITHIN_S = 300.0  # each of its steps has a deadline of its own
TOOLS = "org.apache.kafka.tools"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterProcesses]:
    with ClusterProcesses(tmp_path_factory.mktemp("cluster")) as running:
        yield running


class Kills:
    """Kills the leader of a topic KILLS times, at given marks of progress, and starts it again."""

    def __init__(self, cluster: ClusterProcesses, topic: str, progress: Callable[[], int]) -> None:
        self._cluster = cluster
        self._topic = topic
        self._progress = progress
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for number in range(KILLS):
                mark = RECORDS * (number + 1) // (KILLS + 1)
                wait_until(partial(self._has_sent, mark), f"{mark} sent")
                leader = self._cluster.wait_led(self._topic)
                self._cluster.kill(leader)
                wait_until(partial(self._is_led_by_another, leader), "another leader")
                self._cluster.start([leader])
                self._cluster.wait_in_sync([self._topic])
        except BaseException as error:
            self._failures.append(error)

    def _has_sent(self, mark: int) -> bool:
        return self._progress() >= mark

    def _is_led_by_another(self, dead: int) -> bool:
        try:
            return self._cluster.leader_of(self._topic) not in (-1, dead)
        except OSError:  # the broker that is asked is busy: ask again
            return False

    def finish(self) -> None:
        self._thread.join(KILLED_WITHIN_S)
        assert not self._thread.is_alive(), "the kills did not come to their end"
        if self._failures:
            raise self._failures[0]


def check(cluster: ClusterProcesses, topic: str, consumed: list[int]) -> None:
    """Everything is there once and in order, and that is what the consumer was given."""
    contents = read_all(cluster.bootstrap, (topic, 0))
    assert [int(contents[offset]) for offset in sorted(contents)] == list(range(RECORDS))
    # A group that loses its coordinator between reading and committing may read again.
    assert list(dict.fromkeys(consumed)) == list(range(RECORDS))


def test_confluent_kafka(cluster: ClusterProcesses) -> None:
    cluster.create_topic("confluent")
    delivered: list[Any] = []
    settings = QUICK | {"bootstrap.servers": cluster.bootstrap}
    producer = Producer({**settings, "enable.idempotence": True, "linger.ms": 1}, logger=None)
    kills = Kills(cluster, "confluent", lambda: len(delivered))
    for number in range(RECORDS):
        producer.produce(
            "confluent",
            str(number).encode(),
            on_delivery=lambda error, message: delivered.append(error),
        )
        producer.poll(0.001)
    assert producer.flush(WITHIN_S) == 0
    kills.finish()
    assert delivered == [None] * RECORDS
    consumer = Consumer(
        {**settings, "group.id": "confluent", "auto.offset.reset": "earliest"}, logger=None
    )
    consumer.subscribe(["confluent"])
    consumed: list[int] = []
    while len(consumed) < RECORDS:
        message = consumer.poll(WITHIN_S)
        assert message is not None
        assert message.error() is None, message.error()
        consumed.append(int(message.value() or b""))
    consumer.commit(asynchronous=False)
    consumer.close()
    check(cluster, "confluent", consumed)


def test_kafka_python(cluster: ClusterProcesses) -> None:
    cluster.create_topic("python")
    acknowledged: list[int] = []
    failures: list[BaseException] = []
    servers = cluster.bootstrap.split(",")
    producer = KafkaProducer(
        bootstrap_servers=servers,
        acks="all",
        enable_idempotence=True,
        linger_ms=1,
        request_timeout_ms=3_000,
        delivery_timeout_ms=int(WITHIN_S * 1000),
    )
    kills = Kills(cluster, "python", lambda: len(acknowledged))
    pace = threading.Event()
    for number in range(RECORDS):
        future = producer.send("python", str(number).encode(), partition=0)
        future.add_callback(lambda _, number=number: acknowledged.append(number))
        future.add_errback(failures.append)
        if number % 10 == 0:
            pace.wait(0.01)
    producer.flush(WITHIN_S)
    kills.finish()
    producer.close()
    assert not failures, failures[:3]
    consumer = KafkaConsumer(
        "python",
        bootstrap_servers=servers,
        group_id="python",
        auto_offset_reset="earliest",
        consumer_timeout_ms=int(WITHIN_S * 1000),
    )
    consumed: list[int] = []
    for record in consumer:
        consumed.append(int(record.value))
        if len(consumed) == RECORDS:
            break
    consumer.commit()
    consumer.close()
    check(cluster, "python", consumed)


def test_aiokafka(cluster: ClusterProcesses) -> None:
    cluster.create_topic("asyncio")
    asyncio.run(_aiokafka(cluster))


async def _aiokafka(cluster: ClusterProcesses) -> None:
    acknowledged: list[int] = []
    producer = AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap,
        enable_idempotence=True,
        # Also how long aiokafka keeps a record for a partition without a leader.
        request_timeout_ms=60_000,
        linger_ms=1,
        metadata_max_age_ms=1_000,
    )
    await producer.start()
    kills = Kills(cluster, "asyncio", lambda: len(acknowledged))
    futures = []
    for number in range(RECORDS):
        future = await producer.send("asyncio", str(number).encode(), partition=0)
        future.add_done_callback(lambda _, number=number: acknowledged.append(number))
        futures.append(future)
        if number % 10 == 0:
            await asyncio.sleep(0.01)
    await asyncio.wait_for(asyncio.gather(*futures), WITHIN_S)
    await asyncio.to_thread(kills.finish)
    await producer.stop()
    consumer = AIOKafkaConsumer(
        "asyncio",
        bootstrap_servers=cluster.bootstrap,
        group_id="asyncio",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    consumed: list[int] = []
    while len(consumed) < RECORDS:
        record = await asyncio.wait_for(consumer.getone(), WITHIN_S)
        consumed.append(int(record.value or b""))
    await consumer.commit()
    await consumer.stop()
    check(cluster, "asyncio", consumed)


@pytest.mark.java
def test_the_java_client(cluster: ClusterProcesses, tmp_path: Path) -> None:
    cluster.create_topic("java")
    acknowledged: list[int] = []
    settings = tmp_path / "producer.properties"
    # VerifiableProducer turns retries off, which no producer that cares does.
    settings.write_text("retries=2147483647\nenable.idempotence=true\nrequest.timeout.ms=3000\n")
    producer = start_java(
        "VerifiableProducer",
        *("--bootstrap-server", cluster.bootstrap, "--topic", "java"),
        *("--max-messages", str(RECORDS), "--throughput", "1000", "--acks", "-1"),
        *("--command-config", str(settings)),
    )
    kills = Kills(cluster, "java", lambda: len(acknowledged))
    for event in events(producer):
        assert event["name"] != "producer_send_error", event
        if event["name"] == "producer_send_success":
            acknowledged.append(int(event["value"]))
    assert producer.wait(WITHIN_S) == 0
    kills.finish()
    assert acknowledged == list(range(RECORDS))
    consumer = start_java(
        "VerifiableConsumer",
        *("--bootstrap-server", cluster.bootstrap, "--topic", "java", "--group-id", "java"),
        *("--max-messages", str(RECORDS), "--verbose", "--reset-policy", "earliest"),
    )
    consumed = [int(event["value"]) for event in events(consumer) if event["name"] == "record_data"]
    assert consumer.wait(WITHIN_S) == 0
    check(cluster, "java", consumed)


def start_java(tool: str, *arguments: str) -> "subprocess.Popen[str]":
    command = ["java", *JVM_FLAGS, "-cp", kafka_classpath(), f"{TOOLS}.{tool}", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def events(process: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            event: dict[str, Any] = json.loads(line)
            yield event
