"""A folder of log.dirs that fails on one of three brokers: others lead, and nothing is lost."""

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from kafka import KafkaAdminClient

from headrace.api.cli.__main__ import main
from headrace.api.wire.api_keys import ApiKey
from tests.chaos.workload import QUICK, read_all
from tests.support.cluster_processes import wait_until
from tests.support.faulty_disk import FaultyDisk
from tests.support.requests import Requester
from tests.support.stored_records import create_topic, fetch_once, make_batch, produce
from tests.support.two_folders import TOPIC, Load, TwoFolders

pytestmark = pytest.mark.slow

NONE, REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR, PREFERRED_LEADER_NOT_AVAILABLE = 0, 7, 56, 80
PREFERRED, EXIT_FAILURE = 0, 1
PARTITIONS = 6
OFFSETS = "__consumer_offsets"
MOVING = ("NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS")
SYNCED = {"flush.messages": "1"}
SMALL = {"segment.bytes": str(1 << 20)}
WITHIN_S = 90.0

Failure = Callable[[FaultyDisk, Path], None]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[TwoFolders]:
    with TwoFolders(tmp_path) as running:
        yield running


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
    check_own_command(cluster, failed, index)


def check_own_command(cluster: TwoFolders, failed: int, index: int) -> None:
    """What `headrace topics describe` prints: a column more, where there is anything in it."""
    words = ["topics", "describe", TOPIC, "-b", cluster.bootstrap]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(words) == 0
        assert main([*words, "--json"]) == 0
    _, headers, *rest = printed.getvalue().splitlines()
    assert headers.split()[-1] == "OFFLINE"
    assert rest[index].split()[-1] == str(failed)
    (told,) = json.loads("\n".join(rest[PARTITIONS:]))
    assert told["partitions"][index]["offline_replicas"] == [failed]


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


def test_a_leader_whose_folder_somebody_removed_is_replaced(cluster: TwoFolders) -> None:
    """That log alone is offline; restarted, the broker begins it anew and fetches all of it."""
    cluster.create_topic(TOPIC, partitions=PARTITIONS, configs=SMALL)
    failed = cluster.leader_of(TOPIC)
    load = Load(cluster, 0)
    load.send(size_bytes=20_000)
    load.settle()
    shutil.rmtree(cluster.copy_at(failed, 0))
    load.send(size_bytes=20_000)  # a new segment is needed
    wait_replaced(cluster, failed, 0)
    load.settle()
    for part in cluster.partitions(TOPIC)[1:]:
        assert part["offline_replicas"] == []
        assert set(part["isr_nodes"]) == {0, 1, 2}
    cluster.brokers[failed].restart()
    cluster.wait_in_sync([TOPIC])
    load.send()
    load.settle()


def offsets_partition(cluster: TwoFolders) -> int:
    """Of __consumer_offsets: the one that has anything, after one group's first commit."""
    for part in cluster.partitions(OFFSETS):
        with Requester(cluster.brokers[part["leader_id"]].port) as requester:
            if fetch_once(requester, OFFSETS, 0, partition=part["partition_index"]).values:
                return int(part["partition_index"])
    raise AssertionError(cluster.partitions(OFFSETS))


def ask_coordinator(call: Callable[[], Any]) -> int:
    """The offset in its answer; told to look for another coordinator, it is asked again."""
    told: list[int] = []

    def is_answered() -> bool:
        try:
            (found,) = call()
        except KafkaException as error:
            if error.args[0].name() not in MOVING:
                raise
            return False
        told.append(found.offset)
        return found.error is None

    wait_until(is_answered, "the group's coordinator answers")
    return told[-1]


def test_a_group_goes_on_when_its_coordinators_disk_fails(cluster: TwoFolders) -> None:
    cluster.create_topic(TOPIC, partitions=PARTITIONS, configs=SYNCED)
    settings = {"bootstrap.servers": cluster.bootstrap, "group.id": "readers"}
    consumer = Consumer(QUICK | settings, logger=None)

    def commit(offset: int) -> int:
        wanted = [TopicPartition(TOPIC, 0, offset)]
        return ask_coordinator(lambda: consumer.commit(offsets=wanted, asynchronous=False))

    def committed() -> int:
        return ask_coordinator(
            lambda: consumer.committed([TopicPartition(TOPIC, 0)], timeout=WITHIN_S)
        )

    assert commit(7) == 7
    cluster.wait_in_sync([OFFSETS])
    index = offsets_partition(cluster)
    failed = cluster.leader_of(OFFSETS, index)
    folders = [cluster.brokers[failed].data, cluster.second(failed)]
    (folder,) = [each for each in folders if (each / f"{OFFSETS}-{index}").exists()]
    # A neighbour in that folder fails, and with it the folder.
    neighbour = min(folder.glob(f"{TOPIC}-*"))
    cluster.disk.fails_to_sync(neighbour)
    load = Load(cluster, int(neighbour.name.rpartition("-")[2]))
    load.send()
    wait_until(
        lambda: all(
            part["leader_id"] not in (-1, failed) and part["offline_replicas"] == [failed]
            for part in (cluster.partitions(OFFSETS, number)[index] for number in cluster.running)
        ),
        "another broker coordinates the group",
    )
    load.settle()
    assert committed() == 7
    assert commit(8) == committed() == 8
    consumer.close()


def test_a_broker_whose_journal_fails_ends_and_others_lead(cluster: TwoFolders) -> None:
    """The whole first folder fails, and with it the decisions of this broker."""
    cluster.create_topic(TOPIC, partitions=PARTITIONS)
    failed = cluster.leader_of(TOPIC)
    load = Load(cluster, 0)
    load.send()
    wait_until(load.has_delivered, "the first are delivered")
    cluster.disk.fails_to_sync(cluster.brokers[failed].data)
    other = next(number for number in cluster.brokers if number != failed)
    with Requester(cluster.brokers[other].port) as requester:
        # Something to decide, which is to be journaled; nobody may know whether it was.
        assert create_topic(requester, "more", 6)[0] in (NONE, REQUEST_TIMED_OUT)
    assert cluster.brokers[failed].wait_for_exit() == EXIT_FAILURE
    load.send()
    load.settle()
    cluster.disk.works()
    cluster.start([failed])
    cluster.wait_in_sync([TOPIC])
    load.send()
    load.settle()
