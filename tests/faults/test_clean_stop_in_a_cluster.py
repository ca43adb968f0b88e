"""A broker that stops cleanly keeps its incarnation, so it must keep what it had applied too."""

from pathlib import Path

import pytest

from headrace.raft.partition_group import parse_partition_group_id
from headrace.raft.partition_state import PartitionState
from headrace.raft.raft_wal import WAL_FOLDER_NAME, RaftWal
from tests.support.cluster_processes import ClusterProcesses, wait_until

pytestmark = pytest.mark.interop


def stored_state(data: Path) -> PartitionState:
    """The partition's state at the next start, before any other broker is heard of."""
    wal = RaftWal.open(data / WAL_FOLDER_NAME)
    try:
        (image,) = [
            image
            for group_id, image in wal.replay().items()
            if parse_partition_group_id(group_id) is not None
        ]
        return PartitionState.from_bytes(image.snapshot)
    finally:
        wal.close()


def test_applied_election_is_known_again_after_a_clean_stop(tmp_path: Path) -> None:
    with ClusterProcesses(tmp_path) as cluster:
        cluster.create_topic("clicks")
        deposed = cluster.leader_of("clicks")
        first_epoch = cluster.partitions("clicks")[0]["leader_epoch"]
        cluster.kill(deposed)
        survivors = cluster.running

        def all_follow_another() -> bool:
            leaders = {cluster.leader_of("clicks", via=number) for number in survivors}
            return len(leaders) == 1 and leaders <= set(survivors)

        wait_until(all_follow_another, "another leader")
        leader = cluster.leader_of("clicks", via=survivors[0])
        (follower,) = [number for number in survivors if number != leader]
        (told,) = cluster.partitions("clicks", via=follower)
        assert told["leader_epoch"] > first_epoch
        assert cluster.stop(follower) == 0
        state = stored_state(cluster.brokers[follower].data)
        # One election at least; on a machine that stalls there may be another while it stops.
        assert state.leader_epoch >= told["leader_epoch"]
        if state.leader_epoch == told["leader_epoch"]:
            assert state.leader == told["leader_id"]


def test_two_brokers_keep_it_as_well_though_one_decides_alone_on_the_cluster(
    tmp_path: Path,
) -> None:
    with ClusterProcesses(tmp_path, count=2) as cluster:
        cluster.create_topic("clicks")
        first = cluster.leader_of("clicks")
        first_epoch = cluster.partitions("clicks")[0]["leader_epoch"]
        assert cluster.stop(first) == 0  # it gives its leadership away before it goes
        (other,) = cluster.running
        wait_until(lambda: cluster.leader_of("clicks") == other, "the other one leads")
        (told,) = cluster.partitions("clicks")
        assert told["leader_epoch"] > first_epoch
        assert cluster.stop(other) == 0
        state = stored_state(cluster.brokers[other].data)
        assert (state.leader, state.leader_epoch) == (other, told["leader_epoch"])
