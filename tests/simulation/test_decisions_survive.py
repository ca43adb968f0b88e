"""Power may be lost at every write: what was decided stays decided, and nothing else appears.

Named invariants: AcknowledgedDecisionsSurvive, NothingFromNowhere, LeaderEpochsOnlyGrow.
"""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.raft.cluster_commands import (
    AllocateProducerIds,
    AlterConfigs,
    Command,
    CreateTopic,
    DeleteTopic,
)
from headrace.raft.cluster_group import ClusterGroup
from headrace.raft.raft_wal import RaftWal
from headrace.raft.replica_manager import ReplicaManager
from tests.raft.fake_log import FakeLogManager
from tests.simulation.forgetful_disk import ForgetfulDisk, Image, restore
from tests.support.manual_clock import ManualClock

NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("create"), NAMES, st.integers(1, 3)),
    st.tuples(st.just("delete"), NAMES, st.just(0)),
    st.tuples(st.just("configure"), NAMES, st.integers(0, 9)),
    st.tuples(st.just("producer ids"), NAMES, st.integers(1, 9)),
    st.tuples(st.just("checkpoint"), NAMES, st.just(0)),
    st.tuples(st.just("restart"), NAMES, st.just(0)),
)


class Machine:
    """A broker's agreement floor, and what it has acknowledged."""

    def __init__(self, folder: Path, logs: FakeLogManager, *, life: int) -> None:
        self.wal = RaftWal.open(folder, checkpoint_bytes=2048)
        self.cluster = ClusterGroup(self.wal, broker_id=0)
        self.logs = logs
        self.replicas = ReplicaManager(
            broker_id=0,
            log_manager=logs,
            cluster_group=self.cluster,
            wal=self.wal,
            clock=ManualClock(seed=life),
        )

    def command_of(self, step: tuple[str, str, int], number: int) -> Command | None:
        kind, name, value = step
        topic = self.cluster.state.topics.get(name)
        if kind == "create":
            return CreateTopic(name, (number + 1).to_bytes(16, "big"), ((0,),) * value)
        if kind == "delete":
            return DeleteTopic(topic.topic_id) if topic else None
        if kind == "configure":
            return AlterConfigs("topic", name, {"retention.ms": str(value)})
        if kind == "producer ids":
            return AllocateProducerIds(0, value)
        return None


def epochs_of(replicas: ReplicaManager) -> dict[tuple[bytes, int], int]:
    return {(p.topic_id, p.index): p.leader_epoch for p in replicas.partitions()}


@settings(max_examples=15, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=10))
@example([("create", "a", 1), ("checkpoint", "a", 0), ("producer ids", "a", 5)])
@example([("create", "a", 2), ("restart", "a", 0), ("checkpoint", "a", 0), ("delete", "a", 0)])
def test_power_lost_at_any_write_loses_no_decision(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("disk")
    again = tmp_path_factory.mktemp("again")
    logs = FakeLogManager()
    acknowledged: list[bytes] = []
    epochs: dict[tuple[bytes, int], int] = {}
    moments: list[tuple[int, dict[tuple[bytes, int], int], Image]] = []
    disk = ForgetfulDisk(
        folder,
        lambda images: moments.extend((len(acknowledged), dict(epochs), i) for i in images),
    )
    machine = Machine(folder, logs, life=0)
    machine.replicas.start()
    acknowledged.append(machine.cluster.state.to_bytes())
    with disk.watching():
        for number, step in enumerate(steps):
            if step[0] == "checkpoint":
                machine.wal.checkpoint()
            elif step[0] == "restart":
                machine.wal.close()
                machine = Machine(folder, logs, life=number + 1)
                machine.replicas.start()
            elif (command := machine.command_of(step, number)) is not None:
                machine.cluster.propose(command)
                acknowledged.append(machine.cluster.state.to_bytes())
            epochs.update(epochs_of(machine.replicas))
    machine.wal.close()
    acknowledged.append(acknowledged[-1])
    distinct = {repr(sorted(image.items())): (n, e, image) for n, e, image in moments}
    for count, known_epochs, image in distinct.values():
        _check_image(restore(image, again), acknowledged[count - 1 : count + 1], known_epochs)


def _check_image(
    folder: Path, possible_states: list[bytes], known_epochs: dict[tuple[bytes, int], int]
) -> None:
    """After a power loss: the last acknowledged state, or that of the decision under way."""
    found = Machine(folder, FakeLogManager(), life=99)
    assert found.cluster.state.to_bytes() in possible_states
    found.replicas.start()
    for key, epoch in epochs_of(found.replicas).items():
        assert epoch > known_epochs.get(key, -1), "a leader epoch must not be used twice"
    found.wal.close()


def test_the_checker_sees_a_journal_that_does_not_sync(tmp_path: Path) -> None:
    """A canary: without the sync, an acknowledged decision is lost, and the images show it."""
    folder = tmp_path / "disk"
    machine = Machine(folder, FakeLogManager(), life=0)
    images: list[Image] = []
    disk = ForgetfulDisk(folder, images.extend)
    with disk.watching(), pytest.MonkeyPatch.context() as patched:
        patched.setattr("os.fdatasync", lambda fd: None)
        machine.cluster.propose(AllocateProducerIds(0, 5))
    machine.wal.close()
    assert 0 in _next_producer_ids(images[-8:], tmp_path)


def test_the_checker_sees_a_checkpoint_whose_name_is_not_synced(tmp_path: Path) -> None:
    """A canary: the new file's name is lost with the power, and with it what was written there."""
    folder = tmp_path / "disk"
    machine = Machine(folder, FakeLogManager(), life=0)
    images: list[Image] = []
    disk = ForgetfulDisk(folder, images.extend)
    with disk.watching(), pytest.MonkeyPatch.context() as patched:
        machine.cluster.propose(AllocateProducerIds(0, 5))
        patched.setattr("os.fsync", lambda fd: None)
        machine.wal.checkpoint()
        machine.cluster.propose(AllocateProducerIds(0, 5))
    machine.wal.close()
    assert 5 in _next_producer_ids(images[-8:], tmp_path)


def _next_producer_ids(images: list[Image], folder: Path) -> set[int]:
    found = set()
    for number, image in enumerate(images):
        wal = RaftWal.open(restore(image, folder / str(number)))
        found.add(ClusterGroup(wal, broker_id=0).state.next_producer_id)
        wal.close()
    return found
