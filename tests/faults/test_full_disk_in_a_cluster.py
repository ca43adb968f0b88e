"""A leader's disk is full, its followers have room: they lead, and it joins again with room."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster_processes import ClusterProcesses, wait_until
from tests.support.small_disk import make_room, small_disks
from tests.support.two_folders import TOPIC, Load

pytestmark = pytest.mark.slow

FULL = 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Where broker FULL keeps everything: a file system of 8 MiB."""
    folder = tmp_path / f"broker-{FULL}" / "data"
    with small_disks([folder]):
        yield folder


def test_leadership_leaves_a_full_disk_and_nothing_is_lost(
    small_disk: Path, tmp_path: Path
) -> None:
    with ClusterProcesses(tmp_path) as cluster:
        cluster.create_topic(TOPIC, partitions=3, configs={"segment.bytes": str(1 << 20)})
        index = next(
            part["partition_index"]
            for part in cluster.partitions(TOPIC)
            if part["leader_id"] == FULL
        )
        load = Load(cluster, index)
        load.send(300, size_bytes=40_000)  # 12 MB

        def is_led_elsewhere() -> bool:
            parts = [cluster.partitions(TOPIC, number)[index] for number in cluster.running]
            return all(
                part["leader_id"] not in (-1, FULL) and FULL not in part["isr_nodes"]
                for part in parts
            )

        wait_until(is_led_elsewhere, "a broker with room leads")
        load.settle()
        make_room(small_disk)
        cluster.wait_in_sync([TOPIC])
        load.send(20, size_bytes=40_000)
        load.settle()
