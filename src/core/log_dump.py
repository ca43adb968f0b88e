"""What stands in a file of a log folder, as plain values that a person or JSON can read.

    FILE                                   ONE DICT A
    <offset>.log                           batch; a record too, on request; the tail behind them
    <offset>.index .timeindex .txnindex    entry
    <offset>.snapshot                      producer
    *-checkpoint                           entry
    meta.properties, partition.metadata    file

Reads the bytes on disk and changes nothing, so a folder may be looked at while it is in use.
"""

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .batch_file import read_file_batches, zeros_from
from .checkpoint_file import (
    LEADER_EPOCH_NAME,
    META_PROPERTIES_NAME,
    PARTITION_METADATA_NAME,
    CheckpointFormatError,
    PropertiesFile,
    read_epoch_checkpoint,
    read_offset_checkpoint,
    read_partition_metadata,
)
from .errors import CorruptRecordError, HeadraceError, LogCorruptedError
from .kafka_uuid import uuid_to_text
from .producer_state import decode_snapshot
from .record import Record
from .record_batch import RecordBatch
from .transaction_index import TransactionIndex

Entry = dict[str, Any]

CODEC_NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
OFFSET_ENTRY = struct.Struct(">ii")
TIME_ENTRY = struct.Struct(">qi")

_SEGMENT_FILE = re.compile(
    r"(\d{20})\.(log|index|timeindex|txnindex|snapshot)(\.cleaned|\.swap|\.deleted)?"
)


class UnknownFileError(HeadraceError):
    """A file that is none of ours."""


def dump_file(path: Path, *, with_records: bool = False) -> Iterator[Entry]:
    """The content of one file, in order; `kind` names what each dict is.

    Damage is told as a dict of the kind `damage` where it stands, and ends the file.  Raises
    UnknownFileError for a name that is none of ours, FileNotFoundError.
    """
    segment_file = _SEGMENT_FILE.fullmatch(path.name)
    if segment_file is not None:
        base_offset = int(segment_file[1])
        if segment_file[2] == "log":
            yield from _dump_log(path, with_records=with_records)
        else:
            yield from _SEGMENT_DUMPERS[segment_file[2]](path, base_offset)
        return
    dumper = _NAMED_DUMPERS.get(path.name)
    if dumper is None and path.name.endswith("-offset-checkpoint"):
        dumper = _dump_offset_checkpoint
    if dumper is None:
        raise UnknownFileError(
            f"{path} is no file of a log folder; give a .log, .index, .timeindex, .txnindex or "
            ".snapshot file, a checkpoint, meta.properties or partition.metadata"
        )
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        yield from dumper(path)
    except CheckpointFormatError as error:
        yield {"kind": "damage", "line": error.line_number, "reason": error.reason}


def describe_batch(batch: RecordBatch, position: int) -> Entry:
    """The header of one batch, under the names of its fields."""
    entry: Entry = {
        "kind": "batch",
        "position": position,
        "size_bytes": batch.size_bytes,
        "base_offset": batch.base_offset,
        "last_offset": batch.last_offset,
        "record_count": batch.record_count,
        "leader_epoch": batch.leader_epoch,
        "timestamp_type": "LogAppendTime" if batch.has_log_append_time else "CreateTime",
        "max_timestamp": batch.max_timestamp,
        "compression": _codec_name(batch.compression_id),
        "producer_id": batch.producer_id,
        "producer_epoch": batch.producer_epoch,
        "base_sequence": batch.base_sequence,
        "last_sequence": batch.last_sequence,
        "is_transactional": batch.is_transactional,
        "is_control": batch.is_control,
        "magic": batch.magic,
        "crc": batch.crc,
        "is_valid": batch.crc_is_valid(),
    }
    if batch.delete_horizon_ms is not None:
        entry["delete_horizon_ms"] = batch.delete_horizon_ms
    return entry


def describe_record(record: Record, batch: RecordBatch) -> Entry:
    """One record; bytes as text where they are text, else in hex behind `0x`."""
    entry: Entry = {
        "kind": "record",
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": readable(record.key),
        "value": readable(record.value),
        "headers": [[name, readable(value)] for name, value in record.headers],
    }
    if batch.is_control and record.key is not None and record.value is not None:
        marker = int.from_bytes(record.key[2:4], "big")
        entry["marker"] = {0: "ABORT", 1: "COMMIT"}.get(marker, f"type {marker}")
        entry["coordinator_epoch"] = int.from_bytes(record.value[2:6], "big", signed=True)
    return entry


def readable(value: bytes | None) -> str | None:
    """Text where the bytes are printable UTF-8, else `0x` and their hex digits."""
    if value is None:
        return None
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return "0x" + value.hex()
    return text if text.isprintable() or not text else "0x" + value.hex()


