"""Three brokers with two log.dirs each, and a producer that counts what was acknowledged."""

from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from tests.chaos.workload import QUICK, read_all
from tests.support.cluster_processes import ClusterProcesses
from tests.support.faulty_disk import FaultyDisk

TOPIC = "clicks"
WITHIN_S = 90.0
ROUND = 200


class TwoFolders(ClusterProcesses):
    """Three brokers with two log.dirs each, on a disk that fails by folder."""

    def __init__(self, folder: Path) -> None:
        self.disk = FaultyDisk(folder / "disk")
        super().__init__(folder, environment=self.disk.environment)
        for broker in self.brokers.values():
            broker.configure(
                {
                    "log.dirs": f"{broker.data},{broker.folder / 'second'}",
                    # So that nobody leaves an isr for being late.
                    "replica.lag.time.max.ms": "600000",
                }
            )

    def second(self, number: int) -> Path:
        return self.brokers[number].folder / "second"

    def holds(self, number: int, index: int) -> bool:
        """Whether that broker's copy of the partition is in its second folder."""
        return (self.second(number) / f"{TOPIC}-{index}").exists()

    def copy_at(self, number: int, index: int) -> Path:
        """The folder of that broker's copy of the partition."""
        folder = self.second(number) if self.holds(number, index) else self.brokers[number].data
        return folder / f"{TOPIC}-{index}"

    def other_folder(self, number: int, index: int) -> Path:
        """The folder of log.dirs that has no copy of the partition there."""
        return self.brokers[number].data if self.holds(number, index) else self.second(number)

    def rows(self) -> list[list[dict[str, Any]]]:
        """The topic's partitions as each running broker tells them."""
        return [self.partitions(TOPIC, number) for number in self.running]


class Load:
    """Numbers into one partition, acknowledged by the isr; each counts once it is delivered."""

    def __init__(self, cluster: ClusterProcesses, index: int) -> None:
        self._cluster = cluster
        self._index = index
        self._producer = Producer(
            QUICK
            | {
                "bootstrap.servers": cluster.bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 1,
            },
            logger=None,
        )
        self.sent = 0
        self.failures: list[Any] = []
        self.delivered = 0

    def _note(self, error: Any, _message: Any) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.failures.append(error)

    def send(self, count: int = ROUND, size_bytes: int = 0) -> None:
        for _ in range(count):
            value = b"%d " % self.sent + bytes(size_bytes)
            self._producer.produce(TOPIC, value, partition=self._index, on_delivery=self._note)
            self._producer.poll(0.001)
            self.sent += 1

    def has_delivered(self) -> bool:
        """Whether anything was acknowledged so far."""
        self._producer.poll(0)
        return self.delivered > 0

    def settle(self) -> None:
        """Everything is acknowledged, and stands in the partition once and in order."""
        assert self._producer.flush(WITHIN_S) == 0
        assert self.failures == []
        assert self.delivered == self.sent
        contents = read_all(self._cluster.bootstrap, (TOPIC, self._index))
        numbers = [int(contents[offset].split(b" ")[0]) for offset in sorted(contents)]
        assert numbers == list(range(self.sent))
