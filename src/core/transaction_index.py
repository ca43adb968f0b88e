"""The aborted transactions of one segment, for readers that want committed records only.

    OFFSET  SIZE  FIELD               one entry, big-endian, in the order of last_offset
         0     2  version             0
         2     8  producer_id
        10     8  first_offset        of the transaction's first record
        18     8  last_offset         of its abort marker, which stands in this segment
        26     8  last_stable_offset  the log's, once the marker was written

The file `<base offset>.txnindex` exists only where a transaction was aborted.
"""

import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import CorruptIndexError
from .log_segment import TXN_INDEX_SUFFIX, LogSegment

_ENTRY = struct.Struct(">hqqqq")
_VERSION = 0


@dataclass(frozen=True, slots=True)
class AbortedTransaction:
    """One aborted transaction; both offsets are those of records (inclusive)."""

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


class TransactionIndex:
    """The index at `path`; nothing is opened or made until there is an entry."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[AbortedTransaction] | None = None

    @property
    def entries(self) -> list[AbortedTransaction]:
        """Every entry; raises CorruptIndexError where the file cannot be true."""
        if self._entries is None:
            self._entries = self._read_entries()
        return self._entries

    def append_entry(self, aborted: AbortedTransaction) -> None:
        """Add the transaction whose abort marker was just written."""
        entries = self.entries
        assert not entries or aborted.last_offset > entries[-1].last_offset, aborted
        with open(self._path, "ab", buffering=0) as file:
            file.truncate(len(entries) * _ENTRY.size)
            file.write(
                _ENTRY.pack(
                    _VERSION,
                    aborted.producer_id,
                    aborted.first_offset,
                    aborted.last_offset,
                    aborted.last_stable_offset,
                )
            )
        entries.append(aborted)

    def overlapping(self, start_offset: int, upper_bound_offset: int) -> list[AbortedTransaction]:
        """Those with a record in start_offset..upper_bound_offset (exclusive)."""
        return [
            entry
            for entry in self.entries
            if entry.last_offset >= start_offset and entry.first_offset < upper_bound_offset
        ]

    def truncate_to(self, offset: int) -> None:
        """Drop the entries whose marker stands at `offset` or above."""
        kept = [entry for entry in self.entries if entry.last_offset < offset]
        if len(kept) != len(self.entries):
            os.truncate(self._path, len(kept) * _ENTRY.size)
            self._entries = kept

    def clear(self) -> None:
        """Drop every entry and the file, whatever stands in it: it is to be written anew."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        self._entries = []

    def _read_entries(self) -> list[AbortedTransaction]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        if len(content) % _ENTRY.size:
            raise CorruptIndexError(f"{self._path} has {len(content)} bytes, no whole entries")
        entries: list[AbortedTransaction] = []
        last_offset = -1
        for version, *fields in _ENTRY.iter_unpack(content):
            entry = AbortedTransaction(*fields)
            if version != _VERSION or entry.last_offset <= last_offset:
                raise CorruptIndexError(f"{self._path}: entry {len(entries)} is {entry}")
            last_offset = entry.last_offset
            entries.append(entry)
        return entries


class TransactionIndexes:
    """The indexes of one log's segments, each opened when it is first asked for."""

    def __init__(self) -> None:
        self._by_base_offset: dict[int, TransactionIndex] = {}

    def index_of(self, segment: LogSegment) -> TransactionIndex:
        """The index of one segment."""
        index = self._by_base_offset.get(segment.base_offset)
        if index is None:
            index = TransactionIndex(Path(segment.path_of(TXN_INDEX_SUFFIX)))
            self._by_base_offset[segment.base_offset] = index
        return index

    def forget(self, segments: Iterable[LogSegment]) -> None:
        """Let go of the indexes of segments that are deleted or replaced."""
        for segment in segments:
            self._by_base_offset.pop(segment.base_offset, None)

    def aborted_between(
        self, segments: Iterable[LogSegment], start_offset: int, upper_bound_offset: int
    ) -> list[AbortedTransaction]:
        """Those with a record in the range, in the order of first_offset; oldest segment first."""
        found: list[AbortedTransaction] = []
        for segment in segments:
            index = self._by_base_offset.get(segment.base_offset) or self.index_of(segment)
            entries = index.entries
            if not entries:  # as in nearly all of them
                continue
            found += index.overlapping(start_offset, upper_bound_offset)
            if entries[-1].last_stable_offset >= upper_bound_offset:
                break
        return sorted(found, key=lambda entry: entry.first_offset) if found else found
