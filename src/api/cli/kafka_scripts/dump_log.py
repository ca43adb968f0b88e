"""kafka-dump-log.sh: prints segments, indexes and snapshots in Kafka's lines."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ....core.batch_file import read_file_batches
from ....core.errors import HeadraceError, LogCorruptedError
from ....core.log_dump import describe_batch, dump_file
from ....core.record import Record
from ....core.record_batch import RecordBatch
from .offset_records import offset_record_json
from .options import make_parser

Decoder = Callable[[bytes | None, bytes | None], tuple[str, str]]


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("kafka-dump-log", "Prints log files and their indexes.")
    parser.add_argument("--files", required=True)
    parser.add_argument("--print-data-log", action="store_true")
    parser.add_argument("--deep-iteration", action="store_true")
    parser.add_argument("--offsets-decoder", action="store_true")
    parser.add_argument("--verify-index-only", action="store_true")
    parser.add_argument("--index-sanity-check", action="store_true")
    parser.add_argument("--skip-record-metadata", action="store_true")
    parser.add_argument("--max-message-size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--max-bytes", type=int)
    return parser


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    for name in args.files.split(","):
        path = Path(name)
        if not path.exists():
            raise HeadraceError(f"{path}: no such file")
        print(f"Dumping {path}")
        if path.suffix == ".log":
            _dump_log(path, args)
        else:
            _dump_other(path, quiet=args.verify_index_only or args.index_sanity_check)
    return 0


def _dump_log(path: Path, args: argparse.Namespace) -> None:
    print(f"Log starting offset: {int(path.stem)}")
    decode: Decoder = decode_offsets if args.offsets_decoder else decode_text
    shows_records = args.print_data_log or args.deep_iteration or args.offsets_decoder
    size_bytes = path.stat().st_size
    limit = size_bytes if args.max_bytes is None else min(size_bytes, args.max_bytes)
    valid_bytes = 0
    try:
        for position, batch in read_file_batches(path, size_bytes):
            if position >= limit:
                return
            print(batch_line(batch, position))
            valid_bytes = position + batch.size_bytes
            if shows_records:
                for record in batch.records():
                    data = "" if args.skip_record_metadata else record_facts(record, batch)
                    key, value = decode(record.key, record.value)
                    shown = args.print_data_log or args.offsets_decoder
                    print(f"| {data}" + (_contents(record, key, value) if shown else ""))
    except LogCorruptedError:
        print(f"Found {size_bytes - valid_bytes} invalid bytes at the end of {path.name}")


def _contents(record: Record, key: str, value: str) -> str:
    """Key and value as Kafka's tool prints them: what is null is left out."""
    named = "" if record.key is None else f" key: {key}"
    return named if record.value is None and not value else f"{named} payload: {value}"


def batch_line(batch: RecordBatch, position: int) -> str:
    """A batch as Kafka's tool prints it."""
    facts: dict[str, Any] = describe_batch(batch, position)
    horizon = facts.get("delete_horizon_ms")
    return (
        f"baseOffset: {batch.base_offset} lastOffset: {batch.last_offset} "
        f"count: {batch.record_count} baseSequence: {batch.base_sequence} "
        f"lastSequence: {batch.last_sequence} producerId: {batch.producer_id} "
        f"producerEpoch: {batch.producer_epoch} partitionLeaderEpoch: {batch.leader_epoch} "
        f"isTransactional: {_word(batch.is_transactional)} isControl: {_word(batch.is_control)} "
        f"deleteHorizonMs: {_optional(horizon)} position: {position} "
        f"{facts['timestamp_type']}: {batch.max_timestamp} size: {batch.size_bytes} "
        f"magic: {batch.magic} compresscodec: {facts['compression']} crc: {batch.crc} "
        f"isvalid: {_word(facts['is_valid'])}"
    )


def record_facts(record: Record, batch: RecordBatch) -> str:
    """The numbers of a record as Kafka's tool prints them."""
    kind = "LogAppendTime" if batch.has_log_append_time else "CreateTime"
    sequence = batch.base_sequence
    if sequence >= 0:
        sequence = (sequence + record.offset - batch.base_offset) & 0x7FFFFFFF
    names = ",".join(name for name, _ in record.headers)
    return (
        f"offset: {record.offset} {kind}: {record.timestamp} keySize: {_size(record.key)} "
        f"valueSize: {_size(record.value)} sequence: {sequence} headerKeys: [{names}]"
    )


def _size(value: bytes | None) -> int:
    return -1 if value is None else len(value)


def _word(value: bool) -> str:
    return str(value).lower()


def _optional(value: int | None) -> str:
    return "OptionalLong.empty" if value is None or value < 0 else f"OptionalLong[{value}]"


def decode_text(key: bytes | None, value: bytes | None) -> tuple[str, str]:
    def text(data: bytes | None) -> str:
        return "" if data is None else data.decode("utf-8", "replace")

    return text(key), text(value)


def decode_offsets(key: bytes | None, value: bytes | None) -> tuple[str, str]:
    """A record of `__consumer_offsets` as JSON; other bytes as text."""
    return offset_record_json(key, value) or decode_text(key, value)


def _fields(values: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in values.items())


def _dump_other(path: Path, *, quiet: bool) -> None:
    for line in _other_lines(path):
        if not quiet:
            print(line)
    if quiet:
        print(f"{path} passed sanity check.")


def _other_lines(path: Path) -> Iterator[str]:
    for entry in dump_file(path):
        if entry["kind"] == "offset_entry":
            yield f"offset: {entry['offset']} position: {entry['position']}"
        elif entry["kind"] == "time_entry":
            yield f"timestamp: {entry['timestamp']} offset: {entry['offset']}"
        elif entry["kind"] == "producer":
            start = entry["current_txn_start_offset"]
            yield (
                f"producerId: {entry['producer_id']} producerEpoch: {entry['producer_epoch']} "
                f"coordinatorEpoch: {entry['coordinator_epoch']} "
                f"currentTxnFirstOffset: {_optional(start)} lastTimestamp: {entry['timestamp']} "
                f"lastSequence: {entry['last_sequence']} lastOffset: {entry['last_offset']} "
                f"offsetDelta: {entry['offset_delta']}"
            )
        elif entry["kind"] == "damage":
            raise HeadraceError(f"{path}: {entry['reason']}")
        else:
            yield _fields({name: value for name, value in entry.items() if name != "kind"})
