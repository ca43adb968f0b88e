"""A folder of log.dirs that fails on one of three brokers: others lead, and nothing is lost."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicCollection
from confluent_kafka.admin import AdminClient
from kafka import KafkaAdminClient

from headrace.api.wire.api_keys import ApiKey
from tests.chaos.workload import QUICK, read_all
from tests.support.cluster_processes import ClusterProcesses, wait_until
from tests.support.faulty_disk import FaultyDisk
from tests.support.requests import Requester
from tests.support.stored_records import fetch_once, make_batch, produce

pytestmark = pytest.mark.slow

NONE, KAFKA_STORAGE_ERROR, PREFERRED_LEADER_NOT_AVAILABLE = 0, 56, 80
PREFERRED = 0
TOPIC = "clicks"
PARTITIONS = 6
SYNCED = {"flush.messages": "1"}
SMALL = {"segment.bytes": str(1 << 20)}
WITHIN_S = 90.0
ROUND = 200

Failure = Callable[[FaultyDisk, Path], None]


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

    def rows(self) -> list[list[dict[str, Any]]]:
        """The topic's partitions as each running broker tells them."""
        return [self.partitions(TOPIC, number) for number in self.running]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[TwoFolders]:
    with TwoFolders(tmp_path) as running:
        yield running


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


def described(cluster: TwoFolders, number: int, index: int) -> dict[str, Any]:
    """The partition as DescribeTopicPartitions tells it."""
    asked = {"topics": [{"name": TOPIC}], "response_partition_limit": 2000, "cursor": None}
    with Requester(cluster.brokers[number].port) as requester:
        (topic,) = requester.ask(ApiKey.DESCRIBE_TOPIC_PARTITIONS, 0, asked)["topics"]
    return dict(topic["partitions"][index])


def wait_replaced(cluster: TwoFolders, failed: int, index: int) -> None:
    """Until every broker tells another leader, an isr without `failed`, and who is offline."""

    def is_replaced() -> bool:
        return all(
            row[index]["leader_id"] not in (-1, failed)
            and failed not in row[index]["isr_nodes"]
            and row[index]["offline_replicas"] == [failed]
            for row in cluster.rows()
        )

    wait_until(is_replaced, f"{TOPIC}-{index} is led without broker {failed}")


def check_clients_view(cluster: TwoFolders, failed: int, index: int) -> None:
    """What administrators' clients are told of a partition that broker `failed` cannot serve."""
    others = {0, 1, 2} - {failed}
    for number in cluster.running:
        told = described(cluster, number, index)
        assert told["offline_replicas"] == [failed]
        assert set(told["isr_nodes"]) == others
        assert told["leader_id"] in others
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap}, logger=None)
    (pending,) = admin.describe_topics(TopicCollection([TOPIC])).values()
    part = pending.result(WITHIN_S).partitions[index]
    assert {node.id for node in part.isr} == others
    assert {node.id for node in part.replicas} == {0, 1, 2}
    assert part.leader.id in others
    client = KafkaAdminClient(bootstrap_servers=cluster.bootstrap.split(","))
    try:
        (topic,) = client.describe_topics([TOPIC])
    finally:
        client.close()
    (row,) = [each for each in topic["partitions"] if each["partition_index"] == index]
    assert row["offline_replicas"] == [failed]


def check_hint(requester: Requester, index: int, leader: int) -> None:
    """The former leader's refusal says who leads and where (KIP-951)."""
    data = {"name": TOPIC, "partition_data": [{"index": index, "records": make_batch(b"late")}]}
    asked = {"acks": -1, "timeout_ms": 10_000, "topic_data": [data]}
    answer = requester.ask(ApiKey.PRODUCE, 11, asked)
    (told,) = answer["responses"][0]["partition_responses"]
    assert told["error_code"] == KAFKA_STORAGE_ERROR
    assert told["current_leader"]["leader_id"] == leader
    assert [node["node_id"] for node in answer["node_endpoints"]] == [leader]


def pick(cluster: TwoFolders, *, leads: bool) -> tuple[int, int]:
    """(broker, partition): one that leads the partition, or follows in it, in its second folder."""
    for part in cluster.partitions(TOPIC):
        index, leader = part["partition_index"], part["leader_id"]
        for number in cluster.brokers:
            if (number == leader) is leads and cluster.holds(number, index):
                return number, index
    raise AssertionError(cluster.partitions(TOPIC))


