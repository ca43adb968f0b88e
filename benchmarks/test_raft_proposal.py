"""What does one decision cost: journaled, synced, applied, answered?

With one voter it is taken on the loop thread.  With three, a majority of them has it on disk by
fdatasync before it is told; all three Raft threads share this process and its one interpreter lock,
so three processes are a little faster.
"""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import Report
from headrace.raft.cluster_commands import AllocateProducerIds
from headrace.raft.cluster_group import ClusterGroup
from headrace.raft.raft_wal import RaftWal
from tests.support.raft_stage import RaftNode, RaftStage


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


@pytest.mark.sizes((3, 2), (200, 300))
@pytest.mark.parametrize("proposer", ["controller", "another voter"])
def test_propose_to_three_voters(
    benchmark: Any, report: Report, tmp_path: Path, size: tuple[int, int], proposer: str
) -> None:
    """One decision at a time, over `size[0]` groups in turn, asleep or not."""
    groups, decisions = size
    with RaftStage(tmp_path) as stage:
        for number in range(groups):
            stage.open_group(f"g{number}", (1, 2, 3))
        for number in range(groups):
            stage.nodes[1].propose(f"g{number}", b"first")
        nodes: dict[str, RaftNode] = {}
        for number in range(groups):
            controller = stage.wait_for_controller(f"g{number}")
            other = stage.nodes[1 + controller.broker_id % 3]
            nodes[f"g{number}"] = controller if proposer == "controller" else other
        turn = list(nodes.items())
        outcomes: list[Any] = []

        def propose() -> None:
            for number in range(decisions):
                group_id, node = turn[number % groups]
                outcomes.append(node.propose(group_id, b"decision"))

        benchmark.pedantic(propose, rounds=3)
        assert all(isinstance(outcome, tuple) for outcome in outcomes)
        report(b"%d" % len(outcomes), records=decisions)
