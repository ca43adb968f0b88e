"""From one state of the cluster to a later one: who follows by commands misses nothing."""

from headrace.raft.cluster_commands import CreateTopic, FinishReassignment, ReassignPartitions
from headrace.raft.cluster_diff import commands_between
from headrace.raft.cluster_state import ClusterState

ID_A = b"a" * 16


def test_moves_that_ended_or_began_meanwhile_are_told() -> None:
    old = ClusterState()
    old.apply(CreateTopic("clicks", ID_A, ((0,), (0,), (0,), (0,))))
    old.apply(ReassignPartitions(ID_A, ((0, (1,)), (1, (0,)), (2, (1,)))))
    new = ClusterState.from_bytes(old.to_bytes())
    new.apply(FinishReassignment(ID_A, 0, (1,)))
    new.apply(FinishReassignment(ID_A, 1, (0,)))
    new.apply(ReassignPartitions(ID_A, ((3, (2,)),)))
    topic = new.topics["clicks"]
    assert list(commands_between(old, new)) == [
        (FinishReassignment(ID_A, 0, (1,)), topic),
        (FinishReassignment(ID_A, 1, (0,)), topic),
        (ReassignPartitions(ID_A, ((2, (1,)), (3, (2,)))), topic),
    ]
    assert list(commands_between(new, new)) == []
