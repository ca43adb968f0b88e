"""Metadata: who leads what, where, and which topics come into being by asking."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.raft.cluster_commands import RegisterBroker
from headrace.raft.partition_group import partition_group_id
from headrace.raft.partition_state import PartitionState
from headrace.raft.topic_image import TopicImage
from tests.support.in_process_broker import InProcessBroker
from tests.support.requests import Requester

ZERO = bytes(16)


def ask(client: Requester, *names: str, api_version: int = 9, **fields: Any) -> dict[str, Any]:
    topics = [{"name": name} for name in names]
    return client.ask(3, api_version, {"topics": topics, **fields})


@pytest.mark.parametrize("api_version", range(14))
def test_every_version_describes_the_topic(
    broker: InProcessBroker, client: Requester, topic: str, api_version: int
) -> None:
    answer = ask(client, topic, api_version=api_version)
    (described,) = answer["topics"]
    assert (described["error_code"], described["name"]) == (0, topic)
    assert [row["partition_index"] for row in described["partitions"]] == [0, 1]
    for row in described["partitions"]:
        assert (row["leader_id"], row["replica_nodes"], row["isr_nodes"]) == (1, [1], [1])
    assert [(one["node_id"], one["host"], one["port"]) for one in answer["brokers"]] == [
        (1, "127.0.0.1", broker.port)
    ]
    if api_version >= 1:
        assert answer["controller_id"] == 1
    if api_version >= 2:
        assert answer["cluster_id"] == broker.broker.cluster_id
    if api_version >= 7:
        epoch = broker.broker.replicas.partition(topic, 0).leader_epoch
        assert described["partitions"][0]["leader_epoch"] == epoch
    if api_version >= 8:
        assert described["topic_authorized_operations"] == -(2**31)


def test_none_asked_means_all_in_version_0_and_none_later(client: Requester, topic: str) -> None:
    def names(api_version: int, topics: list[Any] | None) -> set[str]:
        answer = client.ask(3, api_version, {"topics": topics})
        return {described["name"] for described in answer["topics"]}

    assert topic in names(0, [])
    assert names(1, []) == set()
    assert topic in names(1, None)


def test_unknown_topic_is_created_if_both_sides_allow_it(client: Requester) -> None:
    refused = ask(client, "made-by-asking", allow_auto_topic_creation=False)
    assert refused["topics"][0]["error_code"] == 3
    created = ask(client, "made-by-asking", allow_auto_topic_creation=True)
    assert created["topics"][0]["error_code"] == 0
    assert len(created["topics"][0]["partitions"]) == 1
    assert ask(client, "old-client", api_version=1)["topics"][0]["error_code"] == 0


def test_broker_that_does_not_create_topics_says_unknown(tmp_path: Path) -> None:
    config = {"auto.create.topics.enable": "false"}
    with InProcessBroker(tmp_path, config=config) as broker, broker.requester() as client:
        assert ask(client, "never")["topics"][0]["error_code"] == 3


def test_num_partitions_is_the_default_of_created_topics(tmp_path: Path) -> None:
    with (
        InProcessBroker(tmp_path, config={"num.partitions": "3"}) as broker,
        broker.requester() as client,
    ):
        assert len(ask(client, "wide")["topics"][0]["partitions"]) == 3


def test_invalid_name_fails_alone(client: Requester, topic: str) -> None:
    answers = ask(client, "bad name", topic, "..", "x" * 250)["topics"]
    assert [answer["error_code"] for answer in answers] == [17, 0, 17, 17]


def test_name_that_collides_is_refused(client: Requester) -> None:
    assert ask(client, "a.collision")["topics"][0]["error_code"] == 0
    assert ask(client, "a_collision")["topics"][0]["error_code"] == 17


def test_internal_topics_are_not_created_by_asking(client: Requester) -> None:
    assert ask(client, "__transaction_state")["topics"][0]["error_code"] == 3


def test_ids_are_stable_and_asked_for_from_version_12_on(
    broker: InProcessBroker, client: Requester, topic: str
) -> None:
    topic_id = ask(client, topic, api_version=10)["topics"][0]["topic_id"]
    assert topic_id not in (ZERO, None)
    by_id = {"topics": [{"topic_id": topic_id, "name": None}]}
    assert client.ask(3, 12, by_id)["topics"][0]["name"] == topic
    assert client.ask(3, 10, by_id)["topics"][0]["error_code"] == 42
    unknown = {"topics": [{"topic_id": b"y" * 16, "name": None}]}
    answer = client.ask(3, 12, unknown)["topics"][0]
    assert (answer["error_code"], answer["name"]) == (100, None)


def test_recreated_topic_has_another_id(broker: InProcessBroker, client: Requester) -> None:
    broker.create_topic("again")
    first = ask(client, "again", api_version=10)["topics"][0]["topic_id"]
    broker.delete_topic("again")
    broker.create_topic("again")
    assert ask(client, "again", api_version=10)["topics"][0]["topic_id"] != first


def test_operations_are_told_where_they_are_asked_for(client: Requester, topic: str) -> None:
    fields = {
        "include_topic_authorized_operations": True,
        "include_cluster_authorized_operations": True,
    }
    answer = ask(client, topic, api_version=8, **fields)
    assert answer["topics"][0]["topic_authorized_operations"] == 0b110111111000
    assert answer["cluster_authorized_operations"] > 0


def test_a_broker_that_went_down_is_named_for_a_while_to_those_who_produce_there(
    broker: InProcessBroker, client: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, gone = broker.broker, RegisterBroker(7, 1, "127.0.0.1", 1)
    broker.call(node.cluster_group.propose, gone)

    def named() -> list[int]:
        return [each["node_id"] for each in ask(client)["brokers"]]

    assert named() == [1]
    for peers in ({1: None, 7: None}, {1: None}):
        broker.call(node._peers_changed, peers)
    assert sorted(named()) == [1, 7]
    cluster = client.ask(60, 1, {"include_cluster_authorized_operations": False})
    assert [each["broker_id"] for each in cluster["brokers"]] == [1]
    monkeypatch.setattr("headrace.api.broker.MISSING_NAMED_MS", 0)
    assert named() == [1]


class LeaderIsLost:
    """Partition 0 of a topic is led by broker 7, which has just gone."""

    def __init__(
        self, broker: InProcessBroker, topic: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.state = PartitionState(leader=7, replicas=(7, 1), isr=((7, 1), (1, 1)))
        self._broker = broker
        node = broker.broker
        self.waits = node.leader_waits
        self._image = node.cluster_state.topics[topic]
        told = node.replicas.seats.state_of

        def state_of(image: TopicImage, index: int) -> PartitionState | None:
            return self.state if (image.name, index) == (topic, 0) else told(image, index)

        monkeypatch.setattr(node.replicas.seats, "state_of", state_of)
        monkeypatch.setattr(self.waits, "_find_lost", lambda: frozenset((7,)))

    def elect(self, **changes: Any) -> None:
        """As the partition's group tells it."""
        self.state = replace(self.state, **changes)
        base_id = partition_group_id(self._image.topic_id, 0)
        self._broker.call(self._broker.broker.replicas.seats.tell_state, base_id)


