"""Serving a folder that Apache Kafka wrote: topics become ours, records stay where they lie.

Kafka's segments, checkpoints and ids need no change, so only the cluster's state has to be filled:
topics, settings and the next producer id, from `__cluster_metadata-0`.  That log is read and left
as it was.  What has no counterpart here is named, once, in the broker's log.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.clock import Clock
from ...core.errors import InvalidConfigError
from ...core.kafka_uuid import ZERO_UUID, random_uuid
from ...core.log_config import LogConfig, parse_topic_configs
from ...raft.cluster_commands import (
    RESOURCE_BROKER,
    AllocateProducerIds,
    AlterConfigs,
    Command,
    CreateTopic,
)
from ...raft.cluster_group import ClusterGroup
from ...raft.errors import ClusterStateError
from ..broker_config import BROKER_CONFIG_DEFS
from .kafka_image import KafkaImage, KafkaTopic
from .metadata_log import METADATA_FOLDER, read_metadata

if TYPE_CHECKING:
    from ...core.log import Log
    from ...core.log_manager import LogManager

logger = logging.getLogger(__name__)

_TRANSACTION_TOPICS = {"__transaction_state", "__share_group_state"}


def take_over(
    *,
    log_manager: "LogManager",
    cluster_group: ClusterGroup,
    clock: Clock,
    default_config: LogConfig,
) -> None:
    """Make topics of the logs that the cluster's state does not know.

    Comes after the replica manager has started, which deletes what a crash left of deleted topics.
    Does nothing in a folder that headrace filled itself, nor while one of log.dirs is offline: what
    is missing of a topic may be there, and is not to start empty.  Raises KafkaMetadataError where
    Kafka's metadata cannot be read: serving without it would lose settings.
    """
    state = cluster_group.state
    logs: dict[str, list[Log]] = defaultdict(list)
    for log in log_manager.logs():
        if log.topic not in state.topics:
            logs[log.topic].append(log)
    if not logs:
        return
    if log_manager.offline_dirs:
        logger.error(
            "%s: offline, so topics that this broker does not know yet are not served: %s",
            ", ".join(map(str, log_manager.offline_dirs)),
            ", ".join(sorted(logs)),
        )
        return
    is_first_time = not state.topics and state.next_producer_id == 0
    image = _read_image(log_manager.log_dirs)
    taking = _TakeOver(cluster_group, clock, default_config, image)
    for name in sorted(logs):
        taking.take_topic(name, sorted(logs[name], key=lambda log: log.partition))
    if image is not None and is_first_time:
        taking.take_cluster(image)
    taking.report(log_manager)


def _read_image(log_dirs: Sequence[Path]) -> KafkaImage | None:
    for folder in log_dirs:
        if (folder / METADATA_FOLDER).is_dir():
            return KafkaImage.of(read_metadata(folder / METADATA_FOLDER))
    return None


class _TakeOver:
    """One run of `take_over`."""

    def __init__(
        self,
        cluster_group: ClusterGroup,
        clock: Clock,
        default_config: LogConfig,
        image: KafkaImage | None,
    ) -> None:
        self._cluster_group = cluster_group
        self._broker_id = cluster_group.broker_id
        self._clock = clock
        self._default_config = default_config
        self._image = image
        self._taken: dict[str, list[Log]] = {}

    def take_topic(self, name: str, logs: "list[Log]") -> None:
        """Adopt one topic with the partitions that are here."""
        if self._image is None:
            self._take_without_metadata(name, logs)
            return
        topic = self._image.topic_named(name)
        strays = [log for log in logs if topic is None or log.topic_id != topic.topic_id]
        for log in strays:
            logger.warning("%s belongs to no topic that Kafka knew: it is not served", log.path)
        if topic is None or strays:
            return
        self._warn_of_partitions_elsewhere(topic, logs)
        configs = self._usable_configs(name, self._image.topic_configs.get(name, {}))
        count = max(topic.partitions) + 1
        for log in logs:
            _continue_epoch(log, topic)
        if self._create(name, topic.topic_id, count, configs):
            self._taken[name] = logs

    def _take_without_metadata(self, name: str, logs: "list[Log]") -> None:
        """A folder of brokers whose metadata lay elsewhere: in ZooKeeper, or on controllers."""
        known_ids = {log.topic_id for log in logs} - {ZERO_UUID}
        if len(known_ids) > 1:
            logger.warning("the partitions of %s have different topic ids: it is not served", name)
            return
        topic_id = known_ids.pop() if known_ids else random_uuid(self._clock)
        if self._create(name, topic_id, logs[-1].partition + 1, {}):
            self._taken[name] = logs
            logger.warning(
                "%s is served with default settings: what it was set to is not in this folder", name
            )

    def _warn_of_partitions_elsewhere(self, topic: KafkaTopic, logs: "list[Log]") -> None:
        here = {log.partition for log in logs}
        for index, partition in sorted(topic.partitions.items()):
            if index not in here:
                logger.warning(
                    "%s-%d is not in this folder (Kafka kept it on brokers %s): it starts empty",
                    topic.name,
                    index,
                    partition.replicas,
                )

    def _usable_configs(self, name: str, configs: Mapping[str, str]) -> dict[str, str]:
        """The settings that a topic may have here; the others are named."""
        usable: dict[str, str] = {}
        for setting, value in configs.items():
            try:
                parse_topic_configs({setting: value}, self._default_config)
            except InvalidConfigError as error:
                logger.warning("a setting of %s is not taken over: %s", name, error)
            else:
                usable[setting] = value
        return usable

    def _create(self, name: str, topic_id: bytes, count: int, configs: Mapping[str, str]) -> bool:
        assignments = ((self._broker_id,),) * count
        command = CreateTopic(name, topic_id, assignments, tuple(sorted(configs.items())))
        refusal = self._propose(command)
        if isinstance(refusal, ClusterStateError):
            logger.warning("topic %s is not taken over: %s", name, refusal)
            return False
        return True

    def _propose(self, command: Command) -> Any:
        """The command's result: with one voter it is there when the proposal returns."""
        results: list[Any] = []
        self._cluster_group.propose(command, results.append)
        assert len(results) == 1, command
        return results[0]

    def take_cluster(self, image: KafkaImage) -> None:
        """What is no topic's: the dynamic settings of brokers and the producer ids given out."""
        if image.next_producer_id > 0:
            self._propose(AllocateProducerIds(self._broker_id, image.next_producer_id))
        for name, configs in image.broker_configs.items():
            if name not in ("", str(self._broker_id)):
                logger.warning("settings of broker %s are not taken over: it is another one", name)
                continue
            usable = {}
            for setting, value in configs.items():
                reason = _why_not_dynamic(setting, value)
                if reason is None:
                    usable[setting] = value
                else:
                    logger.warning("a broker setting is not taken over: %s", reason)
            if usable:
                self._propose(AlterConfigs(RESOURCE_BROKER, name, usable))

    def report(self, log_manager: "LogManager") -> None:
        """Say what was taken over and what of it cannot be had."""
        partition_count = sum(map(len, self._taken.values()))
        logger.info(
            "took over %d topics with %d partitions from the folders of a Kafka broker",
            len(self._taken),
            partition_count,
        )
        for (topic, index), error in log_manager.offline_logs.items():
            logger.warning("%s-%d cannot be opened: %s", topic, index, error)
        for name in sorted(_TRANSACTION_TOPICS & self._taken.keys()):
            logger.warning("%s is kept, but not used: its feature is not supported", name)
        self._warn_of_open_transactions()
        if self._image is not None:
            for what, count in sorted(self._image.lost.items()):
                logger.warning("%d records of %s are not taken over", count, what)
            self._warn_of_topics_elsewhere(self._image)

    def _warn_of_open_transactions(self) -> None:
        for logs in self._taken.values():
            for log in logs:
                starts = [
                    producer.current_txn_start_offset
                    for producer in log.active_producers()
                    if producer.current_txn_start_offset >= 0
                ]
                if starts:
                    logger.warning(
                        "%s-%d has a transaction open since offset %d: readers of committed "
                        "records stop there",
                        log.topic,
                        log.partition,
                        min(starts),
                    )

    def _warn_of_topics_elsewhere(self, image: KafkaImage) -> None:
        names = {topic.name for topic in image.topics.values()}
        missing = sorted(names - set(self._cluster_group.state.topics))
        if missing:
            logger.warning("topics without a partition in these folders: %s", ", ".join(missing))


def _continue_epoch(log: "Log", topic: KafkaTopic) -> None:
    """Let the leader epoch go on above Kafka's, which may be newer than the last batch's."""
    partition = topic.partitions.get(log.partition)
    if partition is not None and partition.leader_epoch > log.latest_epoch:
        log.assign_epoch(partition.leader_epoch, log.log_end_offset)


def _why_not_dynamic(setting: str, value: str) -> str | None:
    """Why a broker's dynamic setting cannot be one here; None where it can."""
    definition = BROKER_CONFIG_DEFS.get(setting)
    if definition is None or not definition.is_dynamic:
        return f"{setting}={value} is not supported as a dynamic setting"
    try:
        definition.parse(value)
    except InvalidConfigError as error:
        return str(error)
    return None
