"""Checks a log folder from outside: every CRC, every index entry, every order that must hold.

    WHERE                  WHAT MUST HOLD
    .log                   whole batches, CRCs right, offsets and leader epochs never going back,
                           record counts and offsets inside a batch right, nothing behind but zeros
    .index                 entries grow; each names the last offset of a batch and its position
    .timeindex             entries grow; no entry is newer than what the segment holds up to there
    .txnindex, .snapshot   readable, CRC right
    between segments       each begins at or behind the end of the one before
    the folder             leader epochs grow; one topic id a topic; checkpoints readable

Reads and changes nothing.  A torn tail of the last segment is a warning, since recovery cuts it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .batch_file import read_file_batches, zeros_from
from .checkpoint_file import (
    LEADER_EPOCH_NAME,
    CheckpointFormatError,
    read_epoch_checkpoint,
    read_offset_checkpoint,
    read_partition_metadata,
)
from .errors import CorruptRecordError, HeadraceError, LogCorruptedError
from .log_dir import LogDir, parse_folder_name
from .log_dump import dump_file
from .record_batch import RecordBatch, inspect_records

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be; `position` is -1 where it is no matter of a byte."""

    path: Path
    position: int
    severity: Severity
    reason: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.position}" if self.position >= 0 else str(self.path)
        return f"{self.severity}: {place}: {self.reason}"


@dataclass(slots=True)
class _SegmentFacts:
    """What a walk over a segment's batches found."""

    end_of_batches: dict[int, int]
    newest_up_to: dict[int, int]
    next_offset: int
    leader_epoch: int


def verify_log_dir(path: Path) -> Iterator[Finding]:
    """Everything wrong with a folder of `log.dirs`, or with one partition's; nothing if sound.

    Raises FileNotFoundError where there is no such folder.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is no folder")
    if parse_folder_name(path.name) is not None and list(path.glob("*.log")):
        yield from verify_partition_folder(path)
        return
    log_dir = LogDir(path)
    try:
        log_dir.read_meta()
    except HeadraceError as error:
        yield Finding(path, -1, "error", str(error))
    for checkpoint in sorted(path.glob("*-offset-checkpoint")):
        try:
            read_offset_checkpoint(checkpoint)
        except CheckpointFormatError as error:
            yield Finding(checkpoint, -1, "error", f"line {error.line_number}: {error.reason}")
    topic_ids: dict[str, tuple[bytes, Path]] = {}
    for (topic, _), folder in log_dir.partition_folders():
        yield from _verify_topic_id(topic, folder, topic_ids)
        yield from verify_partition_folder(folder)


def verify_partition_folder(folder: Path) -> Iterator[Finding]:
    """Everything wrong with one partition's folder."""
    segment_paths = sorted(folder.glob("*.log"))
    next_offset = 0
    leader_epoch = -1
    for path in segment_paths:
        if not path.stem.isdigit() or len(path.stem) != 20:
            yield Finding(path, -1, "error", "its name is no base offset of 20 digits")
            continue
        base_offset = int(path.stem)
        if base_offset < next_offset:
            reason = f"it begins below {next_offset}, where the segment before it ends"
            yield Finding(path, -1, "error", reason)
        facts = _SegmentFacts({}, {}, base_offset, leader_epoch)
        is_last = path == segment_paths[-1]
        yield from _verify_batches(path, facts, is_last=is_last)
        yield from _verify_indexes(path, facts)
        next_offset, leader_epoch = facts.next_offset, facts.leader_epoch
    for snapshot in sorted(folder.glob("*.snapshot")):
        yield from _damage_in(snapshot)
    yield from _verify_epochs(folder, next_offset)


def _verify_batches(path: Path, facts: _SegmentFacts, *, is_last: bool) -> Iterator[Finding]:
    size_bytes = path.stat().st_size
    newest = -1
    try:
        for position, batch in read_file_batches(path, size_bytes):
            for reason in _faults_of(batch, facts):
                yield Finding(path, position, "error", reason)
            newest = max(newest, batch.max_timestamp)
            facts.end_of_batches[batch.last_offset] = position
            facts.newest_up_to[batch.last_offset] = newest
            facts.next_offset = max(facts.next_offset, batch.next_offset)
            facts.leader_epoch = max(facts.leader_epoch, batch.leader_epoch)
    except LogCorruptedError as error:
        if not zeros_from(path, error.position):
            tail_bytes = size_bytes - error.position
            yield Finding(
                path,
                error.position,
                "warning" if is_last else "error",
                f"{tail_bytes} bytes behind the last batch: {error.reason}",
            )