def leader_told(answer: dict[str, Any]) -> tuple[int, int]:
    (topic,) = answer["topics"]
    return topic["partitions"][0]["error_code"], topic["partitions"][0]["leader_id"]


def test_who_asks_for_a_leader_that_is_being_replaced_is_told_the_next_one(
    broker: InProcessBroker, client: Requester, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.api.handlers.leader_wait.MAX_WAIT_MS", 60_000)
    lost = LeaderIsLost(broker, topic, monkeypatch)
    asked = client.send(3, 9, {"topics": [{"name": topic}]})
    behind = client.send(18, 0, {})
    broker.wait_until(lambda: len(lost.waits) == 1)
    with broker.requester() as other:  # all topics, and others, are told as they stand
        assert ask(other)["topics"] == []
        assert other.ask(3, 9, {"topics": None})["topics"]
    lost.elect(leader=1, leader_epoch=5)
    assert leader_told(client.receive(3, 9, asked)) == (0, 1)
    assert client.receive(18, 0, behind)["error_code"] == 0  # answers keep their order
    assert len(lost.waits) == 0


def test_where_nobody_is_elected_in_time_it_is_told_that_nobody_leads(
    broker: InProcessBroker, client: Requester, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.api.handlers.leader_wait.MAX_WAIT_MS", 30)
    lost = LeaderIsLost(broker, topic, monkeypatch)
    assert leader_told(ask(client, topic)) == (5, -1)
    monkeypatch.setattr("headrace.api.handlers.leader_wait.MAX_WAIT_MS", 60_000)
    lost.elect(isr=((7, 1),))  # only it has all that is committed
    assert leader_told(ask(client, topic)) == (5, -1)


def test_a_client_that_goes_away_waits_no_more(
    broker: InProcessBroker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.api.handlers.leader_wait.MAX_WAIT_MS", 60_000)
    lost = LeaderIsLost(broker, topic, monkeypatch)
    with broker.requester() as client:
        client.send(3, 9, {"topics": [{"name": topic}]})
        broker.wait_until(lambda: len(lost.waits) == 1)
    broker.wait_until(lambda: len(lost.waits) == 0)
