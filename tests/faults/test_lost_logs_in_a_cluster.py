"""The last in-sync replica comes back without its log: nobody leads rather than lose records."""

import contextlib
import io
import shutil
from pathlib import Path

import pytest

from headrace.api.cli.__main__ import main
from headrace.core.checkpoint_file import HIGH_WATERMARK_NAME
from tests.chaos.workload import read_all
from tests.support.cluster_processes import ClusterProcesses, wait_until
from tests.support.requests import Requester
from tests.support.stored_records import produce

pytestmark = pytest.mark.slow

TOPIC = "clicks"
ROUND = 20


def said_by(*words: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(list(words)) == 0
    return printed.getvalue()


def status_of(cluster: ClusterProcesses) -> str:
    return said_by("cluster", "status", "-b", cluster.bootstrap)


def produce_round(cluster: ClusterProcesses, first: int) -> None:
    with Requester(cluster.brokers[cluster.wait_led(TOPIC)].port) as requester:
        for number in range(first, first + ROUND):
            assert produce(requester, TOPIC, b"%d" % number, acks=-1)[0] == 0


def leave_one_in_sync(cluster: ClusterProcesses) -> tuple[int, int]:
    """Two rounds, the second without one replica: who is alone in the isr, and who is behind."""
    cluster.create_topic(TOPIC, replication_factor=2)
    produce_round(cluster, 0)
    (part,) = cluster.partitions(TOPIC)
    last = part["leader_id"]
    (behind,) = set(part["replica_nodes"]) - {last}
    cluster.kill(behind)
    wait_until(
        lambda: cluster.partitions(TOPIC, last)[0]["isr_nodes"] == [last],
        f"broker {last} is alone in the isr",
    )
    produce_round(cluster, ROUND)
    return last, behind


@pytest.mark.parametrize("is_killed", [False, True])
def test_the_last_in_sync_replica_without_its_folder_is_not_elected(
    tmp_path: Path, is_killed: bool
) -> None:
    with ClusterProcesses(tmp_path) as cluster:
        last, behind = leave_one_in_sync(cluster)
        broker = cluster.brokers[last]
        checkpoint = broker.data / HIGH_WATERMARK_NAME
        wait_until(
            lambda: checkpoint.exists() and f"{TOPIC} 0 " in checkpoint.read_text(),
            "the log is checkpointed",
        )
        folder, kept = broker.data / f"{TOPIC}-0", tmp_path / "kept"
        cluster.kill(last) if is_killed else cluster.stop(last)
        shutil.move(folder, kept)
        cluster.start([behind, last])
        for _ in range(2):  # the second start knows no less than the first
            wait_until(lambda: is_unled(cluster, last), "every broker tells that nobody leads")
            assert not folder.exists()
            assert "its folder is gone from" in broker.log.read_text()
            cluster.kill(last) if is_killed else cluster.stop(last)
            cluster.start([last])
        # Metadata lists the replica as offline before its broker is up, too: a moment later, why.
        wait_until(
            lambda: f"broker {last} cannot serve its log" in status_of(cluster),
            "the status tells what keeps the partition from being led",
        )
        wait_until(lambda: is_unled(cluster, last), "every broker tells that nobody leads")
        assert f"headrace cluster elect {TOPIC}:0 --unclean" in status_of(cluster)
        # With its folder back it leads again, and everything is there.
        cluster.kill(last) if is_killed else cluster.stop(last)
        shutil.move(kept, folder)
        cluster.start([last])
        cluster.wait_in_sync([TOPIC])
        check_all(cluster, 2 * ROUND)


def test_a_person_may_give_up_what_the_lost_log_had(tmp_path: Path) -> None:
    with ClusterProcesses(tmp_path) as cluster:
        last, behind = leave_one_in_sync(cluster)
        assert cluster.stop(last) == 0
        shutil.rmtree(cluster.brokers[last].data / f"{TOPIC}-0")
        cluster.start([behind, last])
        wait_until(lambda: is_unled(cluster, last), "every broker tells that nobody leads")
        said = said_by("cluster", "elect", f"{TOPIC}:0", "--unclean", "-b", cluster.bootstrap)
        assert said.startswith("1 elected, 0 refused")
        cluster.wait_in_sync([TOPIC])
        assert cluster.leader_of(TOPIC) == behind
        check_all(cluster, ROUND)


def is_unled(cluster: ClusterProcesses, last: int) -> bool:
    parts = [cluster.partitions(TOPIC, number)[0] for number in cluster.running]
    return len(parts) == 3 and all(
        part["leader_id"] == -1
        and part["isr_nodes"] == [last]
        and part["offline_replicas"] == [last]
        for part in parts
    )


def check_all(cluster: ClusterProcesses, count: int) -> None:
    contents = read_all(cluster.bootstrap, (TOPIC, 0))
    assert contents == {number: b"%d" % number for number in range(count)}
