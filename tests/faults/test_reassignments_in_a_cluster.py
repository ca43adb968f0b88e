"""Moves between brokers that die in the middle: they go on, or are called off, and lose nothing."""

from collections.abc import Iterator

import pytest

from headrace.api.cli.admin_client import BROKER_RESOURCE, TOPIC_RESOURCE, AdminClient
from headrace.api.cli.cluster_admin import raise_refusals, reassign, reassignments
from headrace.api.cli.replication_throttles import (
    FOLLOWER_RATE,
    FOLLOWER_REPLICAS,
    LEADER_RATE,
    LEADER_REPLICAS,
)
from tests.support.cluster_processes import ClusterProcesses, wait_until
from tests.support.in_process_broker import batch_of, produce_body
from tests.support.requests import Requester

pytestmark = pytest.mark.slow

MEBIBYTES = 6
HELD_BACK, FREE = "100", "1000000000"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterProcesses]:
    with ClusterProcesses(tmp_path_factory.mktemp("deaths")) as running:
        yield running


def set_rate(cluster: ClusterProcesses, bytes_per_s: str) -> None:
    """What brokers may send and take of the throttled replicas."""
    with AdminClient(cluster.bootstrap) as admin:
        sets = {LEADER_RATE: bytes_per_s, FOLLOWER_RATE: bytes_per_s}
        admin.alter_configs(BROKER_RESOURCE, "", sets=sets)


def held_back_move(cluster: ClusterProcesses, topic: str, *steps: list[int]) -> None:
    """A topic's only partition is on its way from the first to the second, and gets nowhere."""
    set_rate(cluster, HELD_BACK)
    start, target = steps
    with AdminClient(cluster.bootstrap) as admin:
        admin.create_topic(topic, assignment={0: start})
        cluster.wait_in_sync([topic])
        everybody = {LEADER_REPLICAS: "*", FOLLOWER_REPLICAS: "*"}
        with Requester(cluster.brokers[start[0]].port) as client:
            value = bytes(range(256)) * 512
            for _ in range(8 * MEBIBYTES):
                answer = client.ask(0, 9, produce_body(topic, batch_of(value)))
                assert answer["responses"][0]["partition_responses"][0]["error_code"] == 0
        cluster.wait_in_sync([topic])
        admin.alter_configs(TOPIC_RESOURCE, topic, sets=everybody)
        raise_refusals(reassign(admin, {(topic, 0): target}))
    wait_until(lambda: is_held_by(cluster, topic, {*start, *target}), "the new copy is begun")


def is_held_by(cluster: ClusterProcesses, topic: str, brokers: set[int]) -> bool:
    told = [cluster.partitions(topic, number) for number in cluster.running]
    return all(set(parts[0]["replica_nodes"]) == brokers for parts in told)


def is_moving(cluster: ClusterProcesses, topic: str) -> bool:
    with AdminClient(cluster.bootstrap) as admin:
        return bool(reassignments(admin, [(topic, 0)]))


def end_of(cluster: ClusterProcesses, topic: str) -> int:
    """Up to where the partition's leader has committed."""
    with AdminClient(cluster.bootstrap) as admin:
        cluster.wait_led(topic)
        (offset,) = admin.list_offsets(admin.topics([topic]), -1).values()
    return int(offset)


def test_a_move_whose_target_dies_goes_on_once_it_is_back(cluster: ClusterProcesses) -> None:
    held_back_move(cluster, "goes-on", [0], [1])
    end = end_of(cluster, "goes-on")
    cluster.kill(1)
    assert is_moving(cluster, "goes-on")
    set_rate(cluster, FREE)
    cluster.start([1])
    wait_until(lambda: is_held_by(cluster, "goes-on", {1}), "it is there")
    wait_until(lambda: not is_moving(cluster, "goes-on"), "the cluster takes note")
    assert end_of(cluster, "goes-on") == end


def test_a_move_whose_target_is_down_can_be_called_off(cluster: ClusterProcesses) -> None:
    held_back_move(cluster, "back", [0], [2])
    end = end_of(cluster, "back")
    cluster.kill(2)
    with AdminClient(cluster.bootstrap) as admin:
        raise_refusals(reassign(admin, {("back", 0): None}))
    wait_until(lambda: is_held_by(cluster, "back", {0}), "it is back where it was")
    wait_until(lambda: not is_moving(cluster, "back"), "the cluster takes note")
    assert end_of(cluster, "back") == end
    cluster.start([2])
    cluster.wait_formed()


def test_a_move_whose_leader_dies_is_led_on_and_ends_without_it(cluster: ClusterProcesses) -> None:
    held_back_move(cluster, "led-on", [0, 1], [1, 2])
    end = end_of(cluster, "led-on")
    cluster.kill(0)
    wait_until(lambda: cluster.leader_of("led-on") == 1, "broker 1 leads")
    assert is_moving(cluster, "led-on")
    set_rate(cluster, FREE)
    wait_until(lambda: is_held_by(cluster, "led-on", {1, 2}), "it is there")
    assert end_of(cluster, "led-on") == end
    cluster.start([0])
    cluster.wait_in_sync(["led-on"])
    assert is_held_by(cluster, "led-on", {1, 2})