@pytest.mark.parametrize(
    ("configs", "fail", "size_bytes"),
    [
        (SYNCED, FaultyDisk.fails_to_sync, 0),
        (SMALL, FaultyDisk.is_read_only, 20_000),
    ],
)
def test_a_leader_whose_disk_fails_is_replaced_under_load(
    cluster: TwoFolders, configs: dict[str, str], fail: Failure, size_bytes: int
) -> None:
    cluster.create_topic(TOPIC, partitions=PARTITIONS, configs=configs)
    failed, index = pick(cluster, leads=True)
    kept = [
        part["partition_index"]
        for part in cluster.partitions(TOPIC)
        if not cluster.holds(failed, part["partition_index"])
    ]
    load = Load(cluster, index)
    load.send(size_bytes=size_bytes)
    wait_until(load.has_delivered, "the first are delivered")
    fail(cluster.disk, cluster.second(failed))
    load.send(size_bytes=size_bytes)
    wait_replaced(cluster, failed, index)
    load.send()
    load.settle()
    check_clients_view(cluster, failed, index)
    # What was refused there says where to go; the broker's other folder serves on.
    with Requester(cluster.brokers[failed].port) as requester:
        assert produce(requester, TOPIC, b"late", partition=index)[0] == KAFKA_STORAGE_ERROR
        assert fetch_once(requester, TOPIC, 0, partition=index).error_code == KAFKA_STORAGE_ERROR
        check_hint(requester, index, cluster.leader_of(TOPIC, index))
        for other in kept:
            part = cluster.partitions(TOPIC, failed)[other]
            assert set(part["isr_nodes"]) == {0, 1, 2}
            assert part["offline_replicas"] == []
            if part["leader_id"] == failed:
                assert produce(requester, TOPIC, b"on", partition=other, acks=-1)[0] == NONE
    cluster.disk.works()
    cluster.brokers[failed].restart()
    cluster.wait_in_sync([TOPIC])
    for row in cluster.rows():
        assert row[index]["offline_replicas"] == []
    load.send()
    load.settle()


def test_a_follower_whose_disk_fails_leaves_the_isr_at_once(cluster: TwoFolders) -> None:
    cluster.create_topic(TOPIC, partitions=PARTITIONS, configs=SYNCED)
    failed, index = pick(cluster, leads=False)
    leader = cluster.leader_of(TOPIC, index)
    load = Load(cluster, index)
    load.send()
    wait_until(load.has_delivered, "the first are delivered")
    cluster.disk.fails_to_sync(cluster.second(failed))
    load.send()
    wait_replaced(cluster, failed, index)
    load.send()
    load.settle()
    check_clients_view(cluster, failed, index)
    assert cluster.leader_of(TOPIC, index) == leader
    cluster.disk.works()
    cluster.brokers[failed].restart()
    cluster.wait_in_sync([TOPIC])
    load.send()
    load.settle()


def test_the_last_in_sync_replica_whose_disk_fails_is_replaced_by_nobody(
    cluster: TwoFolders,
) -> None:
    """The others lack what it acknowledged; with its disk back it leads again, all is there."""
    cluster.create_topic(TOPIC, partitions=PARTITIONS, configs=SYNCED)
    last, index = pick(cluster, leads=True)
    away, failed = {0, 1, 2} - {last}
    cluster.kill(away)
    load = Load(cluster, index)
    cluster.disk.fails_to_sync(cluster.copy_at(failed, index))
    load.send()
    wait_until(
        lambda: all(row[index]["isr_nodes"] == [last] for row in cluster.rows()),
        "the leader is alone in the isr",
    )
    load.send()
    load.settle()
    cluster.disk.fails_to_sync(cluster.copy_at(last, index))
    with Requester(cluster.brokers[last].port) as requester:
        assert produce(requester, TOPIC, b"-1", partition=index)[0] == KAFKA_STORAGE_ERROR
    cluster.start([away])

    def is_unled() -> bool:
        return all(
            row[index]["leader_id"] == -1
            and row[index]["isr_nodes"] == [last]
            and set(row[index]["offline_replicas"]) == {last, failed}
            for row in cluster.rows()
        )

    wait_until(is_unled, "every broker tells that nobody leads")
    with Requester(cluster.brokers[away].port) as requester:
        asked = {
            "election_type": PREFERRED,
            "topic_partitions": [{"topic": TOPIC, "partitions": [index]}],
            "timeout_ms": 10_000,
        }
        answer = requester.ask(ApiKey.ELECT_LEADERS, 2, asked)
        (told,) = answer["replica_election_results"][0]["partition_result"]
        assert told["error_code"] == PREFERRED_LEADER_NOT_AVAILABLE
    cluster.disk.works()
    cluster.brokers[last].restart()
    wait_until(
        lambda: all(row[index]["leader_id"] == last for row in cluster.rows()),
        "who has all records leads again",
    )
    contents = read_all(cluster.bootstrap, (TOPIC, index))
    numbers = [int(contents[offset].split(b" ")[0]) for offset in sorted(contents)]
    assert numbers[: load.sent] == list(range(load.sent))
    assert set(numbers[load.sent :]) <= {-1}  # written, and never acknowledged
