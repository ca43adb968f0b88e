"""A leader that is stopped in its tracks (SIGSTOP) and goes on when another one leads."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster_processes import ClusterProcesses, wait_until
from tests.support.requests import Requester
from tests.support.stored_records import LIST_OFFSETS, produce

NONE, NOT_LEADER_OR_FOLLOWER = 0, 6
LATEST = -1
TOPIC = "clicks"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterProcesses]:
    with ClusterProcesses(tmp_path) as running:
        running.create_topic(TOPIC)
        yield running


def test_a_leader_that_was_stopped_serves_nothing_that_waited_in_its_sockets(
    cluster: ClusterProcesses,
) -> None:
    old = cluster.wait_led(TOPIC)
    asked = {
        "replica_id": -1,
        "isolation_level": 0,
        "topics": [{"name": TOPIC, "partitions": [{"partition_index": 0, "timestamp": LATEST}]}],
    }
    with Requester(cluster.brokers[old].port) as requester:
        assert produce(requester, TOPIC, b"first") == (NONE, 0)
        cluster.pause(old)
        other = next(number for number in cluster.running if number != old)
        wait_until(
            lambda: cluster.leader_of(TOPIC, via=other) not in (old, -1), "another broker leads"
        )
        new = cluster.leader_of(TOPIC, via=other)
        with Requester(cluster.brokers[new].port) as at_new:
            assert produce(at_new, TOPIC, b"second")[0] == NONE
        waiting = requester.send(LIST_OFFSETS, 5, asked)
        cluster.resume(old)
        (topic,) = requester.receive(LIST_OFFSETS, 5, waiting)["topics"]
    assert topic["partitions"][0]["error_code"] == NOT_LEADER_OR_FOLLOWER
