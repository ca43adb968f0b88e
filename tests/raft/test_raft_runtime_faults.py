"""Raft threads under hostile bytes, stopped peers, lost messages; and what they cost at rest."""

import gc
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest

from headrace.core.clock import SystemClock
from headrace.raft.group_description import GroupDescription, RuntimeStatistics
from headrace.raft.link_frames import encode_link_frame
from headrace.raft.link_hello import LinkHello, hello_request
from headrace.raft.link_messages import LinkMessage
from headrace.raft.liveness import RaftTiming
from headrace.raft.wal_format import WalRecord
from tests.support.raft_stage import RaftNode, RaftStage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[RaftStage]:
    with RaftStage(tmp_path) as running:
        yield running


def describe(node: RaftNode) -> dict[str, GroupDescription]:
    found: list[GroupDescription] = node.ask(node.runtime.describe_groups)
    return {each.group_id: each for each in found}


def statistics(node: RaftNode) -> RuntimeStatistics:
    found: RuntimeStatistics = node.ask(node.runtime.read_statistics)
    return found


def wait_until_asleep(stage: RaftStage) -> None:
    for node in stage.nodes.values():
        while not all(each.is_quiesced for each in describe(node).values()):
            with node.changed:
                node.changed.wait(0.05)


def open_raw_link(node: RaftNode, broker_id: int = 9) -> socket.socket:
    """A link of a made-up broker, whose answer was read."""
    raw = socket.create_connection(("127.0.0.1", node.port), timeout=60)
    raw.sendall(hello_request(LinkHello(broker_id, 1, 1, cluster_id="c")))
    size = int.from_bytes(raw.recv(4, socket.MSG_WAITALL), "big")
    raw.recv(size, socket.MSG_WAITALL)
    return raw


def packed(*messages: object) -> bytes:
    data: bytes = msgpack.packb(messages, use_bin_type=True)
    return data


@pytest.mark.parametrize(
    "payload",
    [
        b"\xc1",
        b"\x80",
        packed(("g", 4)),
        packed(("g", 4, -1, 0, 0, 0, ())),
        packed(("g", 4, 1, 0, 0, 0, ((1, "text"),))),
        packed(("g", 200, 1)),
        packed(("g", LinkMessage.PROPOSE, 1, 1, None)),
        packed(("g", LinkMessage.SEED, 1, (1, -5), (), b"")),
        packed(("", LinkMessage.PING, 1)),
        packed(("", LinkMessage.ASLEEP, (("g",),))),
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5000,
    ],
)
def test_a_frame_with_a_wrong_message_closes_its_link_and_nothing_else(
    stage: RaftStage, payload: bytes
) -> None:
    stage.open_group("g", (1, 2, 3))
    raw = open_raw_link(stage.nodes[1])
    raw.sendall(encode_link_frame(payload))
    while raw.recv(65536):
        pass
    raw.close()
    assert stage.nodes[1].propose("g", b"x")[1] == 1
    assert not any(node.fatal for node in stage.nodes.values())


def test_a_stranger_on_a_link_has_no_say_in_a_group(stage: RaftStage) -> None:
    stage.open_group("g", (1, 2, 3))
    stage.nodes[1].propose("g", b"x")
    term = describe(stage.nodes[1])["g"].term
    raw = open_raw_link(stage.nodes[1])
    votes = [("g", 2, term + 50, 1000, term + 50, True), ("none", 2, 1, 1, 1, True)]
    raw.sendall(encode_link_frame(packed(*votes, ("g", 9, term + 50))))
    assert stage.nodes[1].propose("g", b"y")[1] == 2
    assert describe(stage.nodes[1])["g"].term < term + 50
    raw.close()


