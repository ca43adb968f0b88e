"""Puts a `GroupCoordinator` on a broker: who tells it of partitions, topics and time."""

from collections.abc import Awaitable, Callable
from typing import Any

from ...core.clock import Clock
from ...raft.cluster_commands import Command, DeleteTopic
from ...raft.cluster_group import ClusterGroup
from ...raft.replica_manager import ReplicaManager
from ...raft.topic_image import TopicImage
from .group_coordinator import GroupCoordinator
from .group_settings import GroupSettings
from .offsets_topic import OFFSETS_TOPIC
from .rebalance import Schedule


def host_groups(
    *,
    replicas: ReplicaManager,
    cluster_group: ClusterGroup,
    clock: Clock,
    schedule: Schedule,
    settings: GroupSettings,
    create_offsets_topic: Callable[[], Awaitable[object]],
) -> GroupCoordinator:
    """The coordinator of this broker's groups; to be made before `replicas` start."""

    def offsets_partition_count() -> int:
        topic = cluster_group.state.topics.get(OFFSETS_TOPIC)
        return 0 if topic is None else topic.partition_count

    def on_applied(command: Command, result: Any) -> None:
        if isinstance(command, DeleteTopic) and isinstance(result, TopicImage):
            groups.on_topic_deleted(result.name)

    groups = GroupCoordinator(
        replicas=replicas,
        clock=clock,
        schedule=schedule,
        settings=settings,
        create_offsets_topic=create_offsets_topic,
        offsets_partition_count=offsets_partition_count,
    )
    replicas.on_partition_online.append(groups.on_partition_online)
    replicas.on_partition_offline.append(groups.on_partition_offline)
    cluster_group.add_listener(on_applied)
    return groups
