"""What commands ask of a cluster of several brokers: who leads, who holds, who votes.

Functions over an `AdminClient`; refusals for one partition come back in its row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..wire.api_keys import ApiKey
from ..wire.error_codes import ErrorCode
from .admin_client import AdminClient, AdminError, TopicInfo, check
from .broker_connection import UnsupportedByBrokerError

PREFERRED, UNCLEAN = 0, 1
METADATA_TOPIC = "__cluster_metadata"

Place = tuple[str, int]
"""(topic, partition)."""


@dataclass(frozen=True, slots=True)
class Moving:
    """One partition on the move: the brokers that hold it, that are to, that are to no more."""

    topic: str
    partition: int
    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]

    @property
    def target(self) -> tuple[int, ...]:
        return tuple(broker for broker in self.replicas if broker not in self.removing)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What became of one partition: NONE, or why it was refused."""

    topic: str
    partition: int
    code: ErrorCode
    message: str


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One Raft group: `offsets` are the last entry index a voter is known to hold, by broker."""

    topic: str
    partition: int
    leader: int
    term: int
    commit_index: int
    voters: tuple[int, ...]
    observers: tuple[int, ...]
    replicas: tuple[Mapping[str, Any], ...]


def _by_topic(places: Iterable[Place]) -> dict[str, list[int]]:
    topics: dict[str, list[int]] = {}
    for topic, partition in places:
        topics.setdefault(topic, []).append(partition)
    return topics


def describe_cluster(client: AdminClient) -> dict[str, Any]:
    """DescribeCluster as decoded, fenced brokers included where the broker can tell."""
    answer = client.any_broker().request(ApiKey.DESCRIBE_CLUSTER, {"include_fenced_brokers": True})
    check(answer["error_code"], "the cluster", answer.get("error_message"))
    return answer


def live_brokers(client: AdminClient) -> set[int]:
    """The ids of the brokers that are up."""
    rows = describe_cluster(client)["brokers"]
    return {row["broker_id"] for row in rows if not row.get("is_fenced")}


def elect_leaders(
    client: AdminClient, election_type: int, places: Iterable[Place] | None
) -> list[Refusal]:
    """A row a partition, of `places` or (None) of all; raises what refuses all of it."""
    asked = None
    if places is not None:
        asked = [{"topic": name, "partitions": parts} for name, parts in _by_topic(places).items()]
    answer = client.controller().request(
        ApiKey.ELECT_LEADERS,
        {
            "election_type": election_type,
            "topic_partitions": asked,
            "timeout_ms": client.timeout_ms,
        },
    )
    check(answer.get("error_code", 0), "the election")
    return [
        _refusal(topic["topic"], part["partition_id"], part)
        for topic in answer["replica_election_results"]
        for part in topic["partition_result"]
    ]


def reassign(
    client: AdminClient,
    targets: Mapping[Place, Sequence[int] | None],
    *,
    may_change_count: bool = True,
) -> list[Refusal]:
    """Asks for other replicas (None: cancel what is under way); a row a partition."""
    topics = [
        {
            "name": name,
            "partitions": [
                {"partition_index": index, "replicas": _or_none(targets[name, index])}
                for index in parts
            ],
        }
        for name, parts in _by_topic(targets).items()
    ]
    answer = client.controller().request(
        ApiKey.ALTER_PARTITION_REASSIGNMENTS,
        {
            "topics": topics,
            "timeout_ms": client.timeout_ms,
            "allow_replication_factor_change": may_change_count,
        },
    )
    check(answer["error_code"], "the reassignment", answer.get("error_message"))
    return [
        _refusal(topic["name"], part["partition_index"], part)
        for topic in answer["responses"]
        for part in topic["partitions"]
    ]


def _or_none(replicas: Sequence[int] | None) -> list[int] | None:
    return None if replicas is None else list(replicas)


def _refusal(topic: str, partition: int, row: Mapping[str, Any]) -> Refusal:
    code = ErrorCode(row["error_code"])
    return Refusal(topic, partition, code, row.get("error_message") or code.message)


def reassignments(client: AdminClient, places: Iterable[Place] | None = None) -> list[Moving]:
    """What is under way, of `places` or (None) of all, in order."""
    asked = None
    if places is not None:
        asked = [
            {"name": name, "partition_indexes": parts} for name, parts in _by_topic(places).items()
        ]
    answer = client.controller().request(
        ApiKey.LIST_PARTITION_REASSIGNMENTS, {"topics": asked, "timeout_ms": client.timeout_ms}
    )
    check(answer["error_code"], "the reassignments", answer.get("error_message"))
    return sorted(
        (
            Moving(
                topic["name"],
                part["partition_index"],
                tuple(part["replicas"]),
                tuple(part["adding_replicas"]),
                tuple(part["removing_replicas"]),
            )
            for topic in answer["topics"]
            for part in topic["partitions"]
        ),
        key=lambda moving: (moving.topic, moving.partition),
    )


def with_moves(topics: Iterable[TopicInfo], moving: Iterable[Moving]) -> list[TopicInfo]:
    """The topics, with who comes to and who leaves each partition that moves."""
    moves = {(each.topic, each.partition): each for each in moving}

    def told(topic: TopicInfo) -> TopicInfo:
        parts = (
            replace(part, adding=move.adding, removing=move.removing)
            if (move := moves.get((topic.name, part.index)))
            else part
            for part in topic.partitions
        )
        return replace(topic, partitions=tuple(parts))

    return [told(topic) for topic in topics] if moves else list(topics)


def with_elr(client: AdminClient, topics: Iterable[TopicInfo]) -> list[TopicInfo]:
    """The topics, with the eligible leader replicas of each partition, where the broker tells."""
    topics = list(topics)
    try:
        told = _describe_partitions(client, [topic.name for topic in topics])
    except UnsupportedByBrokerError:
        return topics

    def with_told(topic: TopicInfo) -> TopicInfo:
        parts = (
            replace(
                part,
                elr=tuple(row["eligible_leader_replicas"] or ()),
                last_known_elr=tuple(row["last_known_elr"] or ()),
            )
            if (row := told.get((topic.name, part.index)))
            else part
            for part in topic.partitions
        )
        return replace(topic, partitions=tuple(parts))

    return [with_told(topic) for topic in topics]


def _describe_partitions(client: AdminClient, names: list[str]) -> dict[Place, dict[str, Any]]:
    """DescribeTopicPartitions of these topics, page by page, as decoded."""
    told: dict[Place, dict[str, Any]] = {}
    asked: dict[str, Any] = {"topics": [{"name": name} for name in names], "cursor": None}
    while names:
        answer = client.any_broker().request(ApiKey.DESCRIBE_TOPIC_PARTITIONS, asked)
        for topic in answer["topics"]:
            for part in topic["partitions"]:
                told[topic["name"], part["partition_index"]] = part
        asked["cursor"] = answer["next_cursor"]
        if asked["cursor"] is None:
            break
    return told


def describe_quorum(client: AdminClient) -> dict[str, Any]:
    """DescribeQuorum of the cluster's metadata, as decoded."""
    asked = [{"topic_name": METADATA_TOPIC, "partitions": [{"partition_index": 0}]}]
    answer = client.controller().request(ApiKey.DESCRIBE_QUORUM, {"topics": asked})
    check(answer["error_code"], "the quorum", answer.get("error_message"))
    return answer


