"""What a client asks of a topic, checked against the cluster, as a command of `cluster_state`.

Pure: state and request in, command or error out.  The state checks again when it applies.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.errors import InvalidConfigError
from ...core.log_config import LogConfig, parse_topic_configs
from ...raft.cluster_commands import Assignments, CreatePartitions, CreateTopic
from ...raft.cluster_state import ClusterState
from ...raft.errors import (
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidReplicationFactorError,
    InvalidRequestError,
    InvalidTopicError,
    TopicExistsError,
)
from ...raft.placement import place_partitions
from ...raft.topic_image import BrokerRegistration, TopicImage
from ...raft.topic_names import validate_topic_name


@dataclass(frozen=True, slots=True)
class TopicDefaults:
    """What a topic gets that its creator leaves open.

    `clamps_replication_factor`: scripts made for three brokers run on fewer, with fewer copies.
    """

    num_partitions: int
    replication_factor: int
    log_config: LogConfig
    clamps_replication_factor: bool = False


def plan_topic(
    state: ClusterState,
    spec: Mapping[str, Any],
    defaults: TopicDefaults,
    *,
    topic_id: bytes,
    brokers: Collection[BrokerRegistration],
    missing: Collection[BrokerRegistration] = (),
    start_index: int = 0,
) -> CreateTopic:
    """The command that creates the topic of one CreateTopics entry.

    Partitions are placed on `brokers`, who are up, and where they are too few also on those of
    `missing`, who are registered and down; `start_index`, any number, chooses the one that leads
    the first partition.
    Raises a ClusterStateError or InvalidConfigError that says what is wrong with the entry.
    """
    name = spec["name"]
    validate_topic_name(name)
    if name in state.topics:
        raise TopicExistsError(f"Topic '{name}' already exists.")
    colliding = state.colliding_topic(name)
    if colliding is not None:
        raise InvalidTopicError(f"Topic '{name}' collides with existing topic: {colliding}")
    if spec["assignments"]:
        assignments = _given_assignments(state, spec)
    else:
        assignments = _placed_assignments(brokers, missing, spec, defaults, start_index)
    overrides = _overrides(spec["configs"])
    parse_topic_configs(overrides, defaults.log_config)
    return CreateTopic(name, topic_id, assignments, tuple(sorted(overrides.items())))


def _overrides(configs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    overrides: dict[str, str] = {}
    for entry in configs:
        if entry["value"] is None:
            raise InvalidConfigError(entry["name"], None, "a topic's setting needs a value")
        overrides[entry["name"]] = entry["value"]
    return overrides


def _placed_assignments(
    brokers: Collection[BrokerRegistration],
    missing: Collection[BrokerRegistration],
    spec: Mapping[str, Any],
    defaults: TopicDefaults,
    start_index: int,
) -> Assignments:
    count, factor = spec["num_partitions"], spec["replication_factor"]
    if count == -1:
        count = defaults.num_partitions
    if factor == -1:
        factor = defaults.replication_factor
    if count < 1:
        raise InvalidPartitionsError(
            f"{count} partitions: give at least 1, or -1 for the broker's num.partitions"
        )
    if defaults.clamps_replication_factor:
        factor = min(factor, len(brokers))
    check_replication_factor([*brokers, *missing], factor)
    return place_partitions(
        brokers,
        missing=missing,
        partition_count=count,
        replication_factor=factor,
        start_index=start_index,
    )


def check_replication_factor(brokers: Collection[BrokerRegistration], factor: int) -> None:
    """Refuses a factor that the registered brokers cannot carry."""
    if factor < 1:
        raise InvalidReplicationFactorError(
            f"replication factor {factor}: give at least 1, or -1 for default.replication.factor"
        )
    if factor > len(brokers):
        raise InvalidReplicationFactorError(
            f"Unable to replicate the partition {factor} time(s): The target replication factor "
            f"of {factor} cannot be reached because only {len(brokers)} broker(s) are "
            f"registered."
        )


def _given_assignments(state: ClusterState, spec: Mapping[str, Any]) -> Assignments:
    if spec["num_partitions"] != -1 or spec["replication_factor"] != -1:
        raise InvalidRequestError(
            "partitions are assigned by hand: num_partitions and replication_factor must be -1"
        )
    by_index = {each["partition_index"]: each["broker_ids"] for each in spec["assignments"]}
    if sorted(by_index) != list(range(len(spec["assignments"]))):
        raise InvalidReplicaAssignmentError(
            "partitions assigned by hand must be numbered from 0 without a gap or a repetition"
        )
    assignments = tuple(tuple(by_index[index]) for index in range(len(by_index)))
    _check_brokers(state, assignments)
    return assignments


def _check_brokers(state: ClusterState, assignments: Assignments) -> None:
    for index, brokers in enumerate(assignments):
        if not brokers or len(set(brokers)) != len(brokers):
            raise InvalidReplicaAssignmentError(
                f"entry {index} names no broker, or one of them twice: {list(brokers)}"
            )
        unknown = sorted(set(brokers) - set(state.brokers))
        if unknown:
            raise InvalidReplicaAssignmentError(f"entry {index} names unknown brokers: {unknown}")
    if len({len(brokers) for brokers in assignments}) > 1:
        raise InvalidReplicaAssignmentError("every partition must have as many replicas")


def plan_partitions(
    state: ClusterState,
    topic: TopicImage,
    spec: Mapping[str, Any],
    brokers: Collection[BrokerRegistration],
    missing: Collection[BrokerRegistration] = (),
) -> CreatePartitions:
    """The command that grows `topic` as one CreatePartitions entry asks; raises as `plan_topic`."""
    have, wanted = topic.partition_count, spec["count"]
    if wanted < have:
        raise InvalidPartitionsError(
            f"The topic {topic.name} currently has {have} partition(s); {wanted} would not be an "
            f"increase."
        )
    if wanted == have:
        raise InvalidPartitionsError(f"Topic already has {have} partition(s).")
    factor = len(topic.assignments[0])
    if spec["assignments"] is None:
        check_replication_factor([*brokers, *missing], factor)
        added = place_partitions(
            brokers,
            missing=missing,
            partition_count=wanted - have,
            replication_factor=factor,
            first_partition=have,
        )
        return CreatePartitions(topic.topic_id, added)
    added = tuple(tuple(each["broker_ids"]) for each in spec["assignments"])
    if len(added) != wanted - have:
        raise InvalidReplicaAssignmentError(
            f"{wanted - have} partitions are added, but {len(added)} are assigned"
        )
    _check_brokers(state, added)
    if any(len(brokers) != factor for brokers in added):
        raise InvalidReplicaAssignmentError(
            f"every partition of {topic.name} has {factor} replicas"
        )
    return CreatePartitions(topic.topic_id, added)
