"""Too few brokers are up to elect a leader: the status says who must come back, and that is so."""

import contextlib
import io
from pathlib import Path

import pytest

from headrace.api.cli.__main__ import main
from tests.support.cluster_processes import ClusterProcesses, wait_until

pytestmark = pytest.mark.slow

TOPIC = "clicks"


def status_of(cluster: ClusterProcesses) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["cluster", "status", "-b", cluster.bootstrap]) == 0
    return printed.getvalue()


def test_the_status_asks_for_a_majority_and_not_for_an_election_by_hand(tmp_path: Path) -> None:
    with ClusterProcesses(tmp_path) as cluster:
        cluster.create_topic(TOPIC)
        (part,) = cluster.partitions(TOPIC)
        survivor = next(each for each in part["isr_nodes"] if each != part["leader_id"])
        killed = sorted(set(cluster.brokers) - {survivor})
        for number in killed:
            cluster.kill(number)
        wait_until(
            lambda: f"Bring back 1 of brokers {','.join(map(str, killed))}" in status_of(cluster),
            "the status says who must come back",
        )
        said = status_of(cluster)
        assert f"{TOPIC}:0 is led by nobody." in said
        assert "headrace cluster elect" not in said
        cluster.start(killed[:1])
        cluster.wait_led(TOPIC)
        assert "is led by nobody" not in status_of(cluster)
