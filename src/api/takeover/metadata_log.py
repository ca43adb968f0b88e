"""Reading `__cluster_metadata-0`, the log in which Kafka (KRaft) keeps its cluster's metadata.

    <20-digit offset>-<10-digit epoch>.checkpoint  a snapshot: all that stood below that offset
    <20-digit base offset>.log                     a segment of the log, in ordinary record batches

A record's value is a frame: unsigned varint frame version (1), unsigned varint record type,
unsigned varint version, then the body (`api/wire/stored_cluster.py`).  Records between a
BeginTransaction and its EndTransaction count together, or not at all after an AbortTransaction.
Nothing is written.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import CorruptRecordError, HeadraceError, MalformedBytesError
from ...core.record_batch import RecordBatch
from ..wire.codec import decode_stored
from ..wire.stored_cluster import KINDS

METADATA_FOLDER = "__cluster_metadata-0"
_FRAME_VERSION = 1
_SNAPSHOT = re.compile(r"(\d{20})-(\d{10})\.checkpoint")
_SEGMENT = re.compile(r"\d{20}\.log")


class KafkaMetadataError(HeadraceError):
    """Kafka's metadata cannot be read, so the folder cannot be taken over."""


@dataclass(frozen=True, slots=True)
class MetadataRecord:
    """One record; `body` is None for a type that headrace has no use for."""

    offset: int
    type_id: int
    body: dict[str, Any] | None

    @property
    def kind(self) -> str:
        """The record's name, `record type n` where headrace knows none."""
        return KINDS.get(self.type_id, f"record type {self.type_id}")


# The types that are decoded: the others are only counted.
_READ = {
    "TopicRecord",
    "PartitionRecord",
    "PartitionChangeRecord",
    "RemoveTopicRecord",
    "ConfigRecord",
    "ProducerIdsRecord",
}


def read_metadata(folder: Path) -> Iterator[MetadataRecord]:
    """Every record that counts, oldest first; raises KafkaMetadataError.

    `folder` is the `__cluster_metadata-0` of a Kafka that was stopped.
    """
    pending: list[MetadataRecord] | None = None
    for record in _stored_records(folder):
        match record.kind:
            case "BeginTransactionRecord":
                pending = []
            case "EndTransactionRecord":
                yield from pending or ()
                pending = None
            case "AbortTransactionRecord":
                pending = None
            case _ if pending is not None:
                pending.append(record)
            case _:
                yield record


def _stored_records(folder: Path) -> Iterator[MetadataRecord]:
    snapshot, end_offset = _newest_snapshot(folder)
    if snapshot is not None:
        yield from _records_of(snapshot, from_offset=0)
    for segment in sorted(path for path in folder.iterdir() if _SEGMENT.fullmatch(path.name)):
        yield from _records_of(segment, from_offset=end_offset)


def _newest_snapshot(folder: Path) -> tuple[Path | None, int]:
    """The newest snapshot and the offset from which the log goes on behind it."""
    found = [
        (int(match[1]), int(match[2]), path)
        for path in folder.iterdir()
        if (match := _SNAPSHOT.fullmatch(path.name))
    ]
    if not found:
        return None, 0
    end_offset, _, path = max(found)
    return path, end_offset


def _records_of(path: Path, *, from_offset: int) -> Iterator[MetadataRecord]:
    content = memoryview(path.read_bytes())
    position = 0
    while position < len(content):
        try:
            batch = RecordBatch(content, position)
            is_intact = batch.crc_is_valid()
        except CorruptRecordError as error:
            raise KafkaMetadataError(f"{path} is corrupt at byte {position}: {error}") from error
        if not is_intact:
            raise KafkaMetadataError(f"{path} is corrupt at byte {position}: its CRC is wrong")
        position += batch.size_bytes
        if batch.is_control or batch.last_offset < from_offset:
            continue
        for record in batch.records():
            if record.offset >= from_offset and record.value is not None:
                yield _decode_frame(path, record.offset, record.value)


def _decode_frame(path: Path, offset: int, frame: bytes) -> MetadataRecord:
    try:
        frame_version, position = _read_unsigned_varint(frame, 0)
        if frame_version != _FRAME_VERSION:
            raise MalformedBytesError(f"frame version {frame_version} is unknown", 0)
        type_id, position = _read_unsigned_varint(frame, position)
        version, position = _read_unsigned_varint(frame, position)
        kind = KINDS.get(type_id)
        body = decode_stored(kind, version, frame, position) if kind in _READ else None
    except HeadraceError as error:
        raise KafkaMetadataError(f"{path}: the record at offset {offset}: {error}") from error
    return MetadataRecord(offset, type_id, body)


def _read_unsigned_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position` and the position behind it."""
    value = 0
    for index in range(5):
        if position + index >= len(data):
            break
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise MalformedBytesError("no varint", position)
