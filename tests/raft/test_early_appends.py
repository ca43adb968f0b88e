"""What leaves a broker before its disk has the turn: a leader's entries, and nothing else."""

import errno
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from headrace.raft.early_appends import count_early, may_send_early
from headrace.raft.group_host import GroupHost
from headrace.raft.message_codec import GroupMessage
from headrace.raft.raft_wal import RaftWal
from headrace.raft.wal_format import WalRecord, WalRecordKind
from tests.support.manual_clock import ManualClock
from tests.support.raft_cluster import ListMachine, RaftCluster


def message(kind: GroupMessage) -> tuple[Any, ...]:
    return ("group", kind, 1)


def record(kind: WalRecordKind) -> WalRecord:
    return WalRecord(kind, "group", 1, 1, b"")


@pytest.mark.parametrize("kind", list(GroupMessage))
def test_only_appends_go_early_and_nothing_overtakes(kind: GroupMessage) -> None:
    append = message(GroupMessage.APPEND)
    leaves = kind == GroupMessage.APPEND
    assert count_early([append, message(kind), append]) == (3 if leaves else 1)


@pytest.mark.parametrize("kind", list(WalRecordKind))
def test_nothing_goes_early_with_a_batch_that_has_more_than_entries(kind: WalRecordKind) -> None:
    records = [record(WalRecordKind.ENTRY), record(kind)]
    assert may_send_early(records, is_held=False) == (kind == WalRecordKind.ENTRY)
    assert not may_send_early(records, is_held=True)


class EverybodyIsUp:
    """A network on which all links stand."""

    def is_up(self, _broker_id: int) -> bool:
        return True


class LedHost:
    """The groups of broker 1, which leads one of three voters; a turn at a time."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.wal = RaftWal.open(folder)
        self.host = GroupHost(
            broker_id=1,
            wal=self.wal,
            clock=self.clock,
            network=EverybodyIsUp(),
            post=lambda _call: None,
        )
        self.host.open_group(
            "group",
            voters=(1, 2, 3),
            machine=ListMachine(),
            first_state=None,
            campaign=True,
            on_applied=lambda _applied: None,
            on_role=None,
        )
        self.group = self.host.groups["group"].group
        self.end_turn()
        self.group.receive(2, ("group", GroupMessage.PRE_VOTE_REPLY, 1, True))
        self.end_turn()
        self.group.receive(2, ("group", GroupMessage.VOTE_REPLY, 1))
        self.end_turn()
        assert self.group.is_leader

    def tick(self) -> None:
        self.host.tick_dirty(self.clock.monotonic_ms() / 1000, lambda: True)

    def end_turn(self) -> None:
        self.tick()
        assert self.host.sync()
        self.host.let_out()
        self.host.take_outboxes()

    def acknowledge(self, entry_index: int) -> None:
        reply = ("group", GroupMessage.APPEND_REPLY, 1, entry_index + 1, False, True)
        self.group.receive(2, reply)


def test_entries_leave_before_the_disk_has_them_and_no_commit_does_on_a_full_one(
    tmp_path: Path,
) -> None:
    led = LedHost(tmp_path)
    outcomes: list[object] = []
    led.group.propose(b"decision", outcomes.append, 1e9)
    led.tick()
    last = led.group.last_index
    early = led.host.take_early()
    assert sorted(broker_id for broker_id, _ in early) == [2, 3]
    for _, ((_, kind, _term, commit_index, *_rest),) in early:
        assert kind == GroupMessage.APPEND
        assert commit_index < last
    with mock.patch.object(os, "pwrite", side_effect=OSError(errno.ENOSPC, "full")):
        assert not led.host.sync()
        led.acknowledge(last)
        led.tick()
        assert led.group.commit_index == last
        assert led.host.take_early() == [], "it counts itself for what is not on its disk"
    assert led.host.sync()
    led.host.let_out()
    for _, messages in led.host.take_outboxes():
        assert messages[-1][3] == last, "now its followers hear that it is committed"
    assert outcomes == [(last, 1)]
    led.wal.close()


@pytest.mark.parametrize("minds_full_disks", [True, False])
def test_a_leader_counts_itself_only_once_its_disk_has_the_entry(minds_full_disks: bool) -> None:
    """Of a leader that dies with a full disk; where the rule is missing, two logs differ."""
    cluster = RaftCluster(seed=1)
    leader = cluster.elect()
    cluster.run(0.2)
    one, two = (broker_id for broker_id in cluster.voters if broker_id != leader)
    cluster.minds_full_disks = minds_full_disks
    cluster.unlink(leader, two)
    cluster.unlink(one, two)
    member = cluster.members[leader]
    member.group.propose(b"lost", lambda _outcome: None, cluster.now_s + 5)
    member.hold()
    cluster.deliver(leader, one)
    while cluster.queues[one, leader]:
        member.receive(one, cluster.queues[one, leader].popleft())
    member.hold()
    cluster.deliver(leader, one)
    cluster.crash(leader)
    is_applied = b"lost" in cluster.payloads(one)
    cluster.crash(one)
    cluster.restart(leader)
    cluster.elect()
    cluster.propose(cluster.leaders()[0], b"kept")
    cluster.run(0.2)
    assert cluster.payloads(two) == [b"kept"]
    assert is_applied is not minds_full_disks
