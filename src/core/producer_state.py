"""What a log remembers of its idempotent producers, and its snapshots.

    OFFSET  SIZE  FIELD                      <20-digit offset>.snapshot, big-endian
         0     2  version                    1
         2     4  crc                        CRC-32C of the bytes from 6 on
         6     4  entry_count
        10        entries, 46 bytes each:
         0     8  producer_id
         8     2  producer_epoch
        10     4  last_sequence              -1: none
        14     8  last_offset                -1: none
        22     4  offset_delta               last_offset - base offset of that batch
        26     8  timestamp                  [ms]
        34     4  coordinator_epoch          -1: no marker was seen
        38     8  current_txn_first_offset   -1: no transaction is open

A snapshot holds the state below the offset it is named after.  One is taken when a segment is begun
and at a clean stop; after a crash the newest intact one is loaded and what is behind it replayed.
A segment may hold millions of batches, and who follows a leader that was killed cuts off a few of
them while producers wait: for that the last two of the copies that are kept in memory on the way.
"""

import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .append_info import AppendInfo
from .checkpoint_file import replace_file
from .crc32c import crc32c
from .errors import CorruptRecordError
from .producer_entry import ProducerEntry
from .record_batch import RecordBatch
from .transaction_index import AbortedTransaction

SNAPSHOT_SUFFIX = ".snapshot"
_VERSION = 1
_HEADER = struct.Struct(">hIi")
_ENTRY = struct.Struct(">qhiqiqiq")
_CRC_END = 6
_MARKER_KEY = struct.Struct(">hh")
_MARKER_VALUE = struct.Struct(">hi")
_ABORT, _COMMIT = 0, 1
BATCHES_A_COPY = 10_000
"""To replay them takes some milliseconds, to copy a few producers nothing beside writing them."""
MAX_COPIED_PRODUCERS = 5_000


@dataclass(frozen=True, slots=True)
class CompletedTransaction:
    """A transaction whose marker, at `last_offset`, was written."""

    producer_id: int
    first_offset: int
    last_offset: int


@dataclass(frozen=True, slots=True)
class ProducerCopy:
    """The state below `offset`, in memory."""

    offset: int
    entries: tuple[ProducerEntry, ...]
    ongoing: dict[int, int]
    unreplicated: dict[int, CompletedTransaction]


