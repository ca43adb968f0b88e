"""A broker of a cluster is started on an older copy of its own folder: nobody takes it."""

import shutil
from pathlib import Path

import pytest

from tests.chaos.workload import read_all
from tests.support.cluster_processes import ClusterProcesses

pytestmark = pytest.mark.slow

TOPIC = "clicks"
RESTORED = 1


def test_an_older_copy_is_not_elected_and_what_came_after_it_is_kept(tmp_path: Path) -> None:
    with ClusterProcesses(tmp_path) as cluster:
        broker, copy = cluster.brokers[RESTORED], tmp_path / "copy"
        cluster.create_topic(TOPIC, replication_factor=3)
        cluster.produce(TOPIC, b"0")
        assert cluster.stop(RESTORED) == 0
        shutil.copytree(broker.data, copy)
        cluster.start([RESTORED])
        cluster.wait_in_sync([TOPIC])
        for number in range(1, 10):
            cluster.produce(TOPIC, b"%d" % number)
        for number in cluster.running:
            cluster.kill(number)
        shutil.rmtree(broker.data)
        shutil.copytree(copy, broker.data)
        restored = broker.launch()
        cluster.start(number for number in cluster.brokers if number != RESTORED)
        assert restored.wait(timeout=60) == 1
        assert "the folder is an older copy of broker 1" in broker.log.read_text()
        cluster.wait_led(TOPIC)
        check_all(cluster)
        broker.kill()
        shutil.rmtree(broker.data)
        cluster.start([RESTORED])
        cluster.wait_in_sync([TOPIC])
        check_all(cluster)


def check_all(cluster: ClusterProcesses) -> None:
    contents = read_all(cluster.bootstrap, (TOPIC, 0))
    assert contents == {number: b"%d" % number for number in range(10)}
