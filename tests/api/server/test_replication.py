"""A leader behind its own listener, and followers that fetch from it over real sockets."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.api.server.peer_client import PeerClients
from headrace.api.wire.error_codes import ErrorCode
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.worker import InlineWorker
from headrace.raft.cluster_commands import RegisterBroker
from headrace.raft.partition import Partition
from headrace.raft.partition_state import Elect
from headrace.raft.replica_fetcher import FetcherSettings, ReplicaFetchers
from headrace.raft.replication_quota import ReplicationQuota
from tests.support.deciders import SharedGroup
from tests.support.in_process_broker import InProcessBroker, batch_of, fetch_body, produce_body
from tests.support.manual_clock import ManualClock
from tests.support.requests import Requester

TOPIC = "clicks"
INCARNATIONS = {0: 70, 1: 71, 2: 72}


class Follower:
    """Broker `broker_id`'s copy of the topic's partitions; made and used on the loop's thread."""

    def __init__(self, stage: "Stage", broker_id: int, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        self.peers = PeerClients(
            address_of=lambda _: ("127.0.0.1", stage.broker.port), client_id=f"broker-{broker_id}"
        )
        self.requests: list[Any] = []
        self.fetchers = ReplicaFetchers(
            broker_id=broker_id,
            incarnation=INCARNATIONS[broker_id],
            send_fetch=self._send,
            schedule=lambda delay_ms, call: loop.call_later(delay_ms / 1000, call),
            quota=ReplicationQuota(broker_id=broker_id, is_leaders=False, clock=ManualClock()),
            settings=FetcherSettings(max_wait_ms=stage.max_wait_ms),
        )
        self.partitions = []
        for index, group in enumerate(stage.groups):
            log = Log.open(
                folder / f"{TOPIC}-{index}",
                topic=TOPIC,
                partition=index,
                config=LogConfig(),
                clock=ManualClock(),
                worker=InlineWorker(),
                is_clean=False,
            )
            partition = Partition(
                topic=TOPIC,
                index=index,
                topic_id=stage.topic_id,
                broker_id=broker_id,
                group=group,
                incarnation_of=INCARNATIONS.get,
            )
            partition.on_role_changed = self.fetchers.role_changed
            group.replicas.append(partition)
            partition.take_log(log)
            partition.state_changed()
            self.partitions.append(partition)

    def _send(self, leader_id: int, request: Any, on_answer: Any) -> None:
        self.requests.append(request)
        self.peers.send_fetch(leader_id, request, on_answer)

    def close(self) -> None:
        self.fetchers.close()
        self.peers.close()
        for partition in self.partitions:
            partition.stop()
            partition.log.close(clean=False)


class Stage:
    """Broker 0 leads every partition of the topic; the isr is broker 0 alone to begin with."""

    def __init__(self, broker: InProcessBroker, folder: Path, partition_count: int = 1) -> None:
        self.broker, self.folder = broker, folder
        self.max_wait_ms = FetcherSettings().max_wait_ms
        broker.create_topic(TOPIC, partition_count)
        self.groups: list[SharedGroup] = []
        self.followers: dict[int, Follower] = {}
        broker.call(self._share_groups)

    def _share_groups(self) -> None:
        manager = self.broker.broker.replicas
        self.topic_id = self.broker.broker.cluster_state.topics[TOPIC].topic_id
        self.leaders = [each for each in manager.partitions() if each.topic == TOPIC]
        for leader in self.leaders:
            state = replace(leader.group.state, replicas=(0, 1, 2), isr=((0, 70),))
            group = SharedGroup(state)
            leader._group, leader._incarnation_of = group, INCARNATIONS.get
            group.replicas.append(leader)
            leader.state_changed()
            self.groups.append(group)
        manager.leader_of = lambda topic, index: (  # type: ignore[method-assign]
            self.groups[index].state.leader,
            self.groups[index].state.leader_epoch,
        )

    def add_follower(self, broker_id: int) -> Follower:
        follower = self.broker.call(Follower, self, broker_id, self.folder / f"broker-{broker_id}")
        self.followers[broker_id] = follower
        return follower

    def wait_until_in_sync(self, *broker_ids: int) -> None:
        wanted = {0, *broker_ids}
        self.broker.wait_until(lambda: all(set(each.isr) == wanted for each in self.leaders))

    def log_files(self, index: int = 0) -> list[bytes]:
        """The bytes of every copy's log, the leader's first."""
        logs = [
            self.leaders[index].log,
            *(f.partitions[index].log for f in self.followers.values()),
        ]

        def read() -> list[bytes]:
            return [
                b"".join(bytes(segment.log.view(0, segment.size_bytes)) for segment in log.segments)
                for log in logs
            ]

        return self.broker.call(read)


@pytest.fixture(params=["asyncio", "uvloop"])
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    config = {"node.id": "0"}
    folder = tmp_path / "broker-0"
    with InProcessBroker(folder, config=config, loop_kind=request.param) as broker:
        stage = Stage(broker, tmp_path, partition_count=3)
        yield stage
        for follower in stage.followers.values():
            broker.call(follower.close)


def produce(client: Requester, *batches: bytes, acks: int = -1) -> list[int]:
    answer = client.ask(0, 9, produce_body(TOPIC, *batches, acks=acks))
    return [each["error_code"] for each in answer["responses"][0]["partition_responses"]]


def test_followers_join_the_isr_and_acks_all_waits_for_them(stage: Stage) -> None:
    with stage.broker.requester() as client:
        assert produce(client, batch_of(b"a", b"b")) == [0]
        stage.add_follower(1)
        stage.add_follower(2)
        stage.wait_until_in_sync(1, 2)
        assert produce(client, batch_of(b"c"), batch_of(b"x"), batch_of(b"y")) == [0, 0, 0]
        for follower in stage.followers.values():
            ends = [each.log_end_offset for each in follower.partitions]
            assert ends == [3, 1, 1], "they had it before the answer"
    for index in range(3):
        files = stage.log_files(index)
        assert files[0]
        assert files[1:] == [files[0]] * 2


def test_a_large_backlog_is_caught_up_with_byte_for_byte(stage: Stage) -> None:
    value = bytes(range(256)) * 400
    with stage.broker.requester() as client:
        for number in range(60):  # several segments of 1 MiB, several answers
            assert produce(client, batch_of(value, b"%d" % number)) == [0]
        stage.add_follower(1)
        stage.wait_until_in_sync(1)
    files = stage.log_files()
    assert len(files[0]) > 6_000_000
    assert files[1] == files[0]


def test_a_throttled_leader_sends_no_more_than_its_rate_to_who_is_out_of_sync(
    stage: Stage,
) -> None:
    rate, clock = 500_000, ManualClock()
    quota = ReplicationQuota(broker_id=0, is_leaders=True, clock=clock)
    quota.bytes_per_s = rate
    stage.broker.broker.leader_quota = quota
    stage.max_wait_ms = 10
    value = bytes(range(256)) * 400
    throttled = {"leader.replication.throttled.replicas": "0:0,1:1"}
    stage.broker.configure_topic(TOPIC, throttled)
    with stage.broker.requester() as client:
        for number in range(40):
            assert produce(client, batch_of(value, b"%d" % number), batch_of(b"x")) == [0, 0]
        total_bytes = len(stage.log_files()[0])
        follower = stage.add_follower(1)
        copy, other = follower.partitions[:2]
        stage.broker.wait_until(lambda: set(stage.leaders[1].isr) == {0, 1})
        assert other.log_end_offset == 40, "it is not listed, and comes while the other waits"
        seconds = 0
        while set(stage.leaders[0].isr) != {0, 1}:
            asked = len(follower.requests)
            stage.broker.wait_until(
                lambda asked=asked: len(follower.requests) > asked + 3  # type: ignore[misc]
            )
            clock.advance(1000)
            seconds += 1
        assert copy.log_end_offset == 80
        answer_bytes = 1 << 20
        assert (seconds + 1) * rate > total_bytes - 2 * answer_bytes
        # An in-sync replica is never held back: what it has not got would cost it its place.
        quota.record(100 * rate)
        assert produce(client, batch_of(b"last")) == [0]
        assert copy.log_end_offset == 81


def test_an_idle_session_names_no_partition_and_consumers_see_what_is_committed(
    stage: Stage,
) -> None:
    follower = stage.add_follower(1)
    stage.wait_until_in_sync(1)
    with stage.broker.requester() as client:
        assert produce(client, batch_of(b"a")) == [0]
        asked = len(follower.requests)
        stage.broker.wait_until(lambda: len(follower.requests) > asked + 1)
        assert follower.requests[-1]["topics"] == []
        assert follower.requests[-1]["session_epoch"] > 1
        answer = client.ask(1, 12, fetch_body(TOPIC, 0))
        (told,) = answer["responses"][0]["partitions"]
        assert told["high_watermark"] == 1
        assert len(told["records"]) > 0


def test_a_follower_that_is_gone_holds_nothing_back_once_the_isr_has_shrunk(
    stage: Stage,
) -> None:
    for broker_id in (1, 2):
        stage.add_follower(broker_id)
    stage.wait_until_in_sync(1, 2)
    gone = stage.followers[2]
    stage.broker.call(gone.fetchers.close)
    with stage.broker.requester() as client:
        sent = client.send(0, 9, produce_body(TOPIC, batch_of(b"a")))
        leader = stage.leaders[0]
        stage.broker.wait_until(lambda: leader.log_end_offset == 1)

        def lose() -> None:
            live = {1: 71}
            for each in stage.leaders:
                each._incarnation_of = live.get
                each._followers._incarnation_of = live.get
                each.review_isr(0)

        stage.broker.call(lose)
        answer = client.receive(0, 9, sent)
        assert answer["responses"][0]["partition_responses"][0]["error_code"] == 0
        assert leader.isr == (0, 1)


def test_a_producer_that_leaves_while_it_waits_leaves_nothing_behind(stage: Stage) -> None:
    follower = stage.add_follower(1)
    stage.wait_until_in_sync(1)
    stage.broker.call(follower.fetchers.close)
    leader = stage.leaders[0]
    with stage.broker.requester() as client:
        client.send(0, 9, produce_body(TOPIC, batch_of(b"a")))
        stage.broker.wait_until(lambda: len(leader._offset_waiters) == 1)
    stage.broker.wait_until(lambda: len(leader._offset_waiters) == 0)


def test_a_new_leader_that_the_others_follow_cuts_nothing_that_was_acknowledged(
    stage: Stage,
) -> None:
    follower = stage.add_follower(1)
    stage.wait_until_in_sync(1)
    with stage.broker.requester() as client:
        assert produce(client, batch_of(b"a")) == [0]
        stage.broker.call(
            stage.groups[0].decide, Elect(stage.groups[0].state.partition_epoch, 1, 71)
        )
        assert follower.partitions[0].is_leader
        assert follower.partitions[0].log_end_offset == 1
        answer = client.ask(0, 11, produce_body(TOPIC, batch_of(b"b")))
        (told,) = answer["responses"][0]["partition_responses"]
        assert told["error_code"] == 6
        assert told["current_leader"]["leader_id"] == 1


def delete_records(client: Requester, offset: int, timeout_ms: int = 60_000) -> tuple[int, int]:
    """Error code and low watermark."""
    topic = {"name": TOPIC, "partitions": [{"partition_index": 0, "offset": offset}]}
    answer = client.ask(21, 2, {"topics": [topic], "timeout_ms": timeout_ms})
    (told,) = answer["topics"][0]["partitions"]
    return told["error_code"], told["low_watermark"]


def test_deleted_records_are_gone_on_every_replica_that_is_up_before_the_answer(
    stage: Stage,
) -> None:
    for broker_id in (1, 2):
        stage.add_follower(broker_id)
    stage.wait_until_in_sync(1, 2)
    with stage.broker.requester() as client:
        assert produce(client, batch_of(b"a", b"b", b"c", b"d")) == [0]
        assert delete_records(client, 3) == (0, 3)
        for follower in stage.followers.values():
            assert follower.partitions[0].log_start_offset == 3
        assert delete_records(client, 2) == (0, 3), "they are gone already"
        gone = stage.followers[2]
        stage.broker.call(gone.fetchers.close)
        assert delete_records(client, -1, timeout_ms=50) == (7, 3), "one has not followed"
        body = {"name": TOPIC, "partitions": [{"partition_index": 0, "offset": 4}]}
        sent = client.send(21, 2, {"topics": [body], "timeout_ms": 60_000})
        leader = stage.leaders[0]
        stage.broker.wait_until(lambda: bool(leader._low_watermark_waiters.heap))

        def lose() -> None:
            live = {1: 71}
            leader._incarnation_of = live.get
            leader._followers._incarnation_of = live.get
            leader.review_isr(0)

        stage.broker.call(lose)
        (told,) = client.receive(21, 2, sent)["topics"][0]["partitions"]
        assert (told["error_code"], told["low_watermark"]) == (0, 4), "who is down does not count"


def test_who_asks_a_broker_that_leads_no_more_is_told_where_the_leader_is(stage: Stage) -> None:
    node = stage.broker.broker
    stage.add_follower(1)
    stage.wait_until_in_sync(1)

    def move() -> None:
        node.cluster_state.apply(
            RegisterBroker(
                1, 71, "inner", 1, None, 0, 0, (("OTHER", "x", 2), ("PLAINTEXT", "leader.host", 3))
            )
        )
        node.live_broker_ids = lambda: frozenset({0, 1})  # type: ignore[method-assign]
        stage.groups[0].decide(Elect(stage.groups[0].state.partition_epoch, 1, 71))

    stage.broker.call(move)
    endpoint = {"node_id": 1, "host": "leader.host", "port": 3, "rack": None}
    leader = {"leader_id": 1, "leader_epoch": stage.groups[0].state.leader_epoch}
    with stage.broker.requester() as client:
        for version, is_told in ((9, False), (10, True), (11, True)):
            answer = client.ask(0, version, produce_body(TOPIC, batch_of(b"b")))
            (told,) = answer["responses"][0]["partition_responses"]
            assert told["error_code"] == ErrorCode.NOT_LEADER_OR_FOLLOWER
            if is_told:
                assert told["current_leader"] == leader
                assert answer["node_endpoints"] == [endpoint]
            else:
                assert answer["node_endpoints"] == [], "there was no field for it yet"
        for version, session_epoch in ((11, -1), (12, -1), (12, 0), (16, -1), (17, 0)):
            body = fetch_body(TOPIC, 0, session_epoch=session_epoch)
            body["topics"][0]["topic_id"] = stage.topic_id
            answer = client.ask(1, version, body)
            (told,) = answer["responses"][0]["partitions"]
            assert told["error_code"] == ErrorCode.NOT_LEADER_OR_FOLLOWER
            if version >= 12:
                assert told["current_leader"] == leader
            if version >= 16:
                assert answer["node_endpoints"] == [endpoint]
            else:
                assert answer["node_endpoints"] == [], "there was no field for it yet"
        answer = client.ask(0, 11, produce_body(TOPIC, batch_of(b"x"), partition=1))
        assert answer["node_endpoints"] == [], "it is led here"
