"""DescribeCluster, DescribeTopicPartitions and ListPartitionReassignments."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.api.broker_config import BrokerConfig
from headrace.api.handlers.cluster import (
    handle_describe_cluster,
    handle_describe_topic_partitions,
)
from headrace.api.handlers.reassignments import handle_list_partition_reassignments
from headrace.api.wire.error_codes import ErrorCode
from headrace.raft.cluster_commands import CreateTopic
from headrace.raft.partition_state import PartitionState
from tests.support.admin_broker import AdminBroker, ask_now


class Replicas:
    """Every partition is led by broker 1 at epoch 3."""

    def find(self, _topic_id: bytes, _index: int) -> Any:
        return SimpleNamespace(is_leader=True, is_online=True)

    def offline_replicas(self, _topic_id: bytes, _index: int) -> tuple[int, ...]:
        return ()

    def state_of(self, _topic: str, _index: int) -> PartitionState:
        return PartitionState((1,), (1,), leader=1, leader_epoch=3, isr=((1, 7),))


def broker_with_topics(limit: int = 2000, **counts: int) -> AdminBroker:
    broker = AdminBroker(BrokerConfig(max_request_partition_size_limit=limit))
    broker.replicas = Replicas()
    broker.partition_state = broker.replicas.state_of
    for number, (name, count) in enumerate(counts.items(), 1):
        command = CreateTopic(name, bytes([number]) * 16, ((1,),) * count)
        broker.cluster_state.apply(command)
    return broker


@pytest.mark.parametrize("version", range(3))
def test_cluster_is_described_with_its_controller(version: int) -> None:
    answer = ask_now(AdminBroker(), handle_describe_cluster, 60, version, {})
    assert answer["error_code"] == 0
    assert (answer["cluster_id"], answer["controller_id"]) == ("cluster", 1)
    (broker,) = answer["brokers"]
    assert (broker["broker_id"], broker["host"], broker["port"]) == (1, "localhost", 9092)
    assert answer["cluster_authorized_operations"] == -(2**31)
    asked = {"include_cluster_authorized_operations": True}
    allowed = ask_now(AdminBroker(), handle_describe_cluster, 60, version, asked)
    assert allowed["cluster_authorized_operations"] > 0


@pytest.mark.parametrize(
    ("endpoint_type", "code"),
    [(2, ErrorCode.MISMATCHED_ENDPOINT_TYPE), (3, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE)],
)
def test_only_brokers_can_be_asked_for(endpoint_type: int, code: ErrorCode) -> None:
    request = {"endpoint_type": endpoint_type}
    answer = ask_now(AdminBroker(), handle_describe_cluster, 60, 1, request)
    assert ErrorCode(answer["error_code"]) == code


@pytest.mark.parametrize("cursor", [("b", 0), ("a", -1)])
def test_cursor_beside_what_is_asked_for_is_refused(cursor: tuple[str, int]) -> None:
    position = {"topic_name": cursor[0], "partition_index": cursor[1]}
    request = {"topics": [{"name": "a"}, {"name": "c"}], "cursor": position}
    answer = ask_now(broker_with_topics(a=1, c=1), handle_describe_topic_partitions, 75, 0, request)
    codes = {topic["name"]: ErrorCode(topic["error_code"]) for topic in answer["topics"]}
    assert codes == {"a": ErrorCode.INVALID_REQUEST, "c": ErrorCode.INVALID_REQUEST}


def test_name_that_no_topic_may_have_is_told_apart_from_an_unknown_one() -> None:
    request = {"topics": [{"name": "no name"}]}
    (topic,) = ask_now(broker_with_topics(), handle_describe_topic_partitions, 75, 0, request)[
        "topics"
    ]
    assert ErrorCode(topic["error_code"]) == ErrorCode.INVALID_TOPIC_EXCEPTION


def page(broker: AdminBroker, *names: str, **more: Any) -> tuple[list[Any], Any]:
    request = {"topics": [{"name": name} for name in names], **more}
    answer = ask_now(broker, handle_describe_topic_partitions, 75, 0, request)
    told = [
        (topic["name"], [each["partition_index"] for each in topic["partitions"]])
        for topic in answer["topics"]
    ]
    return told, answer["next_cursor"]


def test_partitions_are_told_page_by_page_in_the_order_of_names() -> None:
    broker = broker_with_topics(b=2, a=3, c=1)
    cursor, pages = None, []
    while True:
        told, cursor = page(broker, response_partition_limit=2, cursor=cursor)
        pages.append(told)
        if cursor is None:
            break
    assert pages == [[("a", [0, 1])], [("a", [2]), ("b", [0])], [("b", [1]), ("c", [0])]]


def test_limit_of_the_broker_holds_over_that_of_the_request() -> None:
    told, cursor = page(broker_with_topics(limit=1, a=2), response_partition_limit=50)
    assert told == [("a", [0])]
    assert cursor == {"topic_name": "a", "partition_index": 1}


def test_unknown_topic_has_its_code_and_known_ones_leader_and_epoch() -> None:
    broker = broker_with_topics(a=1)
    request = {"topics": [{"name": "zz"}, {"name": "a"}]}
    known, unknown = ask_now(broker, handle_describe_topic_partitions, 75, 0, request)["topics"]
    assert ErrorCode(unknown["error_code"]) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    (partition,) = known["partitions"]
    assert (partition["leader_id"], partition["leader_epoch"]) == (1, 3)
    assert (partition["replica_nodes"], partition["isr_nodes"]) == ([1], [1])
    assert known["topic_authorized_operations"] > 0


def test_nothing_is_ever_being_reassigned() -> None:
    answer = ask_now(AdminBroker(), handle_list_partition_reassignments, 46, 0, {"topics": None})
    assert (answer["error_code"], answer["topics"]) == (0, [])


def test_eligible_leader_replicas_are_told_and_the_last_leader_of_whom_nobody_leads() -> None:
    broker = broker_with_topics()
    broker.cluster_state.apply(CreateTopic("clicks", b"c" * 16, ((1, 2, 3),)))
    state = PartitionState((1, 2, 3), (1, 2, 3), leader=1, isr=((1, 7),), elr=((2, 8), (3, 9)))

    def told() -> tuple[list[int], list[int], list[int]]:
        answer = ask_now(broker, handle_describe_topic_partitions, 75, 0, {"topics": []})
        (part,) = answer["topics"][0]["partitions"]
        return part["isr_nodes"], part["eligible_leader_replicas"], part["last_known_elr"]

    broker.partition_state = lambda _topic, _index: state
    assert told() == ([1], [2, 3], [])
    state = replace(state, leader=2, isr=((2, 8),), elr=((3, 9),))  # a broker that is not up
    assert told() == ([2], [3], [2])
