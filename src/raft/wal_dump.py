"""A file of the write-ahead log in words, for `headrace dump` and `headrace verify`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .cluster_commands import decode_command
from .cluster_group import CLUSTER_GROUP_ID
from .cluster_state import ClusterState
from .errors import CorruptCommandError
from .partition_group import parse_partition_group_id
from .partition_state import PartitionState, decode_partition_command
from .wal_format import WalRecord, WalRecordKind, read_wal_file


def dump_wal(path: Path) -> Iterator[dict[str, Any]]:
    """One dict a record, in the order of the file, and a last one for its end.

    Changes nothing.  Raises RaftWalCorruptedError, OSError.
    """
    content = read_wal_file(path)
    for batch in content.batches:
        for record in batch.records:
            yield {
                "position": batch.position,
                "batch_sequence": batch.sequence,
                "kind": record.kind.name.lower(),
                "group": record.group_id,
                "entry_index": record.entry_index,
                "term": record.term,
                "content": _describe(record),
            }
    yield {"end_position": content.end_position, "torn_bytes": content.torn_bytes}


def _describe(record: WalRecord) -> str:
    """The payload in words; one that nobody can read is said to be so."""
    is_entry = record.kind == WalRecordKind.ENTRY
    try:
        if not record.payload:
            return ""
        if record.group_id == CLUSTER_GROUP_ID:
            if is_entry:
                return str(decode_command(record.payload))
            state = ClusterState.from_bytes(record.payload)
            return f"brokers={list(state.brokers)} topics={list(state.topics)}"
        if parse_partition_group_id(record.group_id) is not None:
            read = decode_partition_command if is_entry else PartitionState.from_bytes
            return str(read(record.payload))
    except CorruptCommandError as error:
        return f"unreadable: {error}"
    return f"{len(record.payload)} bytes"
