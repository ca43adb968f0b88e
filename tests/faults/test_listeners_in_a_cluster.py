"""A cluster whose clients come another way than its brokers."""

from pathlib import Path

import pytest

from tests.support.broker_process import free_port
from tests.support.cluster_processes import ClusterProcesses, wait_until
from tests.support.requests import Requester
from tests.support.stored_records import produce

pytestmark = pytest.mark.interop

CREATE_TOPICS, METADATA = 19, 3


class WalledCluster(ClusterProcesses):
    """Clients are told addresses that lead nowhere from here; brokers have a listener inside."""

    def __init__(self, folder: Path, *, count: int) -> None:
        super().__init__(folder, count=count)
        self.outside = {number: free_port() for number in self.brokers}
        self.inside = {number: free_port() for number in self.brokers}
        for number in self.brokers:
            self.advertise(number, self.outside[number])

    def advertise(self, number: int, port: int) -> None:
        """What clients are told from the next start on."""
        self.outside[number] = port
        broker, inside = self.brokers[number], f"INSIDE://127.0.0.1:{self.inside[number]}"
        broker.configure(
            {
                "listeners": f"OUTSIDE://127.0.0.1:{broker.port},{inside}",
                "advertised.listeners": f"OUTSIDE://127.0.0.1:{port},{inside}",
                "listener.security.protocol.map": "OUTSIDE:PLAINTEXT,INSIDE:PLAINTEXT",
                "inter.broker.listener.name": "INSIDE",
                "controller.quorum.bootstrap.servers": ",".join(
                    f"127.0.0.1:{each}" for each in self.inside.values()
                ),
            }
        )

    def tells(self, port: int, told: dict[int, int]) -> bool:
        """Whether clients at `port` are told just these brokers, at these ports."""
        asked = {"topics": [], "allow_auto_topic_creation": False}
        with Requester(port) as requester:
            brokers = requester.ask(METADATA, 12, asked)["brokers"]
        return {each["node_id"]: each["port"] for each in brokers} == told

    def wait_told(self) -> None:
        """Until every broker tells every client the way to every broker."""
        for number, broker in self.brokers.items():
            outside, inside = broker.port, self.inside[number]
            wait_until(lambda: self.tells(outside, self.outside), "the clients' way")  # noqa: B023
            wait_until(lambda: self.tells(inside, self.inside), "the brokers' way")  # noqa: B023


def test_brokers_replicate_by_their_own_listener(tmp_path: Path) -> None:
    with WalledCluster(tmp_path, count=2) as cluster:
        cluster.wait_told()
        cluster.create_topic("t", partitions=2, replication_factor=2)
        for part in cluster.partitions("t"):
            # Acknowledged by both: so the follower came for it, and clients' ports lead nowhere.
            with Requester(cluster.brokers[part["leader_id"]].port) as requester:
                code, _ = produce(requester, "t", b"v", partition=part["partition_index"], acks=-1)
            assert code == 0


def test_address_that_changes_at_a_restart_is_told_by_every_broker(tmp_path: Path) -> None:
    with WalledCluster(tmp_path, count=3) as cluster:
        cluster.wait_told()
        assert cluster.stop(1) == 0
        cluster.advertise(1, free_port())
        cluster.start([1])
        cluster.wait_told()