def test_a_stopped_peer_is_replaced_and_may_come_back(stage: RaftStage) -> None:
    stage.open_group("g", (1, 2, 3))
    stage.nodes[1].propose("g", b"a")
    stopped = stage.wait_for_controller("g")
    may_go_on = threading.Event()
    stopped.runtime._call(may_go_on.wait)  # its thread stands still, its sockets stay open
    other = next(node for node in stage.nodes.values() if node is not stopped)
    other.wait_until(lambda: stopped.broker_id not in other.runtime.live_brokers())
    assert other.propose("g", b"b")[1] == 2
    may_go_on.set()
    assert stopped.propose("g", b"c")[1] == 3
    stage.wait_for_state("g", (b"a", b"b", b"c"))


@pytest.mark.parametrize("waits_for", ["its sync", "a sync of the loop thread"])
def test_a_broker_whose_disk_is_slow_is_heard(tmp_path: Path, waits_for: str) -> None:
    patient = RaftTiming(dead_after_s=60.0)  # a busy machine may be silent for a while itself
    with RaftStage(tmp_path, (1, 2), timing=patient) as stage:
        slow, other = stage.nodes.values()
        stage.open_group("g", (1, 2))
        stage.wait_for_controller("g").propose("g", b"before")
        may_go_on, is_stuck = threading.Event(), threading.Event()
        append_turn = slow.wal.append_turn

        def stick(records: list[WalRecord]) -> None:
            is_stuck.set()
            may_go_on.wait()
            append_turn(records)

        try:
            if waits_for == "its sync":
                slow.wal.append_turn = stick  # type: ignore[assignment,method-assign]
                slow.open_group("other", (1, 2))
                assert is_stuck.wait(60)
            else:
                slow.wal.lock.acquire()
            heard = statistics(other).frames_received
            while statistics(other).frames_received < heard + 8:
                with other.changed:
                    other.changed.wait(0.05)
        finally:
            may_go_on.set()
            if waits_for != "its sync":
                slow.wal.lock.release()
        assert stage.wait_for_controller("g").propose("g", b"after")[1] == 2


class PausedClock(SystemClock):
    """The machine's clock; `paused_ms` pass for everybody at once, and nobody has run meanwhile."""

    paused_ms = 0

    def monotonic_ms(self) -> int:
        return super().monotonic_ms() + self.paused_ms


def test_a_pause_of_the_whole_machine_is_nobodys_silence(tmp_path: Path) -> None:
    clock = PausedClock()
    patient = RaftTiming(dead_after_s=60.0)  # no real pause of a busy machine is as long
    with RaftStage(tmp_path, clock=clock, timing=patient) as stage:
        seen: list[set[int]] = []
        for node in stage.nodes.values():
            statistics(node)  # the loop is told in order: of the links' coming up before this
            node.runtime.on_peers_changed.append(lambda peers: seen.append(set(peers)))
        clock.paused_ms = 600_000
        for node in stage.nodes.values():
            heard = statistics(node).frames_received
            while statistics(node).frames_received < heard + 6:
                with node.changed:
                    node.changed.wait(0.05)
        assert not seen


def test_a_follower_that_sleeps_alone_is_woken_by_the_digest(stage: RaftStage) -> None:
    stage.open_group("g", (1, 2, 3))
    stage.open_group("h", (1, 2, 3))
    stage.nodes[1].propose("g", b"a")
    wait_until_asleep(stage)
    leader_id = describe(stage.nodes[1])["g"].leader_id
    assert leader_id is not None
    follower = stage.nodes[1 + leader_id % 3]
    host = follower.runtime._host
    woken: list[str] = []
    receive = host.groups["g"].group.receive

    def note(from_id: int, message: tuple[object, ...]) -> None:
        woken.append(str(message[0]))
        receive(from_id, message)
        follower.notify()

    def wake_alone() -> None:
        host.groups["g"].group.receive = note  # type: ignore[method-assign]
        host.digest.note_awake("g")  # as if it had never been told to sleep

    follower.runtime._call(wake_alone)
    follower.wait_until(lambda: bool(woken))
    assert set(woken) == {"g"}
    wait_until_asleep(stage)


