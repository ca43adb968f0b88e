"""The files of a partition's folder: which there are, and how segments are replaced and deleted.

Replacing segments (compaction) survives a crash at every step:

    1  the new segments are written as `.cleaned` and synced
    2  they are renamed to `.swap`, the highest base offset first
    3  the old segments are renamed to `.deleted`, then unlinked
    4  the new segments lose their `.swap`

On open: `.deleted` and `.cleaned` go.  A `.swap` beside a `.cleaned` with the same or a lower base
offset was interrupted in step 2, and goes too.  Any other `.swap` was complete: steps 3 and 4 are
done again.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .checkpoint_file import sync_folder
from .log_segment import (
    CLEANED_SUFFIX,
    DELETED_SUFFIX,
    INDEX_SUFFIX,
    LOG_SUFFIX,
    SWAP_SUFFIX,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
    LogSegment,
)
from .producer_state import SNAPSHOT_SUFFIX
from .record_batch import iter_batches

_INDEX_KINDS = (INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX)
_KINDS = (LOG_SUFFIX, *_INDEX_KINDS)
_OFFSET_DIGITS = 20
_MAX_NAME_LENGTH = 255


@dataclass(slots=True)
class FolderListing:
    """What one look at a folder found; every key is a base offset."""

    log_sizes: dict[int, int] = field(default_factory=dict)
    snapshot_offsets: list[int] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    indexed: set[int] = field(default_factory=set)


def list_folder(folder: Path) -> FolderListing:
    """Finish what was interrupted in `folder`, then tell what it holds."""
    with os.scandir(folder) as found:
        entries = list(found)
    names = [entry.name for entry in entries]
    if any(name.endswith((DELETED_SUFFIX, CLEANED_SUFFIX, SWAP_SUFFIX)) for name in names):
        _finish_interrupted(folder, names)
        with os.scandir(folder) as found:
            entries = list(found)
    listing = FolderListing()
    indexes = []
    for entry in entries:
        stem, kind = os.path.splitext(entry.name)
        if len(stem) != _OFFSET_DIGITS or not stem.isdigit():
            continue
        if kind == LOG_SUFFIX:
            listing.log_sizes[int(stem)] = entry.stat().st_size
        elif kind == SNAPSHOT_SUFFIX:
            listing.snapshot_offsets.append(int(stem))
        elif kind in _INDEX_KINDS:
            indexes.append((int(stem), entry.name))
    listing.indexed = {offset for offset, _ in indexes}
    listing.orphans = [name for offset, name in indexes if offset not in listing.log_sizes]
    for name in listing.orphans:
        os.unlink(folder / name)
    return listing


def swap_segments(folder: Path, new: Iterable[LogSegment], old: Iterable[LogSegment]) -> None:
    """Put the `.cleaned` segments `new`, already synced, in the place of `old`: steps 2 to 4.

    The old ones are closed and left as `.deleted`; the caller unlinks them.
    """
    for segment in sorted(new, key=lambda each: each.base_offset, reverse=True):
        segment.change_suffix(SWAP_SUFFIX)
    sync_folder(folder)
    retire_segments(old)
    for segment in new:
        segment.change_suffix("")
    sync_folder(folder)


def retire_segments(segments: Iterable[LogSegment]) -> None:
    """Close segments and take them out of sight as `.deleted`; views of them stay readable."""
    for segment in segments:
        segment.close(trim=False)
        segment.change_suffix(DELETED_SUFFIX)


def delete_segment_files(folder: Path, segments: Iterable[LogSegment]) -> None:
    """Unlink the files of closed segments; for the worker thread."""
    for segment in segments:
        segment.delete_files()
    if folder.exists():
        sync_folder(folder)


def doomed_folder_name(topic: str, partition: int, unique: bytes) -> str:
    """What the folder of a deleted partition is called until its files are gone, as in Kafka."""
    tail = f"-{partition}.{unique.hex()}-delete"
    return topic[: _MAX_NAME_LENGTH - len(tail)] + tail


def _finish_interrupted(folder: Path, names: list[str]) -> None:
    cleaned = [name for name in names if name.endswith(CLEANED_SUFFIX)]
    swaps = [name for name in names if name.endswith(SWAP_SUFFIX)]
    doomed = cleaned + [name for name in names if name.endswith(DELETED_SUFFIX)]
    if cleaned:
        lowest = min(_offset_of(name) for name in cleaned)
        doomed += [name for name in swaps if _offset_of(name) >= lowest]
    for name in doomed:
        os.unlink(folder / name)
    complete = [name for name in swaps if name not in set(doomed)]
    swap_logs = [name for name in complete if name.endswith(LOG_SUFFIX + SWAP_SUFFIX)]
    if swap_logs:
        start = min(_offset_of(name) for name in swap_logs)
        end = max(_end_offset_of(folder / name) for name in swap_logs)
        for name in names:
            is_segment = name.endswith(_KINDS) and name[:_OFFSET_DIGITS].isdigit()
            if is_segment and (start <= _offset_of(name) < end or _offset_of(name) == start):
                os.unlink(folder / name)
    for name in complete:
        os.rename(folder / name, folder / name.removesuffix(SWAP_SUFFIX))
    sync_folder(folder)


def _offset_of(name: str) -> int:
    return int(name[:_OFFSET_DIGITS])


def _end_offset_of(path: Path) -> int:
    """Behind the last record of a segment file that was synced whole."""
    end_offset = _offset_of(path.name)
    for batch in iter_batches(path.read_bytes()):
        end_offset = batch.next_offset
    return end_offset
