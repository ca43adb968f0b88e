"""What any broker of a cluster answers, also where others decide: elections and votes."""

from collections.abc import Iterator
from typing import Any

import pytest

from headrace.api.wire.error_codes import ErrorCode
from tests.support.cluster_processes import ClusterProcesses, wait_until
from tests.support.requests import Requester

METADATA, CREATE, DELETE, ELECT, QUORUM = 3, 19, 20, 43, 55
METADATA_TOPIC = "__cluster_metadata"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterProcesses]:
    """Four brokers: one votes on no partition of three copies, and one not on the cluster."""
    settings = {"auto.leader.rebalance.enable": "false"}
    folder = tmp_path_factory.mktemp("four")
    with ClusterProcesses(folder, count=4, config=settings) as running:
        running.create_topic("clicks", partitions=4, replication_factor=3)
        yield running


def ask(cluster: ClusterProcesses, number: int, key: int, version: int, body: Any) -> Any:
    with Requester(cluster.brokers[number].port, timeout_s=30.0) as requester:
        return requester.ask(key, version, body)


def elect(cluster: ClusterProcesses, via: int, index: int) -> ErrorCode:
    asked = [{"topic": "clicks", "partitions": [index]}]
    body = {"election_type": 0, "topic_partitions": asked, "timeout_ms": 30_000}
    (row,) = ask(cluster, via, ELECT, 2, body)["replica_election_results"][0]["partition_result"]
    return ErrorCode(row["error_code"])


def votes(cluster: ClusterProcesses, via: int, topic: str) -> list[dict[str, Any]]:
    count = 1 if topic == METADATA_TOPIC else 4
    places = [{"partition_index": index} for index in range(count)]
    answer = ask(cluster, via, QUORUM, 2, {"topics": [{"topic_name": topic, "partitions": places}]})
    found: list[dict[str, Any]] = answer["topics"][0]["partitions"]
    return found


def is_told_whole(part: dict[str, Any]) -> bool:
    """As its leader tells it: everybody's position, and a commit that a majority has."""
    voters = part["current_voters"]
    ends = sorted(voter["log_end_offset"] for voter in voters)
    return (
        part["error_code"] == 0
        and part["leader_id"] in {voter["replica_id"] for voter in voters}
        and len(voters) == 3
        and 0 < part["high_watermark"] <= ends[1]
        and ends[0] > 0
        and all(voter["last_fetch_timestamp"] > 0 for voter in voters)
        and all(voter["last_caught_up_timestamp"] > 0 for voter in voters)
    )


@pytest.mark.parametrize("topic", ["clicks", METADATA_TOPIC])
def test_every_broker_tells_who_votes_and_how_far_each_is(
    cluster: ClusterProcesses, topic: str
) -> None:
    def all_tell_the_same() -> bool:
        told = [votes(cluster, number, topic) for number in cluster.running]
        stable = [
            [(part["leader_id"], part["leader_epoch"], part["high_watermark"]) for part in each]
            for each in told
        ]
        is_whole = all(is_told_whole(part) for each in told for part in each)
        return is_whole and stable == [stable[0]] * len(stable)

    wait_until(all_tell_the_same, f"every broker tells the same of {topic}")


def test_a_partition_that_is_not_there_has_no_votes(cluster: ClusterProcesses) -> None:
    for number in cluster.running:
        places = [{"topic_name": "nosuch", "partitions": [{"partition_index": 0}]}]
        answer = ask(cluster, number, QUORUM, 2, {"topics": places})
        (part,) = answer["topics"][0]["partitions"]
        assert part["error_code"] == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_any_broker_has_the_preferred_leader_elected(cluster: ClusterProcesses) -> None:
    parts = cluster.partitions("clicks")
    (index, preferred, outsider) = next(
        (index, part["replica_nodes"][0], number)
        for index, part in enumerate(parts)
        for number in cluster.running
        if number not in part["replica_nodes"]
    )
    assert elect(cluster, outsider, index) == ErrorCode.ELECTION_NOT_NEEDED
    assert cluster.stop(preferred) == 0
    wait_until(
        lambda: cluster.leader_of("clicks", index, via=outsider) not in (-1, preferred),
        "another leads",
    )
    assert elect(cluster, outsider, index) == ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE
    cluster.start([preferred])
    cluster.wait_in_sync(["clicks"])
    assert elect(cluster, outsider, index) == ErrorCode.NONE
    wait_until(
        lambda: cluster.leader_of("clicks", index, via=outsider) == preferred, "it leads again"
    )


def test_any_broker_handles_what_follows_a_change_behind_it(cluster: ClusterProcesses) -> None:
    """Sent without waiting, as Kafka's own requests in flight: create, delete, ask."""
    zero_id = bytes(16)
    for number in cluster.running:
        name = f"brief-{number}"
        wanted = {"num_partitions": 1, "replication_factor": 3, "assignments": [], "configs": []}
        bodies: list[tuple[int, int, dict[str, Any]]] = [
            (
                CREATE,
                7,
                {
                    "topics": [{"name": name, **wanted}],
                    "timeout_ms": 30_000,
                    "validate_only": False,
                },
            ),
            (DELETE, 5, {"topic_names": [name], "timeout_ms": 30_000}),
            (
                METADATA,
                12,
                {
                    "topics": [{"topic_id": zero_id, "name": name}],
                    "allow_auto_topic_creation": False,
                    "include_topic_authorized_operations": False,
                },
            ),
        ]
        with Requester(cluster.brokers[number].port) as requester:
            sent = [requester.send(*each) for each in bodies]
            created, deleted, known = (
                requester.receive(key, version, correlation_id)
                for (key, version, _), correlation_id in zip(bodies, sent, strict=True)
            )
        assert created["topics"][0]["error_code"] == ErrorCode.NONE
        assert deleted["responses"][0]["error_code"] == ErrorCode.NONE
        assert known["topics"][0]["error_code"] == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
