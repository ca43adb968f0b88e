"""A leader that hears and is not heard, or the reverse: another leads, and nothing is lost.

Only the brokers' links are cut, by proxies on loopback; clients reach every broker throughout.  The
producer has a connection to the leader alone, which hears of no election and cannot say who leads.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.workload import NumberedProducer, read_all
from tests.support.cluster_processes import ClusterProcesses, wait_until
from tests.support.history import History
from tests.support.history_checks import check_history, in_words
from tests.support.link_proxy import LinkProxies
from tests.support.replica_bytes import differing

pytestmark = [pytest.mark.interop, pytest.mark.slow]

TOPIC = "clicks"
PARTITION = (TOPIC, 0)
# Without an acknowledgement; a machine that is busy with other things may need most of it.
GAP_WITHIN_S = 20.0


class LeaderWatch:
    """Asks every broker again and again who leads the partition, and in which epoch."""

    def __init__(self, cluster: ClusterProcesses) -> None:
        self.leaders: dict[int, set[int]] = defaultdict(set)
        self._cluster = cluster
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            for number in self._cluster.brokers:
                (told,) = self._cluster.partitions(TOPIC, number)
                if told["leader_id"] >= 0:
                    self.leaders[told["leader_epoch"]].add(told["leader_id"])

    def finish(self) -> dict[int, set[int]]:
        """Epoch -> who was said to lead it."""
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        return dict(self.leaders)


def mute(proxies: LinkProxies, leader: int, other: int) -> None:
    """The leader hears what the other says, and is not heard."""
    proxies.cut(leader, other)


def deafen(proxies: LinkProxies, leader: int, other: int) -> None:
    """The leader is heard by the other, and hears nothing."""
    proxies.cut(other, leader)


@pytest.mark.parametrize("cut", [mute, deafen])
def test_leader_cut_off_one_way_is_replaced_and_nothing_is_lost(
    tmp_path: Path, cut: Callable[[LinkProxies, int, int], None]
) -> None:
    history = History()
    with ClusterProcesses(tmp_path, proxied=True) as cluster:
        assert cluster.proxies is not None
        cluster.create_topic(TOPIC, configs={"min.insync.replicas": "2"})
        leader = cluster.wait_led(TOPIC)
        others = [number for number in cluster.brokers if number != leader]
        watch = LeaderWatch(cluster)
        producer = NumberedProducer(
            history, "e", cluster.bootstrap, [PARTITION], is_idempotent=True
        )

        def wait_acknowledged(more: int) -> None:
            wanted = len(history.acknowledged()) + more
            wait_until(
                lambda: len(history.acknowledged()) >= wanted,
                f"{more} more records acknowledged",
                within_s=GAP_WITHIN_S,
            )

        wait_acknowledged(20)
        for other in others:
            cut(cluster.proxies, leader, other)
        wait_until(
            lambda: all(cluster.leader_of(TOPIC, via=other) in others for other in others),
            f"another than {leader} leads",
            within_s=GAP_WITHIN_S,
        )
        wait_acknowledged(50)
        cluster.proxies.heal()
        cluster.wait_in_sync([TOPIC])
        wait_acknowledged(20)
        assert producer.finish() == 0
        leaders = watch.finish()
        violations = check_history(history, {PARTITION: read_all(cluster.bootstrap, PARTITION)})
        assert not violations, in_words(violations)
        assert all(len(found) == 1 for found in leaders.values()), leaders
        assert len(leaders) > 1
        for number in cluster.brokers:
            assert cluster.stop(number) == 0
        folders = {number: broker.data for number, broker in cluster.brokers.items()}
        assert differing(folders, [PARTITION]) == {}