def _faults_of(batch: RecordBatch, facts: _SegmentFacts) -> Iterator[str]:
    if not batch.crc_is_valid():
        yield f"{batch!r} fails its CRC"
        return
    if batch.base_offset < facts.next_offset:
        yield f"{batch!r} begins below offset {facts.next_offset}, where it may at the earliest"
    if batch.leader_epoch < facts.leader_epoch:
        yield f"{batch!r} has leader epoch {batch.leader_epoch} behind {facts.leader_epoch}"
    try:
        inspect_records(batch)
    except HeadraceError as error:
        yield str(error)


def _verify_indexes(path: Path, facts: _SegmentFacts) -> Iterator[Finding]:
    previous_offset, previous_position = -1, -1
    for entry in _entries_if_there(path.with_suffix(".index")):
        offset, position = entry["offset"], entry["position"]
        index = path.with_suffix(".index")
        if offset <= previous_offset or position <= previous_position:
            yield Finding(index, entry["slot"] * 8, "error", f"offset {offset} does not grow")
        elif facts.end_of_batches.get(offset) != position:
            reason = f"no batch that ends with offset {offset} stands at byte {position}"
            yield Finding(index, entry["slot"] * 8, "error", reason)
        previous_offset, previous_position = offset, position
    previous_offset, previous_timestamp = -1, -1
    for entry in _entries_if_there(path.with_suffix(".timeindex")):
        offset, timestamp = entry["offset"], entry["timestamp"]
        index = path.with_suffix(".timeindex")
        if timestamp < previous_timestamp or offset < previous_offset:
            yield Finding(index, entry["slot"] * 12, "error", f"time {timestamp} does not grow")
        elif timestamp > facts.newest_up_to.get(offset, -1):
            reason = f"no record up to offset {offset} is as new as {timestamp}"
            yield Finding(index, entry["slot"] * 12, "error", reason)
        previous_offset, previous_timestamp = offset, timestamp
    yield from _damage_in(path.with_suffix(".txnindex"))


def _entries_if_there(path: Path) -> Iterator[dict[str, int]]:
    if path.exists():
        yield from dump_file(path)


def _damage_in(path: Path) -> Iterator[Finding]:
    if path.exists():
        for entry in dump_file(path):
            if entry["kind"] == "damage":
                yield Finding(path, -1, "error", entry["reason"])


def _verify_epochs(folder: Path, log_end_offset: int) -> Iterator[Finding]:
    path = folder / LEADER_EPOCH_NAME
    try:
        entries = read_epoch_checkpoint(path)
    except CheckpointFormatError as error:
        yield Finding(path, -1, "error", f"line {error.line_number}: {error.reason}")
        return
    previous = (-1, -1)
    for epoch, start_offset in entries:
        if epoch <= previous[0] or start_offset < previous[1]:
            yield Finding(path, -1, "error", f"epoch {epoch} from {start_offset} does not grow")
        if start_offset > log_end_offset:
            reason = f"epoch {epoch} begins at {start_offset}, behind the log's end"
            yield Finding(path, -1, "warning", reason)
        previous = (epoch, start_offset)


def _verify_topic_id(
    topic: str, folder: Path, topic_ids: dict[str, tuple[bytes, Path]]
) -> Iterator[Finding]:
    try:
        topic_id = read_partition_metadata(folder)
    except (CheckpointFormatError, CorruptRecordError) as error:
        yield Finding(folder, -1, "error", str(error))
        return
    if topic_id is None:
        return
    known, other = topic_ids.setdefault(topic, (topic_id, folder))
    if known != topic_id:
        yield Finding(folder, -1, "error", f"its topic id is not that of {other}")
