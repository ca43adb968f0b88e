"""What a power cut leaves of a stopped broker's logs: nothing behind the last sync."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...core.clock import Clock
from ...core.log import Log
from ...core.log_config import LogConfig
from ...core.worker import InlineWorker
from ...raft import ReplicaManager


@dataclass(frozen=True, slots=True)
class SyncedLog:
    """A log, and the offset below which all of it was synced."""

    topic: str
    partition: int
    path: Path
    offset: int


SyncedOffsets = Mapping[tuple[bytes, int], SyncedLog]
"""By topic id and partition."""


def synced_offsets(replicas: ReplicaManager, known: SyncedOffsets) -> SyncedOffsets:
    """What is synced by now of every log; `known` is from before the last start."""
    found = {}
    for each in replicas.partitions():
        if each.log is None:
            continue
        key = (each.topic_id, each.index)
        before = known[key].offset if key in known else 0
        offset = max(each.log.recovery_point, min(before, each.log.log_end_offset))
        found[key] = SyncedLog(each.topic, each.index, each.log.path, offset)
    return found


def drop_unsynced(synced: SyncedOffsets, clock: Clock) -> None:
    """Cut every log off at what was synced; nobody has the folder open."""
    worker = InlineWorker()
    for each in synced.values():
        log = Log.open(
            each.path,
            topic=each.topic,
            partition=each.partition,
            config=LogConfig(),
            clock=clock,
            worker=worker,
            is_clean=False,
        )
        log.truncate_to(each.offset)
        log.close(clean=False)
