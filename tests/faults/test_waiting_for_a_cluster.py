"""Brokers that wait for their cluster: told to stop, moved to other ports, without PySyncObj."""

from pathlib import Path

import pytest

from headrace.api.cli.admin_client import AdminClient
from headrace.api.cli.cluster_admin import describe_cluster, describe_quorum, unregister_broker
from headrace.api.cli.kafka_scripts import storage
from tests.support.broker_process import BrokerProcess, free_port
from tests.support.cluster_processes import ClusterProcesses, wait_until
from tests.support.requests import Requester
from tests.support.stored_records import fetch_all

pytestmark = pytest.mark.interop


def joining(folder: Path, environment: dict[str, str] | None = None) -> BrokerProcess:
    """A new broker whose cluster is at an address where nobody listens."""
    nobody = f"127.0.0.1:{free_port()}"
    config = {"controller.quorum.bootstrap.servers": nobody}
    return BrokerProcess(folder, config=config, environment=environment)


def test_broker_that_has_not_joined_stops_when_it_is_told_to(tmp_path: Path) -> None:
    broker = joining(tmp_path)
    broker.launch()
    try:
        wait_until(lambda: "no cluster found" in broker.log.read_text(), "a broker that asks")
        assert broker.terminate() == 0
    finally:
        if broker.is_running:
            broker.kill()
    assert "before the broker has joined" in broker.log.read_text()


def test_broker_without_pysyncobj_says_so_and_ends(tmp_path: Path) -> None:
    (tmp_path / "pysyncobj").mkdir()
    (tmp_path / "pysyncobj" / "__init__.py").write_text("raise ImportError('pysyncobj is broken')")
    broker = joining(tmp_path / "broker", {"PYTHONPATH": str(tmp_path)})
    broker.launch()
    try:
        assert broker.wait_for_exit() == 1
    finally:
        if broker.is_running:
            broker.kill()
    assert "pysyncobj is broken" in broker.log.read_text()


def test_folders_that_were_formatted_for_one_cluster_form_it(tmp_path: Path) -> None:
    cluster = ClusterProcesses(tmp_path)
    cluster_id = "MkU3OEVBNTcwNTJENDM2Qk"
    for broker in cluster.brokers.values():
        config = str(broker.write_properties())
        assert storage.main(["format", "--cluster-id", cluster_id, "--config", config]) == 0
    with cluster:
        assert cluster.metadata(0, [])["cluster_id"] == cluster_id
        cluster.create_topic("t", partitions=1, replication_factor=3)
        cluster.produce("t", b"v")
        for number in cluster.brokers:  # and again, as members by now
            cluster.kill(number)
        cluster.start(cluster.brokers)
        cluster.wait_formed()
        cluster.wait_in_sync(["t"])
    told = {(each.data / "meta.properties").read_text() for each in cluster.brokers.values()}
    assert all("formatted" not in each for each in told)


def test_folder_that_was_formatted_for_another_cluster_is_refused(tmp_path: Path) -> None:
    with ClusterProcesses(tmp_path, count=2) as cluster:
        other = BrokerProcess(
            tmp_path / "other",
            config={
                "node.id": "2",
                "controller.quorum.bootstrap.servers": cluster.bootstrap,
            },
        )
        config = str(other.write_properties())
        storage.main(["format", "--cluster-id", "MkU3OEVBNTcwNTJENDM2Qk", "--config", config])
        other.launch()
        try:
            assert other.wait_for_exit() == 1
        finally:
            if other.is_running:
                other.kill()
    assert "belongs to cluster.id=MkU3OEVBNTcwNTJENDM2Qk" in other.log.read_text()


def test_broker_joins_at_one_that_is_not_the_controller(tmp_path: Path) -> None:
    with ClusterProcesses(tmp_path) as cluster:
        controller = cluster.metadata(0, [])["controller_id"]
        named = cluster.ports[(controller + 1) % 3]
        config = {
            "node.id": "3",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{named}",
        }
        with BrokerProcess(tmp_path / "fourth", config=config) as fourth:
            with Requester(fourth.port) as requester:
                asked = {"topics": [], "allow_auto_topic_creation": False}
                told = requester.ask(3, 12, asked)["brokers"]
            assert sorted(each["node_id"] for each in told) == [0, 1, 2, 3]


def test_a_voter_that_was_removed_comes_back_without_waiting_for_its_old_voters(
    tmp_path: Path,
) -> None:
    with ClusterProcesses(tmp_path, count=4) as cluster:
        with AdminClient(cluster.bootstrap) as admin:
            controller = describe_cluster(admin)["controller_id"]
            wait_until(lambda: len(voters_of(admin)) == 3, "three brokers vote")
            removed = next(each for each in voters_of(admin) if each != controller)
        assert cluster.stop(removed) == 0
        with AdminClient(f"127.0.0.1:{cluster.ports[controller]}") as admin:
            unregister_broker(admin, removed)
            assert removed not in voters_of(admin)
        cluster.start([removed])
        cluster.wait_formed()
        # It asked those that it had voted with, whose group has ended, and heard of that.
        said = cluster.brokers[removed].log.read_text()
        assert "agree on the cluster from now on" in said
        assert "has no controller that is known here" not in said


def voters_of(admin: AdminClient) -> list[int]:
    (topic,) = describe_quorum(admin)["topics"]
    return [voter["replica_id"] for voter in topic["partitions"][0]["current_voters"]]


def test_cluster_finds_itself_on_other_ports(tmp_path: Path) -> None:
    with ClusterProcesses(tmp_path) as before:
        before.create_topic("clicks")
        before.produce("clicks", b"one")
        for number in before.running:
            assert before.stop(number) == 0
    with ClusterProcesses(tmp_path) as after:
        assert after.ports != before.ports
        after.wait_in_sync(["clicks"])
        with Requester(after.brokers[after.wait_led("clicks")].port) as requester:
            assert fetch_all(requester, "clicks") == {0: b"one"}
