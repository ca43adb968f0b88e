"""Reads the batches of a .log file from its bytes on disk, not through the owner's mapping.

For whoever must not touch what belongs to the loop thread: compaction on the worker, and the tools
that look at a folder from outside.
"""

from collections.abc import Iterator
from pathlib import Path

from .errors import CorruptRecordError, LogCorruptedError
from .record_batch import RecordBatch

READ_BYTES = 1 << 20
BATCH_HEADER_BYTES = 61


def read_file_batches(path: Path, size_bytes: int) -> Iterator[tuple[int, RecordBatch]]:
    """(position, batch) of each batch in the first `size_bytes` of the file, in order.

    Looks at sizes and magic only.  Raises LogCorruptedError, with the position, where bytes are no
    whole batch: a reserved tail of zeros and a torn one too.
    """
    with open(path, "rb", buffering=0) as file:
        position = 0
        wanted = READ_BYTES
        while position < size_bytes:
            file.seek(position)
            chunk = file.read(min(wanted, size_bytes - position))
            is_last_chunk = position + len(chunk) >= size_bytes or not chunk
            used = 0
            while used < len(chunk):
                batch_bytes = _claimed_size(chunk, used)
                if batch_bytes > len(chunk) - used and not is_last_chunk:
                    break
                yield position + used, _batch_at(path, position, chunk, used)
                used += batch_bytes
            if not chunk:
                raise LogCorruptedError(path, position, "the file ends before its batches do")
            # A batch above the usual chunk is read whole by the next turn.
            wanted = READ_BYTES if used else max(batch_bytes, READ_BYTES)
            position += used


def zeros_from(path: Path, position: int) -> bool:
    """Whether nothing but zeros follows: a reserved tail that was never written."""
    with open(path, "rb", buffering=0) as file:
        file.seek(position)
        while chunk := file.read(READ_BYTES):
            if chunk.count(0) != len(chunk):
                return False
    return True


def _claimed_size(chunk: bytes, position: int) -> int:
    """The size that the batch at `position` claims; its header's, where even that is cut off."""
    if len(chunk) - position < BATCH_HEADER_BYTES:
        return BATCH_HEADER_BYTES
    claimed = 12 + int.from_bytes(chunk[position + 8 : position + 12], "big", signed=True)
    # Zeros and junk claim less than a header; RecordBatch then says what is wrong.
    return max(claimed, BATCH_HEADER_BYTES)


def _batch_at(path: Path, position: int, chunk: bytes, used: int) -> RecordBatch:
    try:
        return RecordBatch(chunk, used)
    except CorruptRecordError as error:
        raise LogCorruptedError(path, position + used, str(error)) from error
