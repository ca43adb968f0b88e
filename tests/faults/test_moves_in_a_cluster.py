"""Replicas of three brokers move between log.dirs under load, as leaders and as followers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.api.cli.admin_client import BROKER_RESOURCE, AdminClient
from headrace.api.wire.api_keys import ApiKey
from headrace.core.log_verify import verify_log_dir
from tests.support.cluster_processes import wait_until
from tests.support.replica_bytes import log_end_offset, replica_bytes
from tests.support.requests import Requester
from tests.support.two_folders import TOPIC, Load, TwoFolders

pytestmark = pytest.mark.slow

NONE = 0
RATE = "replica.alter.log.dirs.io.max.bytes.per.second"
SLOW, FAST = "200000", "1000000000"  # after a burst of eleven seconds' worth
CONFIGS = {"segment.bytes": str(1 << 20)}
BIG = 20_000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[TwoFolders]:
    with TwoFolders(tmp_path) as running:
        yield running


def begin_move(cluster: TwoFolders, number: int) -> Path:
    """Have that broker's copy of partition 0 in its other folder; gives that folder."""
    target = cluster.other_folder(number, 0)
    asked = {"path": str(target), "topics": [{"name": TOPIC, "partitions": [0]}]}
    with Requester(cluster.brokers[number].port) as requester:
        answer = requester.ask(ApiKey.ALTER_REPLICA_LOG_DIRS, 2, {"dirs": [asked]})
    (result,) = answer["results"]
    assert [each["error_code"] for each in result["partitions"]] == [NONE]
    return target


def limit_moves(cluster: TwoFolders, bytes_per_s: str) -> None:
    """As kafka-configs.sh does for all brokers."""
    with AdminClient(cluster.bootstrap) as admin:
        admin.alter_configs(BROKER_RESOURCE, "", sets={RATE: bytes_per_s})


def whereabouts(cluster: TwoFolders, number: int) -> dict[bool, Path]:
    """is_future_key -> the folder of log.dirs that holds that copy."""
    with Requester(cluster.brokers[number].port) as requester:
        answer = requester.ask(ApiKey.DESCRIBE_LOG_DIRS, 4, {"topics": None})
    return {
        partition["is_future_key"]: Path(folder["log_dir"])
        for folder in answer["results"]
        for topic in folder["topics"]
        if topic["name"] == TOPIC
        for partition in topic["partitions"]
    }


def wait_moved(cluster: TwoFolders, number: int, target: Path) -> None:
    wait_until(
        lambda: whereabouts(cluster, number) == {False: target}, f"broker {number} has moved it"
    )


def check_copies(cluster: TwoFolders) -> None:
    """After a clean stop all three hold the same bytes, once, and no folder is left over."""
    copies = {}
    for number in cluster.brokers:
        folders = [cluster.brokers[number].data, cluster.second(number)]
        (copies[number],) = [
            found for folder in folders if (found := folder / f"{TOPIC}-0").exists()
        ]
        for folder in folders:
            assert not list(folder.glob("*-future"))
            assert [each for each in verify_log_dir(folder) if each.severity == "error"] == []
    ends = {log_end_offset(folder) for folder in copies.values()}
    (end,) = ends
    assert len({replica_bytes(folder, end) for folder in copies.values()}) == 1


def stop_all(cluster: TwoFolders) -> None:
    for number in list(cluster.running):
        assert cluster.stop(number) == 0


@pytest.mark.parametrize("who", ["leader", "follower", "all"])
def test_replicas_move_under_load_and_nobody_leaves_the_isr(cluster: TwoFolders, who: str) -> None:
    cluster.create_topic(TOPIC, configs=CONFIGS)
    leader = cluster.leader_of(TOPIC)
    followers = sorted(cluster.brokers.keys() - {leader})
    moving = {"leader": [leader], "follower": followers[:1], "all": [leader, *followers]}[who]
    load = Load(cluster, 0)
    load.send(size_bytes=BIG)
    load.settle()
    targets = {number: begin_move(cluster, number) for number in moving}
    load.send(size_bytes=BIG)
    for number, target in targets.items():
        wait_moved(cluster, number, target)
    load.send(size_bytes=BIG)
    load.settle()
    cluster.wait_in_sync([TOPIC])
    part = cluster.partitions(TOPIC)[0]
    assert (part["leader_id"], part["leader_epoch"]) == (leader, 0)  # never led by another
    # The copies that moved are followed, and lead, as the former ones did.
    cluster.kill(leader)
    cluster.wait_led(TOPIC)
    load.send(size_bytes=BIG)
    load.settle()
    cluster.start([leader])
    cluster.wait_in_sync([TOPIC])
    stop_all(cluster)
    check_copies(cluster)


@pytest.mark.parametrize("is_leader", [True, False])
def test_a_broker_that_dies_while_it_moves_a_replica_goes_on_when_it_is_back(
    cluster: TwoFolders, is_leader: bool
) -> None:
    limit_moves(cluster, SLOW)
    cluster.create_topic(TOPIC, configs=CONFIGS)
    leader = cluster.leader_of(TOPIC)
    number = leader if is_leader else min(cluster.brokers.keys() - {leader})
    load = Load(cluster, 0)
    load.send(400, size_bytes=BIG)
    load.settle()
    target = begin_move(cluster, number)
    load.send(size_bytes=BIG)
    wait_until(lambda: whereabouts(cluster, number).get(True) == target, "the move is under way")
    cluster.kill(number)
    load.send(size_bytes=BIG)
    load.settle()
    cluster.start([number])
    limit_moves(cluster, FAST)
    load.send(size_bytes=BIG)
    cluster.wait_in_sync([TOPIC])
    wait_moved(cluster, number, target)
    load.send()
    load.settle()
    stop_all(cluster)
    check_copies(cluster)


def test_a_disk_that_fails_under_a_copy_leaves_the_replica_where_it_was(
    cluster: TwoFolders,
) -> None:
    cluster.create_topic(TOPIC, configs=CONFIGS)
    leader = cluster.leader_of(TOPIC)
    load = Load(cluster, 0)
    load.send(size_bytes=BIG)
    load.settle()
    before = whereabouts(cluster, leader)[False]
    target = cluster.other_folder(leader, 0)
    # Only the copy, so that the journal, which may be in that folder, goes on.
    cluster.disk.is_read_only(target / f"{TOPIC}-0.")
    asked = {"path": str(target), "topics": [{"name": TOPIC, "partitions": [0]}]}
    with Requester(cluster.brokers[leader].port) as requester:
        requester.ask(ApiKey.ALTER_REPLICA_LOG_DIRS, 2, {"dirs": [asked]})
    wait_until(
        lambda: f"{target} goes offline" in cluster.brokers[leader].log.read_text(),
        "the folder of the copy is offline",
    )
    load.send(size_bytes=BIG)
    load.settle()
    part = cluster.partitions(TOPIC)[0]
    assert (part["leader_id"], part["leader_epoch"]) == (leader, 0)
    assert part["offline_replicas"] == []
    assert set(part["isr_nodes"]) == {0, 1, 2}
    assert whereabouts(cluster, leader) == {False: before}
