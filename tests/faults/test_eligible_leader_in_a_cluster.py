"""Both replicas die one after the other, and the first of them comes back: it leads, with all."""

import contextlib
import io
from pathlib import Path

import pytest

from headrace.api.cli.kafka_scripts.__main__ import main as run_script
from tests.chaos.workload import read_all
from tests.support.cluster_processes import NOT_ENOUGH_REPLICAS, ClusterProcesses, wait_until
from tests.support.requests import Requester
from tests.support.stored_records import produce

pytestmark = pytest.mark.slow

TOPIC = "clicks"
ACKNOWLEDGED = {number: b"%d" % number for number in range(20)}


def describe(cluster: ClusterProcesses) -> str:
    """The partition's line of `kafka-topics --describe`."""
    words = ["--bootstrap-server", cluster.bootstrap, "--describe", "--topic", TOPIC]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert run_script(["kafka-topics", *words]) == 0
    return printed.getvalue().splitlines()[-1]


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_replica_that_left_the_isr_last_but_one_leads_where_the_last_is_gone(
    tmp_path: Path, is_killed: bool
) -> None:
    with ClusterProcesses(tmp_path) as cluster:
        cluster.create_topic(TOPIC, replication_factor=2, configs={"min.insync.replicas": "2"})
        for value in ACKNOWLEDGED.values():
            cluster.produce(TOPIC, value)
        (part,) = cluster.partitions(TOPIC)
        last = int(part["leader_id"])
        (first,) = {*part["replica_nodes"]} - {last}
        end = cluster.kill if is_killed else cluster.stop
        end(first)
        alone = f"Leader: {last}\tReplicas: {part['replica_nodes'][0]},{part['replica_nodes'][1]}"
        alone += f"\tIsr: {last}\tElr: {first}\tLastKnownElr: "
        wait_until(lambda: alone in describe(cluster), "the first one is eligible to lead")
        with Requester(cluster.brokers[last].port) as requester:
            assert produce(requester, TOPIC, b"refused", acks=-1)[0] == NOT_ENOUGH_REPLICAS
            assert produce(requester, TOPIC, b"unseen", acks=1)[0] == 0
        assert read_all(cluster.bootstrap, (TOPIC, 0)) == ACKNOWLEDGED

        end(last)
        cluster.start([first])
        assert cluster.wait_led(TOPIC) == first
        wait_until(lambda: f"Isr: {first}\tElr: {last}\t" in describe(cluster), "it is alone")
        cluster.start([last])
        cluster.wait_in_sync([TOPIC])
        assert read_all(cluster.bootstrap, (TOPIC, 0)) == ACKNOWLEDGED
        assert "\tElr: \tLastKnownElr: " in describe(cluster)