def raft_groups(client: AdminClient, node_id: int, places: Iterable[Place]) -> list[GroupRow]:
    """The groups of `places`, as their leaders see them; broker `node_id` asks those."""
    asked = [
        {"topic_name": name, "partitions": [{"partition_index": index} for index in parts]}
        for name, parts in _by_topic(places).items()
    ]
    answer = client.broker(node_id).request(ApiKey.DESCRIBE_QUORUM, {"topics": asked})
    check(answer["error_code"], f"broker {node_id}", answer.get("error_message"))
    return [
        GroupRow(
            topic["topic_name"],
            part["partition_index"],
            part["leader_id"],
            part["leader_epoch"],
            part["high_watermark"],
            tuple(voter["replica_id"] for voter in part["current_voters"]),
            tuple(observer["replica_id"] for observer in part["observers"]),
            tuple(part["current_voters"]),
        )
        for topic in answer["topics"]
        for part in topic["partitions"]
        if part["error_code"] == ErrorCode.NONE
    ]


def unregister_broker(client: AdminClient, broker_id: int) -> None:
    """The cluster forgets a broker that holds nothing and does not come back."""
    answer = client.controller().request(ApiKey.UNREGISTER_BROKER, {"broker_id": broker_id})
    check(answer["error_code"], f"broker {broker_id}", answer.get("error_message"))


def raise_refusals(rows: Iterable[Refusal]) -> None:
    """AdminError for the first row that was refused."""
    for row in rows:
        if row.code != ErrorCode.NONE:
            raise AdminError(row.code, f"partition {row.topic}-{row.partition}", row.message)
