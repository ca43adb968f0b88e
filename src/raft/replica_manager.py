"""Which partitions this broker holds: follows the cluster's state, opens logs, elects leaders.

A log that cannot be opened leaves its partition offline; the others serve.  All elections of one
occasion (the start of the broker, a new topic) are journaled in one batch.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.clock import Clock
from ..core.errors import (
    InconsistentLogDirError,
    InvalidConfigError,
    KafkaStorageError,
    LogCorruptedError,
    RecordError,
)
from ..core.log_config import LogConfig, parse_topic_configs
from .cluster_commands import (
    RESOURCE_TOPIC,
    AlterConfigs,
    Command,
    CreatePartitions,
    CreateTopic,
    DeleteTopic,
)
from .cluster_group import ClusterGroup, OnDone
from .errors import (
    NotLeaderOrFollowerError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
)
from .partition import Partition
from .partition_group import (
    Decision,
    PartitionGroup,
    parse_partition_group_id,
    partition_group_id,
    propose_together,
)
from .partition_state import Elect, ElectKind, Form, Outcome
from .placement import choose_voters
from .raft_wal import RaftWal
from .replica_log import LogKeeper
from .topic_image import TopicImage

logger = logging.getLogger(__name__)

PartitionHook = Callable[[Partition], None]

# What keeps one log closed and leaves the broker standing.
_LOG_FAULTS = (
    KafkaStorageError,
    LogCorruptedError,
    RecordError,
    InconsistentLogDirError,
    InvalidConfigError,
)


class ReplicaManager:
    """The partitions of this broker by name and by topic id.  Loop thread only.

    `on_partition_online` and `on_partition_offline` are called for each partition that starts or
    ceases to be led here; append to them before `start`.
    """

    def __init__(
        self,
        *,
        broker_id: int,
        log_manager: LogKeeper,
        cluster_group: ClusterGroup,
        wal: RaftWal,
        clock: Clock,
        default_config: LogConfig | None = None,
        incarnation: int | None = None,
    ) -> None:
        self.broker_id = broker_id
        self.incarnation = (
            int.from_bytes(clock.random_bytes(7), "big") if incarnation is None else incarnation
        )
        self.on_partition_online: list[PartitionHook] = []
        self.on_partition_offline: list[PartitionHook] = []
        # Told of each partition that begins or ceases to follow; set before `start`.
        self.on_role_changed: PartitionHook | None = None
        # Gives, for a log's folder, what to call when more of it is committed; set before `start`.
        self.committed_hook_of: Callable[[Path], Callable[[], None] | None] | None = None
        self._log_manager = log_manager
        self._cluster_group = cluster_group
        self._wal = wal
        self._default_config = default_config or LogConfig()
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._partitions_by_id: dict[tuple[bytes, int], Partition] = {}
        self._unopened: dict[Partition, str] = {}
        self._is_started = False
        cluster_group.add_listener(self._on_applied)

    # -- look-up

    def partition(self, topic: str, index: int) -> Partition:
        """The partition; raises UnknownTopicOrPartitionError, or NotLeaderOrFollowerError where
        only other brokers hold it."""
        found = self._partitions.get((topic, index))
        if found is None:
            raise self._why_missing(self._cluster_group.state.topics.get(topic), topic, index)
        return found

    def partition_by_id(self, topic_id: bytes, index: int) -> Partition:
        """As `partition`; raises UnknownTopicIdError where no topic has this id."""
        found = self._partitions_by_id.get((topic_id, index))
        if found is None:
            topic = self._cluster_group.state.topic_by_id(topic_id)
            if topic is None:
                raise UnknownTopicIdError(f"no topic has the id {topic_id.hex()}")
            raise self._why_missing(topic, topic.name, index)
        return found

    def leader_of(self, topic: str, index: int) -> tuple[int, int] | None:
        """(leader id, leader epoch) as far as this broker knows; None for what it does not hold."""
        found = self._partitions.get((topic, index))
        return None if found is None else (found.leader_id, found.leader_epoch)

    def partitions(self) -> Iterable[Partition]:
        """Every partition of this broker, the offline ones too."""
        return self._partitions.values()

    def _why_missing(self, topic: TopicImage | None, name: str, index: int) -> Exception:
        if topic is None or not 0 <= index < topic.partition_count:
            return UnknownTopicOrPartitionError(f"no partition {name}-{index}")
        return NotLeaderOrFollowerError(f"broker {self.broker_id} holds no copy of {name}-{index}")

    # -- life

    def start(self) -> None:
        """Host every partition that the cluster's state gives this broker; elect them at once."""
        self._log_manager.on_dir_offline = self._on_dir_offline
        self._is_started = True
        self._finish_deletions()
        opened: list[Partition] = []
        for topic in list(self._cluster_group.state.topics.values()):
            opened += self._host_partitions(topic, first_partition=0)
        self._elect(opened)

    def close(self) -> None:
        """Refuse everything and release everyone who waits; logs stay to the log manager."""
        for partition in self._partitions.values():
            partition.stop()

    def adopt_topic(
        self,
        name: str,
        topic_id: bytes,
        partition_count: int,
        configs: Mapping[str, str],
        on_done: OnDone | None = None,
    ) -> None:
        """Make a topic of folders that are on disk already; missing partitions start empty.

        `configs` hold only settings that we know.  The leader epoch goes on where the folder's
        ended.  `on_done` gets the TopicImage or a ClusterStateError, as from `propose`.
        """
        parse_topic_configs(configs, self._default_config)
        assignments = ((self.broker_id,),) * partition_count
        self._cluster_group.propose(
            CreateTopic(name, topic_id, assignments, tuple(configs.items())), on_done
        )

    def set_default_config(self, config: LogConfig) -> None:
        """The broker-wide defaults changed: every topic's settings are worked out again."""
        self._default_config = config
        self._log_manager.set_default_config(config)
        for topic in self._cluster_group.state.topics.values():
            self._reconfigure(topic)

    # -- what the cluster decided

    def _on_applied(self, command: Command, result: Any) -> None:
        if not self._is_started:
            return
        match command:
            case CreateTopic():
                self._elect(self._host_partitions(result, first_partition=0))
            case CreatePartitions(_, added):
                first = result.partition_count - len(added)
                self._elect(self._host_partitions(result, first_partition=first))
            case DeleteTopic():
                self._drop_topic(result)
            case AlterConfigs(resource_type, name) if resource_type == RESOURCE_TOPIC:
                self._reconfigure(self._cluster_group.state.topics[name])

    def _host_partitions(self, topic: TopicImage, *, first_partition: int) -> list[Partition]:
        """Open this broker's partitions of `topic`; gives them all, also those left offline."""
        config, reason = self._config_of(topic)
        hosted = []
        with self._log_manager.creating_together():
            for index in range(first_partition, topic.partition_count):
                if self.broker_id not in topic.assignments[index]:
                    continue
                partition = Partition(
                    topic=topic.name,
                    index=index,
                    topic_id=topic.topic_id,
                    broker_id=self.broker_id,
                    group=PartitionGroup(self._wal, partition_group_id(topic.topic_id, index)),
                )
                partition.on_role_changed = self.on_role_changed
                self._partitions[topic.name, index] = partition
                self._partitions_by_id[topic.topic_id, index] = partition
                if config is None:
                    partition.go_offline(reason)
                else:
                    self._open_log(partition, config)
                hosted.append(partition)
        return hosted

    def _open_log(self, partition: Partition, config: LogConfig) -> None:
        try:
            log = self._log_manager.get_or_create_log(
                partition.topic, partition.index, topic_id=partition.topic_id, config=config
            )
        except _LOG_FAULTS as error:
            reason = str(error)
            if self._unopened.get(partition) != reason:
                logger.error("%s-%d is offline: %s", partition.topic, partition.index, reason)
            partition.go_offline(reason)
            if isinstance(error, KafkaStorageError):
                self._unopened[partition] = reason
        else:
            self._unopened.pop(partition, None)
            partition.take_log(log)
            if self.committed_hook_of is not None:
                partition.on_committed = self.committed_hook_of(log.path)

    def retry_unopened(self) -> None:
        """Try again what storage refused to open: the disk may have room by now."""
        waiting = list(self._unopened)
        for partition in waiting:
            config, _ = self._config_of(self._cluster_group.state.topics[partition.topic])
            if config is not None:
                self._open_log(partition, config)
        opened = [partition for partition in waiting if partition.log is not None]
        try:
            self._elect(opened)
        except KafkaStorageError as error:
            for partition in opened:
                partition.go_offline(str(error))
                self._unopened[partition] = str(error)

    def _config_of(self, topic: TopicImage) -> tuple[LogConfig | None, str]:
        if not topic.configs:
            return self._default_config, ""
        try:
            return parse_topic_configs(topic.configs, self._default_config), ""
        except InvalidConfigError as error:
            reason = f"a setting of topic {topic.name} is invalid: {error}"
            logger.error("%s", reason)
            return None, reason

    def _reconfigure(self, topic: TopicImage) -> None:
        config, reason = self._config_of(topic)
        for index in range(topic.partition_count):
            partition = self._partitions.get((topic.name, index))
            if partition is None:
                continue
            if config is None:
                logger.error("%s-%d keeps its settings: %s", topic.name, index, reason)
            elif partition.log is None:
                self._open_log(partition, config)
                self._elect([partition])
            else:
                partition.log.update_config(config)
                partition.config_changed()

    def _drop_topic(self, topic: TopicImage) -> None:
        dropped = []
        for index in range(topic.partition_count):
            partition = self._partitions.pop((topic.name, index), None)
            if partition is None:
                continue
            del self._partitions_by_id[topic.topic_id, index]
            self._unopened.pop(partition, None)
            dropped.append(partition)
        for partition in dropped:
            partition.mark_deleted()
            _call_each(self.on_partition_offline, partition)
            self._log_manager.delete_log(topic.name, partition.index)
        # Last, so that a crash on the way leaves a group without a topic: see _finish_deletions.
        self._wal.forget_groups([partition.group.group_id for partition in dropped])

    def _finish_deletions(self) -> None:
        """Delete what a crash left of topics that the cluster has deleted already."""
        state = self._cluster_group.state
        orphans = {}
        for group_id in self._wal.replay():
            key = parse_partition_group_id(group_id)
            if key is not None and state.topic_by_id(key[0]) is None:
                orphans[key] = group_id
        if not orphans:
            return
        for log in self._log_manager.logs():
            if (log.topic_id, log.partition) in orphans:
                logger.info("%s-%d: deleting what is left of it", log.topic, log.partition)
                self._log_manager.delete_log(log.topic, log.partition)
        self._wal.forget_groups(orphans.values())

    # -- leaders

    def _elect(self, partitions: Sequence[Partition]) -> None:
        """Form the groups that are new and lead every partition whose log is open, in one batch."""
        decisions: list[Decision] = []
        for partition in partitions:
            decisions += self._decisions_for(partition)
        propose_together(self._wal, decisions)
        for partition in partitions:
            partition.state_changed()
            if partition.is_leader:
                _call_each(self.on_partition_online, partition)

    def _decisions_for(self, partition: Partition) -> list[Decision]:
        group = partition.group
        epoch = group.state.partition_epoch
        decisions: list[Decision] = []
        if not group.state.replicas:
            decisions.append((group, self._form(partition), _must_apply))
            epoch += 1
        if partition.log is not None:
            member = (self.broker_id, self.incarnation)
            elect = Elect(
                expected_partition_epoch=epoch,
                leader=self.broker_id,
                incarnation=self.incarnation,
                kind=ElectKind.CLEAN if member in group.state.isr else ElectKind.RESTARTED,
                min_leader_epoch=partition.log.latest_epoch + 1,
            )
            decisions.append((group, elect, _must_apply))
        return decisions

    def _form(self, partition: Partition) -> Form:
        state = self._cluster_group.state
        replicas = state.topics[partition.topic].assignments[partition.index]
        return Form(0, replicas, choose_voters(replicas, state.brokers))

    def _on_dir_offline(self, path: Path) -> None:
        """A folder of log.dirs failed: its partitions go offline, the others serve."""
        for partition in self._partitions.values():
            log = partition.log
            if log is not None and path in log.path.parents:
                partition.go_offline(f"the log directory {path} failed; see the log of the broker")
                _call_each(self.on_partition_offline, partition)


def _must_apply(outcome: Outcome) -> None:
    assert outcome == Outcome.APPLIED, outcome


def _call_each(hooks: Iterable[PartitionHook], partition: Partition) -> None:
    for hook in hooks:
        hook(partition)