class ProducerStateManager:
    """The producers of the log in `folder`."""

    def __init__(self, folder: Path, *, expiration_ms: int) -> None:
        self._folder = folder
        self._expiration_ms = expiration_ms
        self._entries: dict[int, ProducerEntry] = {}
        # First offset -> producer id or transaction, in the order of those offsets: what is open,
        # and what is over but not yet below high_watermark.
        self.ongoing: dict[int, int] = {}
        self.unreplicated: dict[int, CompletedTransaction] = {}
        self.snapshot_offset = -1
        self._copies: list[ProducerCopy] = []  # oldest first
        self._batches_to_copy = BATCHES_A_COPY

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> list[ProducerEntry]:
        """Every producer that is remembered."""
        return list(self._entries.values())

    @property
    def first_unstable_offset(self) -> int | None:
        """Where the earliest transaction begins that is open, or not yet below high_watermark."""
        firsts = [next(iter(each)) for each in (self.ongoing, self.unreplicated) if each]
        return min(firsts, default=None)

    def is_duplicate(self, info: AppendInfo, *, is_client: bool) -> bool:
        """Whether the batch was written before (`info` then points there); raises SequenceError."""
        entry = self._entries.get(info.producer_id)
        if entry is None:
            return False
        if not is_client:
            entry.check_epoch(info.producer_epoch)
            return False
        if entry.find_duplicate(info):
            return True
        entry.check_sequence(info)
        return False

    def note_batch(self, info: AppendInfo) -> None:
        """Remember a batch of records that was written."""
        entry = self._entries.get(info.producer_id)
        if entry is None:
            entry = self._entries[info.producer_id] = ProducerEntry(info.producer_id)
        entry.note_batch(info)
        if info.is_transactional and entry.current_txn_start_offset < 0:
            entry.current_txn_start_offset = info.base_offset
            self.ongoing[info.base_offset] = info.producer_id
        self._batches_to_copy -= 1
        if not self._batches_to_copy:
            self._keep_copy(info.last_offset + 1)

    def note_marker(self, info: AppendInfo, batch: RecordBatch) -> AbortedTransaction | None:
        """Remember a control batch; the transaction it aborts, if it aborts one."""
        record = next(iter(batch.records()), None)
        if record is None:  # compaction emptied it: its transaction is long gone
            return None
        if record.key is None or len(record.key) < _MARKER_KEY.size or record.value is None:
            raise CorruptRecordError(f"no marker stands at offset {info.base_offset}")
        _, kind = _MARKER_KEY.unpack_from(record.key)
        if kind not in (_ABORT, _COMMIT):
            return None
        if len(record.value) < _MARKER_VALUE.size:
            raise CorruptRecordError(f"the marker at offset {info.base_offset} is cut off")
        _, coordinator_epoch = _MARKER_VALUE.unpack_from(record.value)
        entry = self._entries.get(info.producer_id)
        if entry is None:
            entry = self._entries[info.producer_id] = ProducerEntry(info.producer_id)
        first_offset = entry.current_txn_start_offset
        entry.note_marker(info.producer_epoch, coordinator_epoch, record.timestamp)
        if first_offset < 0:
            return None
        self.ongoing.pop(first_offset, None)
        completed = CompletedTransaction(info.producer_id, first_offset, info.last_offset)
        self.unreplicated[first_offset] = completed
        if len(self.unreplicated) > 1:
            self.unreplicated = dict(sorted(self.unreplicated.items()))
        if kind == _COMMIT:
            return None
        # The last stable offset once this one is done: where the next open one starts.
        stable_offset = next(iter(self.ongoing), info.last_offset + 1)
        return AbortedTransaction(info.producer_id, first_offset, info.last_offset, stable_offset)

    def high_watermark_moved(self, high_watermark: int) -> None:
        """Let the transactions go whose marker is replicated."""
        if self.unreplicated:
            self.unreplicated = {
                first_offset: completed
                for first_offset, completed in self.unreplicated.items()
                if completed.last_offset >= high_watermark
            }

    def remove_expired(self, now_ms: int) -> int:
        """Forget producers that wrote nothing for producer.id.expiration.ms; how many."""
        expired = [
            entry.producer_id
            for entry in self._entries.values()
            if entry.current_txn_start_offset < 0
            and now_ms - entry.last_timestamp >= self._expiration_ms
        ]
        for producer_id in expired:
            del self._entries[producer_id]
        return len(expired)

    def clear(self) -> None:
        """Forget every producer; the snapshots stay."""
        self._entries.clear()
        self.ongoing.clear()
        self.unreplicated.clear()

    def take_over(self, other: "ProducerStateManager") -> None:
        """Remember what the producers of another copy of the same log are; that copy ends."""
        self._copies.clear()
        self._entries = other._entries
        self.ongoing = other.ongoing
        self.unreplicated = other.unreplicated

    def take_snapshot(self, offset: int) -> None:
        """Write the state below `offset`, unless that is there; without a sync."""
        if offset == self.snapshot_offset:
            return
        replace_file(self._path_of(offset), encode_snapshot(self._entries.values()), sync=False)
        self.snapshot_offset = offset

    def load_snapshot(self, offsets: Iterable[int], *, start_offset: int, end_offset: int) -> int:
        """Load the newest intact snapshot within start..end; the offset to replay from.

        Damaged ones, and those behind the end, are deleted.
        """
        self.clear()
        self.snapshot_offset = -1
        for offset in sorted(offsets, reverse=True):
            if offset > end_offset:
                self._path_of(offset).unlink(missing_ok=True)
            elif offset >= start_offset:
                try:
                    entries = decode_snapshot(self._path_of(offset).read_bytes())
                except (CorruptRecordError, FileNotFoundError):
                    self._path_of(offset).unlink(missing_ok=True)
                    continue
                self._take_over(entries)
                self.snapshot_offset = offset
                return offset
        return start_offset

    def load_newest(self, *, start_offset: int, end_offset: int) -> int:
        """As `load_snapshot`, from memory where a copy there is as new."""
        self._copies = [each for each in self._copies if start_offset <= each.offset <= end_offset]
        replay_from = self.load_snapshot(
            self.snapshot_offsets(), start_offset=start_offset, end_offset=end_offset
        )
        if not self._copies or self._copies[-1].offset < replay_from:
            return replay_from
        newest = self._copies[-1]
        self._entries = {each.producer_id: each.copy() for each in newest.entries}
        self.ongoing = dict(newest.ongoing)
        self.unreplicated = dict(newest.unreplicated)
        return newest.offset

    def _keep_copy(self, offset: int) -> None:
        self._batches_to_copy = max(BATCHES_A_COPY, len(self._entries))
        if len(self._entries) <= MAX_COPIED_PRODUCERS:
            entries = tuple(each.copy() for each in self._entries.values())
            newest = ProducerCopy(offset, entries, dict(self.ongoing), dict(self.unreplicated))
            self._copies = [*self._copies[-1:], newest]

    def snapshot_offsets(self) -> list[int]:
        """The offsets there are snapshots of."""
        return sorted(
            int(path.stem)
            for path in self._folder.glob("*" + SNAPSHOT_SUFFIX)
            if path.stem.isdigit()
        )

    def delete_snapshots_below(self, offset: int) -> None:
        """Delete the snapshots no segment needs any more."""
        for each in self.snapshot_offsets():
            if each < offset and each != self.snapshot_offset:
                self._path_of(each).unlink(missing_ok=True)

    def delete_snapshots(self, offsets: Iterable[int]) -> None:
        """Delete the snapshots at segment bounds that are no more; the newest stays."""
        for offset in offsets:
            if offset != self.snapshot_offset:
                self._path_of(offset).unlink(missing_ok=True)

    def delete_all_snapshots(self) -> None:
        """Delete every snapshot."""
        for each in self.snapshot_offsets():
            with suppress(FileNotFoundError):
                self._path_of(each).unlink()
        self.snapshot_offset = -1
        self._copies.clear()

    def folder_moved(self, folder: Path) -> None:
        """Take note that the partition's folder has a new name."""
        self._folder = folder

    def _take_over(self, entries: Iterable[ProducerEntry]) -> None:
        self._entries = {entry.producer_id: entry for entry in entries}
        open_ones = [each for each in self.entries if each.current_txn_start_offset >= 0]
        open_ones.sort(key=lambda entry: entry.current_txn_start_offset)
        self.ongoing = {each.current_txn_start_offset: each.producer_id for each in open_ones}

    def _path_of(self, offset: int) -> Path:
        return self._folder / f"{offset:020d}{SNAPSHOT_SUFFIX}"


