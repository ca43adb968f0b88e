"""Replicas whose disk has no room: others should lead them for as long.

A full disk refuses an append and fails nothing, so the replica stays; but while it leads nobody can
produce, though followers may have room on other disks.  It says so (`OfflineReplicas.full`), and
the controller elects one of the isr that did not; where none is left it leads on, so that full
disks everywhere move nothing to and fro.  It is over once there is room for more than the next
append.  Loop thread only.
"""

import logging
from pathlib import Path

from ..core.checkpoint_file import check_room
from .offline_replicas import OfflineReplicas
from .partition import Partition
from .partition_group import partition_group_id

ROOM_BYTES = 16 * 1024 * 1024
"""There must be so much, or as much as a segment takes where that is less."""

logger = logging.getLogger(__name__)


class FullDisks:
    """See the module."""

    def __init__(self, told: OfflineReplicas) -> None:
        self._told = told
        self._full: set[Partition] = set()

    def note(self, partition: Partition) -> None:
        """Its log could not be written for want of room."""
        if partition not in self._full:
            logger.error(
                "%s-%d has no room here; until there is, another in-sync replica leads it, if any",
                *(partition.topic, partition.index),
            )
            self._full.add(partition)
            self._tell(partition, is_full=True)

    def forget(self, partition: Partition) -> None:
        """It is held here no more."""
        self._full.discard(partition)

    def look(self) -> None:
        """Whether there is room by now."""
        has_room: dict[tuple[Path, int], bool] = {}
        for partition in list(self._full):
            log = partition.log
            if log is not None:
                place = log.path.parent, min(ROOM_BYTES, log.config.segment_bytes)
                if place not in has_room:
                    has_room[place] = _has_room(*place)
                if not has_room[place]:
                    continue
            self._full.discard(partition)
            self._tell(partition, is_full=False)

    def _tell(self, partition: Partition, *, is_full: bool) -> None:
        base_id = partition_group_id(partition.topic_id, partition.index)
        self._told.note_full(base_id, is_full=is_full)


def _has_room(folder: Path, size_bytes: int) -> bool:
    try:
        check_room(folder, size_bytes)
    except OSError:  # full still, or failed, which is noted elsewhere
        return False
    return True
