"""What does one decision of the cluster cost: journaled, synced, applied, answered?"""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import Report
from headrace.raft.cluster_commands import AllocateProducerIds
from headrace.raft.cluster_group import ClusterGroup
from headrace.raft.raft_wal import RaftWal


@pytest.mark.sizes(2, 100)
def test_propose(benchmark: Any, report: Report, tmp_path: Path, size: int) -> None:
    wal = RaftWal.open(tmp_path)
    group = ClusterGroup(wal, broker_id=0)
    answers: list[Any] = []

    def propose() -> None:
        for _ in range(size):
            group.propose(AllocateProducerIds(0, 1000), answers.append)

    benchmark(propose)
    assert all(not isinstance(answer, Exception) for answer in answers)
    assert len(answers) % size == 0
    report(group.state.to_bytes(), records=size)
    wal.close()


@pytest.mark.sizes(10, 10_000)
def test_replay(benchmark: Any, report: Report, tmp_path: Path, size: int) -> None:
    """A start after `size` decisions, none of them in a checkpoint."""
    wal = RaftWal.open(tmp_path, checkpoint_bytes=1 << 30)
    group = ClusterGroup(wal, broker_id=0)
    for number in range(size):
        group.propose(AllocateProducerIds(number % 3, 1000))
    expected = group.state.to_bytes()
    wal.close()
    opened: list[RaftWal] = []

    def start() -> ClusterGroup:
        opened.append(RaftWal.open(tmp_path, checkpoint_bytes=1 << 30))
        return ClusterGroup(opened[-1], broker_id=0)

    def stop() -> None:
        for each in opened:
            each.close()
        opened.clear()

    started = benchmark.pedantic(start, setup=stop, rounds=3)
    assert started.state.to_bytes() == expected
    report(expected, records=size)
    opened[-1].close()
