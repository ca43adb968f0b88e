"""Logs of partitions that moved to other brokers, which nobody here was left to delete.

This broker was killed between journaling that it left the group and deleting the log, or heard only
after a restart that the group had gone on without it.  Such a log is deleted as it would have been
then, once two things are certain: the cluster's state is the present one, and by it this broker
does not hold the partition and no move of it is under way; and the group went on without a copy
here, by what this broker has journaled or heard of it.  What is not certain stays: a folder of
another topic's id, or of a group that this broker never was in.  Loop thread only.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from .cluster_group import ClusterGroup
from .group_seats import GroupSeats
from .partition import Partition
from .partition_group import partition_group_id
from .replica_log import LogKeeper
from .topic_image import TopicImage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Unheld:
    """A log that stands here without a replica."""

    topic: str
    topic_id: bytes
    index: int


class StrayLogs:
    """See the module.  `find(topic_id, index)`: this broker's replica, if it has one."""

    def __init__(
        self,
        broker_id: int,
        log_manager: LogKeeper,
        cluster_group: ClusterGroup,
        seats: GroupSeats,
        find: Callable[[bytes, int], Partition | None],
    ) -> None:
        self._broker_id = broker_id
        self._log_manager = log_manager
        self._cluster_group = cluster_group
        self._seats = seats
        self._find = find
        self._unheld: dict[str, _Unheld] = {}

    def state_is_present(self) -> None:
        """The cluster's state is the present one from now on: look at every log that is here."""
        self._unheld = {
            partition_group_id(log.topic_id, log.partition): _Unheld(
                log.topic, log.topic_id, log.partition
            )
            for log in self._log_manager.logs()
            if self._find(log.topic_id, log.partition) is None
        }
        for base_id in list(self._unheld):
            self.group_left(base_id)

    def topic_changed(self, topic: TopicImage) -> None:
        """A move of its partitions began, or is over."""
        for base_id, log in list(self._unheld.items()):
            if log.topic_id == topic.topic_id:
                self.group_left(base_id)

    def group_left(self, base_id: str) -> None:
        """The partition's group has no replica here: delete a log that is left, if that is sure."""
        log = self._unheld.get(base_id)
        if log is None or not self._is_given_up(log) or not self._has_gone_on(base_id, log):
            return
        del self._unheld[base_id]
        for each in self._log_manager.logs():
            if (each.topic_id, each.partition) == (log.topic_id, log.index):
                logger.warning(
                    "%s-%d moved to other brokers before, and its log was still here: deleting it",
                    log.topic,
                    log.index,
                )
                self._log_manager.delete_log(log.topic, log.index)

    def _is_given_up(self, log: _Unheld) -> bool:
        """Whether the cluster has other brokers hold it, for good."""
        topic = self._cluster_group.state.topic_by_id(log.topic_id)
        if topic is None or topic.name != log.topic or log.index >= topic.partition_count:
            return False
        if log.index in topic.targets or self._broker_id in topic.assignments[log.index]:
            return False
        return self._find(log.topic_id, log.index) is None

    def _has_gone_on(self, base_id: str, log: _Unheld) -> bool:
        """Whether its group goes on without a copy here, as far as this broker knows."""
        seats = self._seats
        told = None if seats.news is None else seats.news.told_state(base_id)
        if told is not None and self._broker_id in told.replicas:
            return False
        seat = seats.seat_of(log.topic_id, log.index)
        if seat is None:
            return base_id in seats.left
        replicas = seat.group.state.replicas
        return bool(replicas) and self._broker_id not in replicas
