"""confluent-kafka (librdkafka) consumer groups: who gets which partitions, and what is kept."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from tests.support.broker_process import BrokerProcess
from tests.support.requests import Requester

DEADLINE_S = 60
_names = count()


@pytest.fixture(scope="module")
def admin(broker: BrokerProcess) -> AdminClient:
    """One for all tests: it is not torn down while its threads may still be calling back."""
    return AdminClient({"bootstrap.servers": broker.bootstrap})


@pytest.fixture
def topic(broker: BrokerProcess) -> str:
    """A topic of its own with six partitions."""
    return make_topic(broker, 6)


def make_topic(broker: BrokerProcess, partitions: int) -> str:
    name = f"groups-{next(_names)}"
    with Requester(broker.port) as requester:
        requester.create_topics({name: partitions})
    return name


def produce(broker: BrokerProcess, topic: str, partitions: int, each: int = 10) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 5})
    for partition in range(partitions):
        for number in range(each):
            producer.produce(topic, value=f"{partition}/{number}", partition=partition)
    assert producer.flush(DEADLINE_S) == 0


class Member:
    """A consumer that remembers its messages, errors and how often it was reassigned.

    Its callbacks hold lists and not the member, so that there is no cycle, and the consumer is
    freed by whoever drops it last and not by a collection on some other thread.
    """

    def __init__(self, broker: BrokerProcess, group: str, topic: str, **config: Any) -> None:
        self.messages: list[Message] = []
        self.errors: list[KafkaError] = []
        self.assigned: list[list[int]] = []
        self.revoked: list[list[int]] = []
        self.consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "session.timeout.ms": 30_000,
                "heartbeat.interval.ms": 200,
                "error_cb": self.errors.append,
            }
            | {name.replace("_", "."): value for name, value in config.items()}
        )
        self.is_cooperative = config.get("partition_assignment_strategy") == "cooperative-sticky"
        self.consumer.subscribe(
            [topic], on_assign=numbers_into(self.assigned), on_revoke=numbers_into(self.revoked)
        )

    @property
    def partitions(self) -> set[int]:
        return {p.partition for p in self.consumer.assignment()}

    def poll(self) -> None:
        message = self.consumer.poll(0.05)
        if message is None:
            return
        error = message.error()
        if error is not None:
            self.errors.append(error)
        else:
            self.messages.append(message)


def numbers_into(
    remembered: list[list[int]],
) -> Callable[[Consumer, list[TopicPartition]], None]:
    """A rebalance callback that appends the numbers of the partitions to a list."""

    def remember(_: Consumer, partitions: list[TopicPartition]) -> None:
        remembered.append(sorted(p.partition for p in partitions))

    return remember


@contextmanager
def members(*people: Member) -> Iterator[tuple[Member, ...]]:
    try:
        yield people
    finally:
        for member in people:
            member.consumer.close()


def poll_until(condition: Callable[[], bool], *people: Member) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, [
            (sorted(m.partitions), len(m.messages), m.errors) for m in people
        ]
        for member in people:
            member.poll()


def commit(member: Member) -> None:
    """Commit where the member stands; each partition has an error of its own."""
    done = member.consumer.commit(asynchronous=False)
    assert {partition.error for partition in done or ()} == {None}, done


def stands_at(offset: int, member: Member) -> bool:
    """Whether `member` consumed each of its partitions up to `offset`."""
    positions = member.consumer.position(member.consumer.assignment())
    return {partition.offset for partition in positions} == {offset}


def shares(*people: Member) -> bool:
    """Whether every partition of six has exactly one owner, and every member some."""
    owned = [partition for member in people for partition in member.partitions]
    return sorted(owned) == list(range(6)) and all(member.partitions for member in people)


def test_partitions_are_shared_and_shared_anew_when_members_come_and_go(
    broker: BrokerProcess, topic: str
) -> None:
    produce(broker, topic, 6)
    first = Member(broker, topic, topic)
    second = Member(broker, topic, topic)
    third = Member(broker, topic, topic)
    people = (first, second, third)
    with members(*people):
        poll_until(lambda: shares(*people), *people)
        poll_until(lambda: len({m.value() for x in people for m in x.messages}) == 60, *people)
        second.consumer.close()
        poll_until(lambda: shares(first, third), first, third)
        assert first.errors == third.errors == []


def test_a_cooperative_group_moves_only_what_must_move(broker: BrokerProcess, topic: str) -> None:
    strategy = {"partition_assignment_strategy": "cooperative-sticky"}
    first = Member(broker, topic, topic, **strategy)
    with members(first):
        poll_until(lambda: shares(first), first)
        second = Member(broker, topic, topic, **strategy)
        with members(second):
            poll_until(lambda: shares(first, second), first, second)
            assert [len(taken) for taken in first.revoked if taken] == [3]
            assert first.partitions == {0, 1, 2, 3, 4, 5} - second.partitions


def test_a_static_member_that_restarts_disturbs_nobody(broker: BrokerProcess, topic: str) -> None:
    stays = Member(broker, topic, topic, group_instance_id="a")
    first = Member(broker, topic, topic, group_instance_id="b")
    with members(stays, first):
        poll_until(lambda: shares(stays, first), stays, first)
        before, owned = (len(stays.assigned), len(stays.revoked)), first.partitions
        first.consumer.close()
        again = Member(broker, topic, topic, group_instance_id="b")
        with members(again):
            poll_until(lambda: again.partitions == owned, stays, again)
            assert (len(stays.assigned), len(stays.revoked)) == before


def test_a_second_member_with_the_same_instance_id_fences_the_first(
    broker: BrokerProcess, topic: str
) -> None:
    first = Member(broker, topic, topic, group_instance_id="a")
    with members(first):
        poll_until(lambda: shares(first), first)
        second = Member(broker, topic, topic, group_instance_id="a")
        with members(second):
            poll_until(lambda: KafkaError._FATAL in {e.code() for e in first.errors}, first, second)
            poll_until(lambda: shares(second), second)


def test_a_member_that_stops_polling_loses_its_partitions(
    broker: BrokerProcess, topic: str
) -> None:
    lively = Member(broker, topic, topic)
    stuck = Member(broker, topic, topic, session_timeout_ms=6000, max_poll_interval_ms=6000)
    with members(lively, stuck):
        poll_until(lambda: shares(lively, stuck), lively, stuck)
        poll_until(lambda: shares(lively), lively)


def test_committed_offsets_come_back_with_their_notes(broker: BrokerProcess, topic: str) -> None:
    produce(broker, topic, 1)
    member = Member(broker, topic, topic)
    with members(member):
        poll_until(lambda: len(member.messages) == 10, member)
        wanted = TopicPartition(topic, 0, 4, "half-way")
        member.consumer.commit(offsets=[wanted], asynchronous=False)
        (found,) = member.consumer.committed([TopicPartition(topic, 0)], timeout=DEADLINE_S)
        assert (found.offset, found.metadata) == (4, "half-way")
        (never,) = member.consumer.committed([TopicPartition(topic, 1)], timeout=DEADLINE_S)
        assert never.offset < 0
    again = Member(broker, topic, topic)
    with members(again):
        poll_until(lambda: len(again.messages) == 6, again)
        assert again.messages[0].value() == b"0/4"
        again.consumer.seek(TopicPartition(topic, 0, OFFSET_BEGINNING))
        poll_until(lambda: len(again.messages) == 16, again)
        assert again.messages[6].value() == b"0/0"


def test_groups_are_listed_described_reset_and_deleted(
    broker: BrokerProcess, admin: AdminClient, topic: str
) -> None:
    member = Member(broker, topic, topic, client_id="somebody")
    with members(member):
        poll_until(lambda: shares(member), member)
        listed = admin.list_consumer_groups(states={ConsumerGroupState.STABLE}).result(DEADLINE_S)
        assert topic in {group.group_id for group in listed.valid}
        described = admin.describe_consumer_groups([topic])[topic].result(DEADLINE_S)
        assert described.state == ConsumerGroupState.STABLE
        assert described.partition_assignor == "range"
        (seen,) = described.members
        assert (seen.client_id, len(seen.assignment.topic_partitions)) == ("somebody", 6)
        with pytest.raises(KafkaException) as refused:
            admin.delete_consumer_groups([topic])[topic].result(DEADLINE_S)
        assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    wanted = [ConsumerGroupTopicPartitions(topic, [TopicPartition(topic, 2, 5)])]
    admin.alter_consumer_group_offsets(wanted)[topic].result(DEADLINE_S)
    asked = [ConsumerGroupTopicPartitions(topic, None)]
    found = admin.list_consumer_group_offsets(asked)[topic].result(DEADLINE_S)
    assert [(p.partition, p.offset) for p in found.topic_partitions] == [(2, 5)]
    admin.delete_consumer_groups([topic])[topic].result(DEADLINE_S)
    listed = admin.list_consumer_groups().result(DEADLINE_S)
    assert topic not in {group.group_id for group in listed.valid}


def test_a_deleted_topic_takes_its_offsets_along(admin: AdminClient, topic: str) -> None:
    wanted = [ConsumerGroupTopicPartitions(topic, [TopicPartition(topic, 2, 5)])]
    admin.alter_consumer_group_offsets(wanted)[topic].result(DEADLINE_S)
    admin.delete_topics([topic])[topic].result(DEADLINE_S)
    asked = [ConsumerGroupTopicPartitions(topic, None)]
    found = admin.list_consumer_group_offsets(asked)[topic].result(DEADLINE_S)
    assert found.topic_partitions == []


def test_members_and_offsets_outlive_a_killed_broker(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        topic = make_topic(broker, 6)
        produce(broker, topic, 6)
        first = Member(broker, topic, topic)
        second = Member(broker, topic, topic)
        with members(first, second):
            people = (first, second)
            poll_until(lambda: shares(*people), *people)
            poll_until(lambda: all(stands_at(10, m) for m in people), *people)
            for member in people:
                commit(member)
            assigned = [len(member.assigned) for member in people]
            broker.restart()
            produce(broker, topic, 6, each=1)
            poll_until(lambda: all(stands_at(11, m) for m in people), *people)
            assert [len(member.assigned) for member in people] == assigned, "nobody rebalanced"
            for member in people:
                commit(member)
        broker.restart()
        late = Member(broker, topic, topic)
        with members(late):
            poll_until(lambda: shares(late), late)
            asked = [TopicPartition(topic, partition) for partition in range(6)]
            found = late.consumer.committed(asked, timeout=DEADLINE_S)
            assert [partition.offset for partition in found] == [11] * 6
