"""What can go wrong with bytes, files and records.  Named as Kafka names it; the facts are fields.

Only `api/handlers/error_mapping.py` turns one of these into a Kafka error code.
"""

import errno
from dataclasses import dataclass
from pathlib import Path

# An operating system's refusals that pass without a restart: the disk or the table of open files is
# full, and nothing is broken.
NO_DESCRIPTOR_LEFT = frozenset((errno.EMFILE, errno.ENFILE))
PASSING_REFUSALS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG)) | NO_DESCRIPTOR_LEFT


class HeadraceError(Exception):
    """The root of every error that headrace raises on purpose."""


class MalformedBytesError(HeadraceError):
    """Bytes from a peer or a stored record that do not follow their declared layout.

    `position` is the byte at which reading stopped, counted from the start of the buffer.
    """

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"{reason} (at byte {position})")
        self.reason = reason
        self.position = position


class RecordError(HeadraceError):
    """A batch that a producer sent cannot be accepted."""


class CorruptRecordError(RecordError):
    """Bytes that are no intact record batch: bad CRC, size or magic (Kafka: CORRUPT_MESSAGE)."""


class InvalidRecordError(RecordError):
    """A batch that is intact but breaks a rule (Kafka: INVALID_RECORD).

    `record_errors` holds (index of the record in its batch, message), where one record is to blame.
    """

    def __init__(self, message: str, record_errors: tuple[tuple[int, str], ...] = ()) -> None:
        super().__init__(message)
        self.record_errors = record_errors


class InvalidTimestampError(InvalidRecordError):
    """A timestamp outside message.timestamp.before.max.ms / after.max.ms (INVALID_TIMESTAMP)."""


class RecordTypeError(HeadraceError, TypeError):
    """A key or value that is not bytes-like: `what` is "key" or "value".

    `index` is the record's among those of the call, None where it takes one; `type_name` what was
    given.
    """

    def __init__(self, what: str, index: int | None, type_name: str) -> None:
        name = f"a record's {what}" if index is None else f"{what} {index}"
        super().__init__(f"{name} must be bytes-like or None, not {type_name}")
        self.what = what
        self.index = index
        self.type_name = type_name


class RecordTooLargeError(RecordError):
    """A batch above the topic's max.message.bytes (MESSAGE_TOO_LARGE)."""

    def __init__(self, size_bytes: int, max_message_bytes: int) -> None:
        super().__init__(
            f"the batch has {size_bytes} bytes; max.message.bytes of this topic is "
            f"{max_message_bytes}"
        )
        self.size_bytes = size_bytes
        self.max_message_bytes = max_message_bytes


class RecordBatchTooLargeError(RecordError):
    """A batch that does not fit one segment (RECORD_LIST_TOO_LARGE)."""


class UnsupportedCompressionTypeError(RecordError):
    """A codec this version of the protocol may not use, or an unknown one."""


class SequenceError(HeadraceError):
    """An idempotent producer's batch that is not the next one."""


class OutOfOrderSequenceError(SequenceError):
    """A gap or a step back in a producer's sequence (OUT_OF_ORDER_SEQUENCE_NUMBER)."""


class InvalidProducerEpochError(SequenceError):
    """A producer epoch older than the one seen (INVALID_PRODUCER_EPOCH)."""


class InvalidTxnStateError(HeadraceError):
    """A transactional batch outside of any transaction (INVALID_TXN_STATE)."""


@dataclass
class OffsetOutOfRangeError(HeadraceError):
    """An offset outside log_start_offset..log_end_offset, both inclusive for a fetch."""

    offset: int
    log_start_offset: int
    log_end_offset: int

    def __str__(self) -> str:
        return (
            f"offset {self.offset} is outside the log, "
            f"which spans {self.log_start_offset} to {self.log_end_offset}"
        )


class IndexFullError(HeadraceError):
    """No slot left in a segment's index: time to roll."""


class CorruptIndexError(HeadraceError):
    """An index file that does not match its segment: it is rebuilt."""


class LogCorruptedError(HeadraceError):
    """Corrupt bytes where they cannot be a torn tail: the partition stays offline."""

    def __init__(self, path: Path, position: int, reason: str) -> None:
        super().__init__(f"{path} is corrupt at byte {position}: {reason}")
        self.path = path
        self.position = position
        self.reason = reason


class KafkaStorageError(HeadraceError):
    """The disk refused: full, read-only, or failed (KAFKA_STORAGE_ERROR)."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    @property
    def is_passing(self) -> bool:
        """Whether the same may succeed later, without a restart."""
        cause = self.__cause__
        return isinstance(cause, OSError) and cause.errno in PASSING_REFUSALS


class LogLostError(HeadraceError):
    """A log that is gone, or ends before what was committed in it; `reason` says how that shows."""

    def __init__(self, topic: str, partition: int, reason: str) -> None:
        super().__init__(f"the log of {topic}-{partition} has lost records: {reason}")
        self.topic = topic
        self.partition = partition
        self.reason = reason


class LogDirNotFoundError(HeadraceError):
    """A folder that log.dirs does not name (LOG_DIR_NOT_FOUND)."""


class LogDirLockedError(HeadraceError):
    """Another process holds `.lock` of the folder; `pid` is 0 where it cannot be told."""

    def __init__(self, path: Path, pid: int) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(f"{path} is in use by {holder}; stop it, or choose another folder")
        self.path = path
        self.pid = pid


class InconsistentLogDirError(HeadraceError):
    """meta.properties or partition.metadata that contradict this node or each other."""


class LogClosedError(HeadraceError):
    """The log, or the store it belongs to, was closed."""


class InvalidConfigError(HeadraceError):
    """A setting with a wrong name, type or bound (INVALID_CONFIG)."""

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(f"{name}={value}: {reason}")
        self.name = name
        self.value = value
        self.reason = reason
