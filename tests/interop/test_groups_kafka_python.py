"""kafka-python consumer groups: two members, commits, administration."""

import threading
import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from tests.support.broker_process import BrokerProcess
from tests.support.requests import Requester

DEADLINE_S = 60
# kafka-python 3.0 forgets a join that its I/O thread finishes after `poll` gave up: it joins again
# and again, or goes on as a member of a group to which it sends no heartbeats.  So a poll must
# outlast a rebalance, and nobody may wait for somebody else's poll.
POLL_MS = 2000


def make_topic(broker: BrokerProcess, topic: str, partitions: int, each: int) -> None:
    with Requester(broker.port) as requester:
        requester.create_topics({topic: partitions})
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    for partition in range(partitions):
        for number in range(each):
            producer.send(topic, f"{partition}/{number}".encode(), partition=partition)
    producer.flush(DEADLINE_S)
    producer.close()


def member(broker: BrokerProcess, topic: str, **config: Any) -> KafkaConsumer:
    return KafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap,
        group_id=topic,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=30_000,
        heartbeat_interval_ms=200,
        **config,
    )


def poll_until(condition: Callable[[], bool], *consumers: KafkaConsumer) -> None:
    """Poll each consumer in a thread of its own until the condition holds."""
    done = threading.Event()
    failures: list[BaseException] = []

    def keep_polling(consumer: KafkaConsumer) -> None:
        try:
            while not done.is_set():
                consumer.poll(timeout_ms=POLL_MS)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=keep_polling, args=(each,)) for each in consumers]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert not failures, failures
            assert time.monotonic() < deadline, [each.assignment() for each in consumers]
            done.wait(0.02)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures, failures


def take(consumer: KafkaConsumer, count: int) -> list[bytes]:
    values: list[bytes] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(values) < count:
        assert time.monotonic() < deadline, values
        batches = consumer.poll(timeout_ms=POLL_MS)
        values += [record.value for records in batches.values() for record in records]
    return values


def test_two_members_share_and_one_inherits(broker: BrokerProcess) -> None:
    make_topic(broker, "kp-share", 4, 0)
    first, second = member(broker, "kp-share"), member(broker, "kp-share")
    try:
        poll_until(lambda: len(first.assignment()) == len(second.assignment()) == 2, first, second)
        second.close()
        poll_until(lambda: len(first.assignment()) == 4, first)
    finally:
        first.close()


def test_a_static_member_that_restarts_keeps_its_partitions(broker: BrokerProcess) -> None:
    make_topic(broker, "kp-static", 4, 0)
    stays = member(broker, "kp-static", group_instance_id="a")
    goes = member(broker, "kp-static", group_instance_id="b")
    try:
        poll_until(lambda: len(stays.assignment()) == len(goes.assignment()) == 2, stays, goes)
        owned = goes.assignment()
        goes.close()
        again = member(broker, "kp-static", group_instance_id="b")
        try:
            poll_until(lambda: again.assignment() == owned, stays, again)
            assert len(stays.assignment()) == 2
        finally:
            again.close()
    finally:
        stays.close()


def test_a_commit_is_where_the_next_member_begins(broker: BrokerProcess) -> None:
    make_topic(broker, "kp-commit", 1, 10)
    partition = TopicPartition("kp-commit", 0)
    first = member(broker, "kp-commit")
    try:
        assert len(take(first, 10)) == 10
        first.commit({partition: OffsetAndMetadata(4, "note", -1)})
        assert first.committed(partition) == 4
        assert first.committed(partition, metadata=True).metadata == "note"
    finally:
        first.close()
    second = member(broker, "kp-commit")
    try:
        assert take(second, 6)[0] == b"0/4"
        second.seek_to_beginning(partition)
        assert take(second, 10)[0] == b"0/0"
    finally:
        second.close()


def test_groups_are_listed_described_and_deleted(broker: BrokerProcess) -> None:
    make_topic(broker, "kp-admin", 2, 1)
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    consumer = member(broker, "kp-admin", client_id="somebody")
    try:
        assert len(take(consumer, 2)) == 2
        consumer.commit()
        assert "kp-admin" in str(admin.list_groups())
        described = str(admin.describe_groups(["kp-admin"]))
        assert "Stable" in described
        assert "somebody" in described
    finally:
        consumer.close()
    offsets = admin.list_group_offsets("kp-admin")
    assert str(offsets).count("offset=1") == 2
    admin.delete_groups(["kp-admin"])
    assert "kp-admin" not in str(admin.list_groups())
    admin.close()
