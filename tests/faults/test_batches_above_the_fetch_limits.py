"""Batches larger than what followers ask for at a time are replicated all the same (KIP-74)."""

from pathlib import Path

import pytest

from tests.support.cluster_processes import ClusterProcesses
from tests.support.replica_bytes import differing
from tests.support.requests import Requester
from tests.support.stored_records import fetch_once

pytestmark = pytest.mark.slow

TOPICS = ("pictures", "films")
LIMITS = {"replica.fetch.max.bytes": "1024", "replica.fetch.response.max.bytes": "2048"}
LARGE_BYTES = 300_000
ROUNDS = 4


def test_no_batch_is_too_large_for_a_follower_whoever_leads(tmp_path: Path) -> None:
    with ClusterProcesses(tmp_path, config=LIMITS) as cluster:
        for topic in TOPICS:
            cluster.create_topic(topic, configs={"min.insync.replicas": "3"})
        values = [bytes([number]) * (LARGE_BYTES >> number) for number in range(ROUNDS)]
        for value in values[: ROUNDS // 2]:
            for topic in TOPICS:
                cluster.produce(topic, value)
        killed = cluster.wait_led(TOPICS[0])
        cluster.kill(killed)
        cluster.start([killed])
        cluster.wait_in_sync(TOPICS)
        for value in values[ROUNDS // 2 :]:
            for topic in TOPICS:
                cluster.produce(topic, value)
        for topic in TOPICS:
            with Requester(cluster.brokers[cluster.wait_led(topic)].port) as requester:
                served = [
                    fetch_once(requester, topic, offset, partition_max_bytes=1).values[offset]
                    for offset in range(ROUNDS)
                ]
            assert served == values
        for number in cluster.running:
            assert cluster.stop(number) == 0
        folders = {number: broker.data for number, broker in cluster.brokers.items()}
        assert differing(folders, [(topic, 0) for topic in TOPICS]) == {}
