"""Replicas whose disk has no room: others should lead them for as long.

A full disk refuses an append and fails nothing, so the replica stays; but while it leads nobody can
produce, though followers may have room on other disks.  It says so (`OfflineReplicas.full`), and
the controller elects one of the isr that did not; where none is left it leads on, so that full
disks everywhere move nothing to and fro.  It is over once there is room for more than the next
append; the worker looks for it, as to reserve it may take a while.  Loop thread only.
"""

import logging
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from ..core.checkpoint_file import check_room
from ..core.worker import Worker
from .offline_replicas import OfflineReplicas
from .partition import Partition
from .partition_group import partition_group_id

ROOM_BYTES = 16 * 1024 * 1024
"""There must be so much, or as much as a segment takes where that is less."""

logger = logging.getLogger(__name__)

Place = tuple[Path, int]
"""(folder of log.dirs, how many bytes must have room there)"""


class FullDisks:
    """See the module."""

    def __init__(self, told: OfflineReplicas, worker: Worker) -> None:
        self._told = told
        self._worker = worker
        self._is_looking = False
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
        """See on the worker whether there is room by now, if it does not look already."""
        if self._full and not self._is_looking:
            self._is_looking = True
            places = {place for each in self._full if (place := _place_of(each)) is not None}
            self._worker.submit(lambda: _roomy(places), self._take_roomy, self._take_failure)

    def _take_roomy(self, roomy: Collection[Place]) -> None:
        self._is_looking = False
        for partition in list(self._full):
            place = _place_of(partition)
            if place is None or place in roomy:
                self._full.discard(partition)
                self._tell(partition, is_full=False)

    def _take_failure(self, error: BaseException) -> None:
        self._is_looking = False
        logger.error("nobody could see whether disks have room", exc_info=error)

    def _tell(self, partition: Partition, *, is_full: bool) -> None:
        base_id = partition_group_id(partition.topic_id, partition.index)
        self._told.note_full(base_id, is_full=is_full)


def _place_of(partition: Partition) -> Place | None:
    log = partition.log
    if log is None:
        return None
    return log.path.parent, min(ROOM_BYTES, log.config.segment_bytes)


def _roomy(places: Iterable[Place]) -> set[Place]:
    """Those of these places that have room.  Any thread."""
    roomy = set()
    for place in places:
        with suppress(OSError):  # full still, or failed, which is noted elsewhere
            check_room(*place)
            roomy.add(place)
    return roomy