@pytest.fixture
def patient_stage(tmp_path: Path) -> Iterator[RaftStage]:
    """Links outlast any stall of a busy machine: counts are taken, not elections."""
    with RaftStage(tmp_path, timing=RaftTiming(dead_after_s=60.0)) as running:
        yield running


def test_at_rest_the_cost_does_not_grow_with_the_groups(patient_stage: RaftStage) -> None:
    stage = patient_stage

    def cost_of_rest(node: RaftNode) -> tuple[float, int]:
        """(turns a second of pings, ticks) while nothing happens."""
        before = statistics(node)
        pings = before.frames_received
        while (now := statistics(node)).frames_received < pings + 20:
            with node.changed:
                node.changed.wait(0.2)
        assert now.syncs == before.syncs
        sent = now.frames_sent - before.frames_sent
        return sent / (now.frames_received - pings), now.ticks - before.ticks

    stage.open_group("g", (1, 2, 3))
    stage.nodes[1].propose("g", b"a")
    wait_until_asleep(stage)
    # What other tests left behind may go meanwhile; it must not hide what comes, nor fail this one.
    gc.collect()
    threads, descriptors = set(threading.enumerate()), set(os.listdir("/proc/self/fd"))
    few_frames, few_ticks = cost_of_rest(stage.nodes[1])
    for number in range(150):
        voters = tuple(1 + (number + step) % 3 for step in range(3))
        stage.open_group(f"g{number}", voters)
    for number in range(150):
        stage.nodes[1 + number % 3].propose(f"g{number}", b"x")
    wait_until_asleep(stage)
    many_frames, many_ticks = cost_of_rest(stage.nodes[1])
    assert few_ticks == many_ticks == 0
    assert few_frames < 3
    assert many_frames < 3
    assert set(threading.enumerate()) <= threads
    assert set(os.listdir("/proc/self/fd")) <= descriptors


def test_groups_that_one_broker_has_not_opened_sleep_on_the_others(
    patient_stage: RaftStage,
) -> None:
    """Its digest must not wake them for it: it has nothing to compare."""
    stage = patient_stage
    first, second, third = stage.nodes.values()
    for number in range(20):
        for node in (first, second):
            node.open_group(f"g{number}", (1, 2, 3))
    for number in range(20):
        assert first.propose(f"g{number}", b"x")[1] == 1
    for node in (first, second):
        while not all(each.is_quiesced for each in describe(node).values()):
            with node.changed:
                node.changed.wait(0.05)
    before = [statistics(node) for node in (first, second)]
    heard = statistics(third).frames_received
    while statistics(third).frames_received < heard + 40:
        with third.changed:
            third.changed.wait(0.2)
    assert [statistics(node).ticks for node in (first, second)] == [each.ticks for each in before]
    for number in range(20):
        third.open_group(f"g{number}", (1, 2, 3))
    for number in range(20):
        third.wait_until(lambda number=number: third.views[f"g{number}"].state == (b"x",))
    wait_until_asleep(stage)
    assert all(each.term == describe(first)[name].term for name, each in describe(third).items())


def test_many_groups_of_one_turn_share_one_sync(stage: RaftStage) -> None:
    for number in range(50):
        stage.open_group(f"g{number}", (1, 2, 3))
    for number in range(50):
        stage.nodes[1].propose(f"g{number}", b"first")
    before = {broker_id: statistics(node).syncs for broker_id, node in stage.nodes.items()}
    left = threading.Semaphore(0)
    may_go_on = threading.Event()
    stage.nodes[1].runtime._call(may_go_on.wait)  # all of them are there when its next turn begins
    for number in range(50):
        stage.nodes[1].runtime.propose(f"g{number}", b"together", lambda _: left.release())
    may_go_on.set()
    for _ in range(50):
        assert left.acquire(timeout=60)
    spent = {
        broker_id: statistics(node).syncs - before[broker_id]
        for broker_id, node in stage.nodes.items()
    }
    assert max(spent.values()) < 50, spent