def _dump_log(path: Path, *, with_records: bool) -> Iterator[Entry]:
    size_bytes = path.stat().st_size
    try:
        for position, batch in read_file_batches(path, size_bytes):
            yield describe_batch(batch, position)
            if with_records:
                yield from _dump_records(batch, position)
    except LogCorruptedError as error:
        tail_bytes = size_bytes - error.position
        if zeros_from(path, error.position):
            yield {"kind": "reserved", "position": error.position, "size_bytes": tail_bytes}
        else:
            yield {
                "kind": "damage",
                "position": error.position,
                "size_bytes": tail_bytes,
                "reason": error.reason,
            }


def _dump_records(batch: RecordBatch, position: int) -> Iterator[Entry]:
    try:
        for record in batch.records():
            yield describe_record(record, batch)
    except HeadraceError as error:
        yield {"kind": "damage", "position": position, "reason": str(error)}


def _dump_offset_index(path: Path, base_offset: int) -> Iterator[Entry]:
    for slot, (relative_offset, position) in _entries_of(path, OFFSET_ENTRY):
        yield {
            "kind": "offset_entry",
            "slot": slot,
            "offset": base_offset + relative_offset,
            "position": position,
        }


def _dump_time_index(path: Path, base_offset: int) -> Iterator[Entry]:
    for slot, (timestamp, relative_offset) in _entries_of(path, TIME_ENTRY):
        yield {
            "kind": "time_entry",
            "slot": slot,
            "timestamp": timestamp,
            "offset": base_offset + relative_offset,
        }


def _entries_of(path: Path, layout: struct.Struct) -> Iterator[tuple[int, tuple[int, ...]]]:
    """(slot, fields) up to the reserved tail of zeros; slot 0 may be all zeros itself."""
    content = path.read_bytes()
    used = len(content.rstrip(b"\0"))
    slot_count = min(-(-used // layout.size), len(content) // layout.size)
    for slot in range(slot_count):
        yield slot, layout.unpack_from(content, slot * layout.size)


def _dump_transaction_index(path: Path, base_offset: int) -> Iterator[Entry]:
    path.stat()
    try:
        entries = TransactionIndex(path).entries
    except HeadraceError as error:
        yield {"kind": "damage", "reason": str(error)}
        return
    for slot, entry in enumerate(entries):
        yield {
            "kind": "aborted_transaction",
            "slot": slot,
            "producer_id": entry.producer_id,
            "first_offset": entry.first_offset,
            "last_offset": entry.last_offset,
            "last_stable_offset": entry.last_stable_offset,
        }


def _dump_snapshot(path: Path, base_offset: int) -> Iterator[Entry]:
    try:
        entries = list(decode_snapshot(path.read_bytes()))
    except CorruptRecordError as error:
        yield {"kind": "damage", "reason": str(error)}
        return
    for entry in entries:
        yield {
            "kind": "producer",
            "producer_id": entry.producer_id,
            "producer_epoch": entry.producer_epoch,
            "last_sequence": entry.last_sequence,
            "last_offset": entry.last_offset,
            "offset_delta": entry.last_offset_delta,
            "timestamp": entry.last_timestamp,
            "coordinator_epoch": entry.coordinator_epoch,
            "current_txn_start_offset": entry.current_txn_start_offset,
        }


def _dump_offset_checkpoint(path: Path) -> Iterator[Entry]:
    for (topic, partition), offset in read_offset_checkpoint(path).items():
        yield {
            "kind": "checkpoint",
            "topic": topic,
            "partition": partition,
            "offset": offset,
        }


def _dump_epoch_checkpoint(path: Path) -> Iterator[Entry]:
    for epoch, start_offset in read_epoch_checkpoint(path):
        yield {"kind": "leader_epoch", "leader_epoch": epoch, "start_offset": start_offset}


def _dump_properties(path: Path) -> Iterator[Entry]:
    yield {"kind": "properties", **(PropertiesFile(path).read() or {})}


def _dump_partition_metadata(path: Path) -> Iterator[Entry]:
    topic_id = read_partition_metadata(path.parent)
    yield {
        "kind": "partition_metadata",
        "topic_id": None if topic_id is None else uuid_to_text(topic_id),
    }


def _codec_name(codec_id: int) -> str:
    return CODEC_NAMES[codec_id] if codec_id < len(CODEC_NAMES) else f"unknown ({codec_id})"


_SEGMENT_DUMPERS: dict[str, Callable[[Path, int], Iterator[Entry]]] = {
    "index": _dump_offset_index,
    "timeindex": _dump_time_index,
    "txnindex": _dump_transaction_index,
    "snapshot": _dump_snapshot,
}
_NAMED_DUMPERS: dict[str, Callable[[Path], Iterator[Entry]]] = {
    LEADER_EPOCH_NAME: _dump_epoch_checkpoint,
    META_PROPERTIES_NAME: _dump_properties,
    PARTITION_METADATA_NAME: _dump_partition_metadata,
}
