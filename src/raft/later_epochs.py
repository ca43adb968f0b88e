"""Replicas whose logs have records of later leader epochs than their partitions: said in words.

A broker that restarts may not have heard of the newest epochs yet; that takes a moment.  Where the
leader of the earlier epoch is still there after that, nobody here can say whether the records are
needed: the folder is of another cluster, or of a history that was given up.  Such a replica
follows nobody (`Partition.is_past_leader`), and who looks after the broker has to choose.  Loop
thread only.
"""

import logging
from collections.abc import Callable

from .partition import Partition

SAY_AFTER_MS = 5_000
_SAID = float("inf")

logger = logging.getLogger(__name__)


class LaterEpochs:
    """See the module.  `is_live(broker_id)`: whether this broker hears another one."""

    def __init__(self, is_live: Callable[[int], bool]) -> None:
        self._is_live = is_live
        # (topic id, index) -> (leader epoch, since when its leader was seen with it)
        self._seen: dict[tuple[bytes, int], tuple[int, float]] = {}

    def note(self, partition: Partition, now_ms: int) -> None:
        """A replica is past its leader: say so, once in each epoch, if that one stays."""
        key = partition.topic_id, partition.index
        epoch, since_ms = self._seen.get(key, (-1, 0))
        is_led = self._is_live(partition.leader_id)
        if epoch != partition.leader_epoch or (not is_led and since_ms != _SAID):
            self._seen[key] = partition.leader_epoch, now_ms
        elif now_ms - since_ms >= SAY_AFTER_MS:
            self._seen[key] = epoch, _SAID
            self._say(partition)

    def forget(self, partition: Partition) -> None:
        """It is held here no more."""
        self._seen.pop((partition.topic_id, partition.index), None)

    def _say(self, partition: Partition) -> None:
        log = partition.log
        assert log is not None, partition
        logger.warning(
            "%s has records of leader epoch %d, but %s-%d is in epoch %d, led by broker %d: they "
            "are of another cluster, or of a history that was given up.  This replica stays out of "
            "sync.  To begin it anew, stop this broker, move that folder out of log.dirs and start "
            "it again: then it copies what the leader has",
            log.path,
            log.latest_epoch,
            partition.topic,
            partition.index,
            partition.leader_epoch,
            partition.leader_id,
        )