def encode_snapshot(entries: Iterable[ProducerEntry]) -> bytes:
    """The content of a snapshot file."""
    rows = [
        _ENTRY.pack(
            entry.producer_id,
            entry.producer_epoch,
            entry.last_sequence,
            entry.last_offset,
            entry.last_offset_delta,
            entry.last_timestamp,
            entry.coordinator_epoch,
            entry.current_txn_start_offset,
        )
        for entry in entries
    ]
    body = struct.pack(">i", len(rows)) + b"".join(rows)
    return struct.pack(">hI", _VERSION, crc32c(body)) + body


def decode_snapshot(content: bytes) -> list[ProducerEntry]:
    """The producers in a snapshot file; raises CorruptRecordError."""
    if len(content) < _HEADER.size:
        raise CorruptRecordError(f"a producer snapshot of {len(content)} bytes is cut off")
    version, crc, count = _HEADER.unpack_from(content)
    if version != _VERSION:
        raise CorruptRecordError(f"version {version} of a producer snapshot is unknown")
    if crc != crc32c(memoryview(content)[_CRC_END:]):
        raise CorruptRecordError("the CRC of the producer snapshot does not match")
    if len(content) - _HEADER.size != count * _ENTRY.size:
        raise CorruptRecordError(f"the producer snapshot does not hold {count} entries")
    return list(_decode_entries(content))


def _decode_entries(content: bytes) -> Iterator[ProducerEntry]:
    for producer_id, *state in _ENTRY.iter_unpack(memoryview(content)[_HEADER.size :]):
        entry = ProducerEntry(producer_id)
        entry.restore(*state)
        yield entry
