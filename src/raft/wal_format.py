"""The bytes of the write-ahead log that all Raft groups of a broker share.

    OFFSET  SIZE  FIELD               the file's head
         0     8  magic               "HRWAL\\0\\0\\1", the last byte is the version
         8        batches             back to back; the first one is the checkpoint

    OFFSET  SIZE  FIELD               one batch = everything of one turn, kept or lost together
         0     4  size_bytes          of the records, without this head of 16 bytes
         4     4  crc                 CRC-32 of batch_sequence and records
         8     8  batch_sequence      grows by one a batch; the checkpoint has the file's sequence
        16        records

    OFFSET  SIZE  FIELD               one record
         0     1  kind                1 entry, 2 snapshot, 3 forget, 4 hard state
         1     2  group_id_bytes      then the group id in UTF-8
         +     8  entry_index         of the entry; the last one that the snapshot covers;
                                      of a hard state the broker voted for in the term, or -1
         +     8  term
         +     4  payload_bytes       then the payload

Integers are big-endian.  Zeros behind the last batch are space that is reserved for further ones.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from .errors import RaftWalCorruptedError

MAGIC = b"HRWAL\0\0\1"
SUFFIX = ".wal"
MAX_BATCH_BYTES = 256 * 1024 * 1024
NO_VOTE = -1

_BATCH_HEAD = struct.Struct(">IIq")
_RECORD_HEAD = struct.Struct(">BH")
_RECORD_BODY = struct.Struct(">qqI")


class WalRecordKind(IntEnum):
    """What one record says about its group."""

    ENTRY = 1
    SNAPSHOT = 2
    FORGET = 3
    HARD_STATE = 4


_KINDS = {int(kind): kind for kind in WalRecordKind}


class WalRecord(NamedTuple):
    """One record; see the module's table."""

    kind: WalRecordKind
    group_id: str
    entry_index: int
    term: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class WalBatch:
    """The records of one turn and the byte position at which their batch stands."""

    position: int
    sequence: int
    records: list[WalRecord]


@dataclass(frozen=True, slots=True)
class WalContent:
    """What a file holds: batches up to `end_position`, and behind it `tail` (zeros, or torn)."""

    path: Path
    batches: list[WalBatch]
    checkpoint_end: int
    end_position: int
    tail: bytes

    @property
    def torn_bytes(self) -> int:
        """Bytes of a batch that was being written when the machine stopped."""
        return len(self.tail.rstrip(b"\0"))


def encode_wal_record(record: WalRecord) -> bytes:
    """One record."""
    name = record.group_id.encode()
    return b"".join(
        (
            _RECORD_HEAD.pack(record.kind, len(name)),
            name,
            _RECORD_BODY.pack(record.entry_index, record.term, len(record.payload)),
            record.payload,
        )
    )


def encode_wal_batch(sequence: int, records: Iterable[WalRecord]) -> bytes:
    """One batch with its head."""
    content = b"".join([encode_wal_record(record) for record in records])
    if len(content) > MAX_BATCH_BYTES:
        raise ValueError(f"a batch of {len(content)} bytes is above {MAX_BATCH_BYTES}")
    crc = zlib.crc32(content, zlib.crc32(sequence.to_bytes(8, "big")))
    return _BATCH_HEAD.pack(len(content), crc, sequence) + content


def wal_files(folder: Path) -> list[Path]:
    """The files of a write-ahead log, the newest last; none where there is no folder."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)
    except FileNotFoundError:
        return []


def read_wal_file(path: Path) -> WalContent:
    """Everything in the file; raises RaftWalCorruptedError, but not for a torn tail."""
    data = path.read_bytes()
    if data[: len(MAGIC)] != MAGIC or not path.stem.isdecimal():
        raise RaftWalCorruptedError(path, 0, "it is no write-ahead log of this version")
    sequence = int(path.stem)
    position = len(MAGIC)
    batches: list[WalBatch] = []
    checkpoint_end = position
    while (end := _batch_end(data, position, sequence)) > 0:
        records = _read_records(path, data, position + _BATCH_HEAD.size, end)
        batches.append(WalBatch(position, sequence, records))
        if len(batches) == 1:
            checkpoint_end = end
        position = end
        sequence += 1
    if not batches:
        raise RaftWalCorruptedError(path, position, "its checkpoint is damaged")
    if _has_batch_behind(data, position, sequence):
        raise RaftWalCorruptedError(path, position, "a damaged batch stands before a good one")
    return WalContent(path, batches, checkpoint_end, position, data[position:])


def _read_records(path: Path, data: bytes, position: int, end: int) -> list[WalRecord]:
    records = []
    while position < end:
        kind, name_bytes = _RECORD_HEAD.unpack_from(data, position)
        if kind not in _KINDS:
            raise RaftWalCorruptedError(path, position, f"record kind {kind} is unknown")
        name_start = position + _RECORD_HEAD.size
        body_start = name_start + name_bytes
        index, term, payload_bytes = _RECORD_BODY.unpack_from(data, body_start)
        payload_start = body_start + _RECORD_BODY.size
        position = payload_start + payload_bytes
        records.append(
            WalRecord(
                _KINDS[kind],
                data[name_start:body_start].decode(),
                index,
                term,
                data[payload_start:position],
            )
        )
    return records


def _batch_end(data: bytes, position: int, sequence: int) -> int:
    """Where the intact batch number `sequence` at `position` ends; -1 if there is none."""
    if position + _BATCH_HEAD.size > len(data):
        return -1
    size_bytes, crc, found_sequence = _BATCH_HEAD.unpack_from(data, position)
    end = position + _BATCH_HEAD.size + int(size_bytes)
    if found_sequence != sequence or size_bytes > MAX_BATCH_BYTES or end > len(data):
        return -1
    if zlib.crc32(memoryview(data)[position + 8 : end]) != crc:
        return -1
    return end


def _has_batch_behind(data: bytes, position: int, sequence: int) -> bool:
    """Whether an intact batch follows the damaged one: then it was no torn write.

    One batch is written at a time, so behind a torn one the next sequence cannot stand.
    """
    wanted = (sequence + 1).to_bytes(8, "big")
    found = data.find(wanted, position + 8)
    while found >= 0:
        if _batch_end(data, found - 8, sequence + 1) > 0:
            return True
        found = data.find(wanted, found + 1)
    return False
