"""Reassignments, elections and the quorum on a broker alone; with three: tests/interop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.api.wire.error_codes import ErrorCode
from tests.support.in_process_broker import InProcessBroker
from tests.support.requests import Requester

NODE_ID = 1
ELECT, ALTER, LIST, QUORUM, UNREGISTER = 43, 45, 46, 55, 64


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
