"""Every broker's disk is full: producers are refused, nothing is lost, room heals everything."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster_processes import ClusterProcesses, wait_until
from tests.support.replica_bytes import differing
from tests.support.requests import Requester
from tests.support.small_disk import make_room, small_disks
from tests.support.stored_records import fetch_once, produce
from tests.support.two_folders import TOPIC

pytestmark = pytest.mark.slow

BROKERS = range(3)
NONE, REQUEST_TIMED_OUT, NOT_LEADER_OR_FOLLOWER = 0, 7, 6
NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND = 19, 20
KAFKA_STORAGE_ERROR = 56
# What a client tries again; the disk may be full on the leader or on its followers first.
RETRIABLE = {
    REQUEST_TIMED_OUT,
    NOT_LEADER_OR_FOLLOWER,
    NOT_ENOUGH_REPLICAS,
    NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KAFKA_STORAGE_ERROR,
}
VALUE_BYTES = 40_000


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[list[Path]]:
    """Where the brokers keep everything: a file system of 8 MiB each."""
    folders = [tmp_path / f"broker-{number}" / "data" for number in BROKERS]
    with small_disks(folders):
        yield folders


class Acknowledged:
    """Batches of one record, each sent once to whoever leads; what was acknowledged is kept."""

    def __init__(self, cluster: ClusterProcesses) -> None:
        self._cluster = cluster
        self._number = 0
        self.values: dict[int, bytes | None] = {}

    def send(self) -> int:
        """The error code of one more record."""
        value = b"%d " % self._number + bytes(VALUE_BYTES)
        self._number += 1
        leader = self._cluster.wait_led(TOPIC)
        with Requester(self._cluster.brokers[leader].port, timeout_s=60) as requester:
            code, offset = produce(requester, TOPIC, value)
        if code == NONE:
            self.values[offset] = value
        return code

    def check(self) -> None:
        """All of it is there; what was refused may be there, too, as it may have been written."""
        found: dict[int, bytes | None] = {}

        def has_all() -> bool:
            leader = self._cluster.wait_led(TOPIC)
            with Requester(self._cluster.brokers[leader].port, timeout_s=60) as requester:
                while True:
                    read = fetch_once(requester, TOPIC, max(found, default=-1) + 1)
                    # One whose disk filled up, or has room again, hands over or is asked to lead.
                    assert read.error_code in (NONE, NOT_LEADER_OR_FOLLOWER), read.error_code
                    found.update(read.values)
                    if not read.values:
                        return self.values.keys() <= found.keys()

        wait_until(has_all, "every record that was acknowledged is read")
        assert {offset: found[offset] for offset in self.values} == self.values


def test_full_disks_refuse_lose_nothing_and_heal_with_room(
    disks: list[Path], tmp_path: Path
) -> None:
    with ClusterProcesses(tmp_path) as cluster:
        cluster.create_topic(
            TOPIC, configs={"segment.bytes": str(1 << 20), "min.insync.replicas": "2"}
        )
        sent = Acknowledged(cluster)
        codes = [sent.send() for _ in range(250)]  # 10 MB
        assert set(codes) <= {NONE, *RETRIABLE}, codes
        assert KAFKA_STORAGE_ERROR in codes
        assert NONE not in codes[-20:], codes
        sent.check()
        for folder in disks:
            make_room(folder)
        for _ in range(20):
            wait_until(lambda: sent.send() == NONE, "a record is acknowledged again")
        cluster.wait_in_sync([TOPIC])
        sent.check()
        assert [cluster.stop(number) for number in BROKERS] == [0, 0, 0]
        folders = {number: broker.data for number, broker in cluster.brokers.items()}
        assert differing(folders, [(TOPIC, 0)]) == {}
