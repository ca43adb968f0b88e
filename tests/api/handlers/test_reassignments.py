"""Reassignments, elections and the quorum on a broker alone; with three: tests/interop."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.api.handlers.context import RequestContext
from headrace.api.handlers.reassignments import (
    _targets,
    handle_alter_partition_reassignments,
    handle_list_partition_reassignments,
)
from headrace.api.wire.error_codes import ErrorCode
from headrace.raft.cluster_commands import ReassignPartitions, RegisterBroker
from headrace.raft.errors import NoReassignmentInProgressError
from headrace.raft.topic_image import TopicImage
from tests.support.in_process_broker import InProcessBroker
from tests.support.requests import Requester

NODE_ID = 1
METADATA, ELECT, ALTER, LIST, QUORUM, UNREGISTER, DESCRIBE = 3, 43, 45, 46, 55, 64, 75


@pytest.fixture
def requester(tmp_path: Path) -> Iterator[Requester]:
    with InProcessBroker(tmp_path) as broker, Requester(broker.port) as found:
        yield found


def alter(requester: Requester, replicas: list[int] | None, **fields: Any) -> ErrorCode:
    partition = {"partition_index": 0, "replicas": replicas}
    body = {"topics": [{"name": "moved", "partitions": [partition]}], **fields}
    answer = requester.ask(ALTER, 1, body)
    assert answer["error_code"] == ErrorCode.NONE
    return ErrorCode(answer["responses"][0]["partitions"][0]["error_code"])


def test_a_partition_moves_only_to_brokers_that_are_there(requester: Requester) -> None:
    assert alter(requester, [0]) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    requester.create_topics({"moved": 1})
    own = NODE_ID
    assert alter(requester, [own]) == ErrorCode.NONE
    assert alter(requester, [own, own]) == ErrorCode.INVALID_REPLICA_ASSIGNMENT
    assert alter(requester, []) == ErrorCode.INVALID_REPLICA_ASSIGNMENT
    assert alter(requester, [own + 7]) == ErrorCode.INVALID_REPLICA_ASSIGNMENT
    assert alter(requester, None) == ErrorCode.NO_REASSIGNMENT_IN_PROGRESS
    for topics in (None, [{"name": "moved", "partition_indexes": [0]}]):
        assert requester.ask(LIST, 0, {"topics": topics})["topics"] == []


def test_metadata_tells_of_who_is_to_come_and_who_is_to_leave(tmp_path: Path) -> None:
    absent = NODE_ID + 7  # so that the move does not begin before it is called off
    with InProcessBroker(tmp_path) as broker, Requester(broker.port) as requester:
        requester.create_topics({"moved": 1})
        broker.call(broker.broker.cluster_group.propose, RegisterBroker(absent, 1, "127.0.0.1", 1))

        def told() -> list[list[int]]:
            asked = {"topics": [{"name": "moved"}]}
            (topic,) = requester.ask(METADATA, 9, asked)["topics"]
            (row,) = topic["partitions"]
            (described,) = requester.ask(DESCRIBE, 0, asked)["topics"]
            (same,) = described["partitions"]
            names = ("replica_nodes", "isr_nodes", "offline_replicas")
            assert [same[name] for name in names] == [row[name] for name in names]
            return [row[name] for name in names]

        assert told() == [[NODE_ID], [NODE_ID], []]
        assert alter(requester, [absent]) == ErrorCode.NONE
        assert told() == [[absent, NODE_ID], [NODE_ID], [absent]]
        assert alter(requester, [absent, NODE_ID]) == ErrorCode.NONE
        assert told() == [[absent, NODE_ID], [NODE_ID], [absent]]
        (listed,) = requester.ask(LIST, 0, {"topics": None})["topics"]
        assert listed["partitions"] == [
            {
                "partition_index": 0,
                "replicas": [absent, NODE_ID],
                "adding_replicas": [absent],
                "removing_replicas": [],
            }
        ]


def test_a_move_that_is_called_off_goes_back_and_is_no_move_any_more() -> None:
    def image(target: tuple[int, ...]) -> TopicImage:
        return TopicImage("moved", b"m" * 16, ((1, 2),), {}, targets={0: target})

    moving, going_back = image((2, 3)), image((1, 2))
    cluster = SimpleNamespace(topics={"moved": moving}, brokers={1: None, 2: None, 3: None})
    group = SimpleNamespace(replicas=(1, 2, 3))
    replicas = SimpleNamespace(state_of=lambda _name, _index: group)
    broker = cast(Any, SimpleNamespace(cluster_state=cluster, replicas=replicas))
    for asked in (None, [1, 2]):
        part = {"partition_index": 0, "replicas": asked}
        assert _targets(broker, moving, part, may_change_count=True) == (1, 2)
    assert _targets(broker, going_back, part, may_change_count=True) is None
    with pytest.raises(NoReassignmentInProgressError):
        _targets(broker, going_back, {**part, "replicas": None}, may_change_count=True)
    context = RequestContext(api_key=LIST, api_version=0)
    listed = handle_list_partition_reassignments(broker, context, {"topics": None})
    (row,) = listed["topics"][0]["partitions"]
    assert (row["adding_replicas"], row["removing_replicas"]) == ([3], [1])
    # Called off, it moves until the group's state, which Metadata tells, is what it was before.
    cluster.topics["moved"] = going_back
    listed = handle_list_partition_reassignments(broker, context, {"topics": None})
    (row,) = listed["topics"][0]["partitions"]
    assert row == {
        "partition_index": 0,
        "replicas": [1, 2, 3],
        "adding_replicas": [],
        "removing_replicas": [3],
    }
    group.replicas = (2, 1)
    assert handle_list_partition_reassignments(broker, context, {"topics": None})["topics"] == []


def test_the_answer_to_a_move_called_off_comes_once_it_is_undone() -> None:
    moving = TopicImage("moved", b"m" * 16, ((1, 2),), {}, targets={0: (2, 3)})
    going_back = replace(moving, targets={0: (1, 2)})
    cluster = SimpleNamespace(topics={"moved": moving}, brokers={1: None, 2: None, 3: None})
    looks: list[int] = []
    can_undo = [True]

    async def propose(command: ReassignPartitions) -> None:
        assert command.targets == ((0, (1, 2)),)
        cluster.topics["moved"] = going_back
        if can_undo:
            asyncio.get_running_loop().call_soon(undo, 3)

    def undo(steps: int) -> None:
        looks.append(steps)
        if steps:
            asyncio.get_running_loop().call_soon(undo, steps - 1)
        else:
            cluster.topics["moved"] = replace(moving, targets={})

    broker = cast(Any, SimpleNamespace(cluster_state=cluster, propose=propose))
    part = {"partition_index": 0, "replicas": None}

    def called_off(timeout_ms: int) -> Any:
        cluster.topics["moved"] = moving
        body = {
            "topics": [{"name": "moved", "partitions": [part]}],
            "allow_replication_factor_change": True,
            "timeout_ms": timeout_ms,
        }
        context = RequestContext(api_key=ALTER, api_version=1)
        answer = asyncio.run(handle_alter_partition_reassignments(broker, context, body))
        return answer["responses"][0]["partitions"][0]["error_code"]

    assert called_off(30_000) == ErrorCode.NONE
    assert looks == [3, 2, 1, 0]
    assert dict(cluster.topics["moved"].targets) == {}
    can_undo.clear()
    assert called_off(50) == ErrorCode.NONE  # decided, if not done
    assert cluster.topics["moved"] is going_back


def elect(requester: Requester, kind: int, topic: str) -> ErrorCode:
    asked = [{"topic": topic, "partitions": [0]}]
    answer = requester.ask(ELECT, 2, {"election_type": kind, "topic_partitions": asked})
    return ErrorCode(answer["replica_election_results"][0]["partition_result"][0]["error_code"])


def test_a_broker_alone_leads_already(requester: Requester) -> None:
    requester.create_topics({"led": 1})
    assert elect(requester, 0, "led") == ErrorCode.ELECTION_NOT_NEEDED
    assert elect(requester, 1, "led") == ErrorCode.ELECTION_NOT_NEEDED
    assert elect(requester, 0, "nosuch") == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    everything = requester.ask(ELECT, 2, {"election_type": 0, "topic_partitions": None})
    assert everything == {
        "throttle_time_ms": 0,
        "error_code": ErrorCode.NONE,
        "replica_election_results": [],
    }
    unknown = requester.ask(ELECT, 2, {"election_type": 9, "topic_partitions": None})
    assert unknown["error_code"] == ErrorCode.INVALID_REQUEST


def test_the_quorum_is_one_broker_and_so_is_every_partitions(requester: Requester) -> None:
    requester.create_topics({"led": 1})
    own = NODE_ID
    for name in ("__cluster_metadata", "led"):
        asked = [{"topic_name": name, "partitions": [{"partition_index": 0}]}]
        answer = requester.ask(QUORUM, 2, {"topics": asked})
        (partition,) = answer["topics"][0]["partitions"]
        assert partition["error_code"] == ErrorCode.NONE
        assert partition["leader_id"] == own
        assert [voter["replica_id"] for voter in partition["current_voters"]] == [own]
        assert [node["node_id"] for node in answer["nodes"]] == [own]
    asked = [{"topic_name": "nosuch", "partitions": [{"partition_index": 0}]}]
    (partition,) = requester.ask(QUORUM, 2, {"topics": asked})["topics"][0]["partitions"]
    assert partition["error_code"] == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_broker_that_is_up_or_unknown_is_not_forgotten(requester: Requester) -> None:
    own = NODE_ID
    codes = {
        broker_id: requester.ask(UNREGISTER, 0, {"broker_id": broker_id})["error_code"]
        for broker_id in (own, own + 7)
    }
    assert codes == {own: ErrorCode.INVALID_REQUEST, own + 7: ErrorCode.BROKER_ID_NOT_REGISTERED}
