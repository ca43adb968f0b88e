"""Rows of a broker with many partitions: made, restarted, killed, and left alone."""

import signal
import time
from typing import Any

from .peers.install import PeerUnavailableError
from .peers.peer import RunningPeer
from .row import Figures, Row
from .topics import QUIET, create_ready_topic, create_topic, delete_topic

PARTITIONS = {"smoke": 50, "quick": 1000, "full": 1000}
IDLE_SECONDS = {"smoke": 0.5, "quick": 3.0, "full": 10.0}
LED_LIMIT_S = 60.0


def many_partitions(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """One topic; each partition gets a record, so that its files are there."""
    count, topic = PARTITIONS[scale], f"many-{turn}"
    figures: Figures = {}
    started = time.perf_counter()
    create_topic(peer, topic, count)
    _wait_until_led(peer, topic, count)
    title = f"{count:,} partitions"
    figures[f"{title}, create"] = (time.perf_counter() - started, "s", "less")
    create_ready_topic(peer, topic, count)
    before = peer.cpu_s()
    time.sleep(IDLE_SECONDS[scale])
    share = 100 * (peer.cpu_s() - before) / IDLE_SECONDS[scale]
    figures[f"{title}, idle"] = (share, "% of a core", "less")
    figures[f"{title}, RSS"] = (peer.memory_mib()["rss"], "MiB", "less")
    for how, words in ((signal.SIGTERM, "clean restart"), (signal.SIGKILL, "kill -9, restart")):
        peer.restart(how)
        ready = time.perf_counter() - peer.started_s
        _wait_until_led(peer, topic, count)
        figures[f"{title}, {words}"] = (time.perf_counter() - ready, "s", "less")
    delete_topic(peer, topic)
    return figures


def _wait_until_led(peer: RunningPeer, topic: str, count: int) -> None:
    """Until Metadata names a leader for each partition."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client: Any = AdminClient({"bootstrap.servers": peer.bootstrap, "log_level": QUIET})
    deadline = time.perf_counter() + LED_LIMIT_S
    while True:
        try:
            found = client.list_topics(topic, timeout=10).topics[topic].partitions
        except KafkaException as error:
            raise PeerUnavailableError(f"metadata of {topic}: {error.args[0]}") from None
        if sum(partition.leader >= 0 for partition in found.values()) == count:
            return
        if time.perf_counter() > deadline:
            raise PeerUnavailableError(f"{topic}: not all led after {LED_LIMIT_S:g} s")
        # Metadata has no way to wait for an election.
        time.sleep(0.01)


ROWS = {"partitions": Row(many_partitions, 24)}
