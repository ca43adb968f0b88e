"""Reassignments, elections and the quorum on a broker alone; with three: tests/interop."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.api.changes_awaited import ChangesAwaited
from headrace.api.handlers import elections
from headrace.api.handlers.context import RequestContext
from headrace.api.handlers.reassignments import (
    _targets,
    handle_alter_partition_reassignments,
    handle_list_partition_reassignments,
)
from headrace.api.wire.error_codes import ErrorCode
from headrace.raft.cluster_commands import (
    Command,
    CreatePartitions,
    CreateTopic,
    DeleteTopic,
    FinishReassignment,
    ReassignPartitions,
    RegisterBroker,
    UnregisterBroker,
)
from headrace.raft.errors import NoReassignmentInProgressError
from headrace.raft.partition_state import Outcome
from headrace.raft.topic_image import TopicImage
from tests.support.admin_broker import AdminBroker, ask_now
from tests.support.in_process_broker import InProcessBroker
from tests.support.requests import Requester

NODE_ID = 1
TOPIC_ID = b"m" * 16
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
        changes.note()

    hooks = SimpleNamespace(add_listener=lambda _call: None, on_state=[])
    changes = ChangesAwaited(cast(Any, hooks), cast(Any, hooks))
    broker = cast(Any, SimpleNamespace(cluster_state=cluster, propose=propose, changes=changes))
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


class OvertakenBroker(AdminBroker):
    """Brokers 1 to 3 and a topic on (1, 2); other decisions come just before the first proposal."""

    def __init__(self, *, moves_to: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.first: list[Command] = []
        for broker_id in (2, 3):
            self.cluster_state.apply(RegisterBroker(broker_id, 1, "localhost", 9092))
        self.cluster_state.apply(CreateTopic("moved", TOPIC_ID, ((1, 2),)))
        if moves_to:
            self.cluster_state.apply(ReassignPartitions(TOPIC_ID, ((0, moves_to),)))

    async def propose(self, command: Command) -> Any:
        while self.first:
            self.cluster_state.apply(self.first.pop(0))
        return await super().propose(command)

    def alter(self, replicas: list[int] | None, **fields: Any) -> ErrorCode:
        part = {"partition_index": 0, "replicas": replicas}
        body = {"topics": [{"name": "moved", "partitions": [part]}], "timeout_ms": 0, **fields}
        answer = ask_now(self, handle_alter_partition_reassignments, ALTER, 1, body)
        return ErrorCode(answer["responses"][0]["partitions"][0]["error_code"])

    @property
    def moved(self) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
        """Who holds it, who shall."""
        topic = self.cluster_state.topics["moved"]
        return topic.assignments[0], topic.targets.get(0)


def test_a_move_that_ended_before_it_was_called_off_is_not_undone() -> None:
    broker = OvertakenBroker(moves_to=(2, 3))
    broker.first = [FinishReassignment(TOPIC_ID, 0, (2, 3), (1, 2))]
    assert broker.alter(None) == ErrorCode.NO_REASSIGNMENT_IN_PROGRESS
    assert broker.moved == ((2, 3), None)


def test_of_two_moves_at_once_the_later_one_is_decided_on_what_the_first_left() -> None:
    broker = OvertakenBroker()
    broker.first = [
        ReassignPartitions(TOPIC_ID, ((0, (3,)),)),
        FinishReassignment(TOPIC_ID, 0, (3,), (1, 2)),
    ]
    kept = {"allow_replication_factor_change": False}
    assert broker.alter([2, 3], **kept) == ErrorCode.INVALID_REPLICATION_FACTOR
    assert broker.moved == ((3,), None)
    broker.first = [ReassignPartitions(TOPIC_ID, ((0, (2,)),))]
    assert broker.alter([1], **kept) == ErrorCode.NONE
    assert broker.moved == ((3,), (1,))
    # What counts is how many it is to have once it has moved.
    broker.first = [ReassignPartitions(TOPIC_ID, ((0, (1, 2)),))]
    assert broker.alter([2], **kept) == ErrorCode.INVALID_REPLICATION_FACTOR
    assert broker.alter([2, 3], **kept) == ErrorCode.NONE


def test_a_move_called_off_is_the_one_that_is_under_way_when_that_is_decided() -> None:
    broker = OvertakenBroker(moves_to=(2, 3))
    broker.first = [ReassignPartitions(TOPIC_ID, ((0, (3, 1)),))]
    assert broker.alter(None) == ErrorCode.NONE
    assert broker.moved == ((1, 2), (1, 2))


def test_a_move_of_a_topic_that_is_deleted_or_of_a_broker_that_leaves_is_refused() -> None:
    broker = OvertakenBroker()
    broker.first = [UnregisterBroker(3)]
    assert broker.alter([2, 3]) == ErrorCode.INVALID_REPLICA_ASSIGNMENT
    assert broker.moved == ((1, 2), None)
    broker.first = [CreatePartitions(TOPIC_ID, ((1,),)), ReassignPartitions(TOPIC_ID, ((1, (2,)),))]
    assert broker.alter([2, 1]) == ErrorCode.NONE
    assert dict(broker.cluster_state.topics["moved"].targets) == {0: (2, 1), 1: (2,)}
    broker.first = [DeleteTopic(TOPIC_ID)]
    assert broker.alter([1, 2]) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_an_election_decided_on_an_old_state_is_tried_again_when_the_new_one_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(elections, "KNOWN_WITHIN_S", 3_600)
    broker = OvertakenBroker()
    outcomes = [Outcome.STALE_PARTITION_EPOCH, Outcome.APPLIED]
    known = ["old"]

    def elect_by_hand(*_: Any, on_done: Any, **__: Any) -> None:
        def tell() -> None:
            known[0] = "new"
            broker.changes.note()

        on_done(outcomes.pop(0))
        asyncio.get_running_loop().call_soon(tell)

    seats = SimpleNamespace(elect_by_hand=elect_by_hand)
    broker.replicas = cast(Any, SimpleNamespace(seats=seats))
    broker.partition_state = lambda _topic, _index: known[0]  # type: ignore[method-assign]
    asked = [{"topic": "moved", "partitions": [0]}]
    body = {"election_type": 0, "topic_partitions": asked}
    answer = ask_now(broker, elections.handle_elect_leaders, ELECT, 2, body)
    (row,) = answer["replica_election_results"][0]["partition_result"]
    assert (row["error_code"], outcomes) == (ErrorCode.NONE, [])


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
