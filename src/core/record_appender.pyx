"""One record from a caller's bytes into the mapped segment, without a Python call on the way.

The short way is for a record of bytes, up to DIRECT_BYTES, in a log that asks for nothing else: one
replica, no sync an append, no compression, no compaction, the time of the append.  Everything else,
and each append that begins a segment, goes `_append_at_length`, which the owner provides.

What the lock protects: the log, its segment, `_room`, and who is behind.  With it held the record
is written and the log's end moved; the high watermark of such a log is its end, and is moved when
somebody takes the lock to look (`settle`), or at once where somebody waits for it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from .append_bell cimport AppendBell
from .log_state cimport LogState
from .partitioner cimport Partitioner
from .record cimport record_body_size, write_record
from .record_batch cimport BATCH_HEADER_BYTES, BatchHeader, write_batch_header

from .clock import SystemClock

cdef enum:
    DIRECT_BYTES = 8192
    FRAME_BYTES = 64


cdef class StoreGate:
    """What all appenders of one store share, and its owner with them."""

    def __init__(self, lock):
        self.lock = lock
        self._behind = []
        self._acquire = lock.acquire
        self._release = lock.release

    def settle(self):
        """Move the high watermarks that are behind; for whoever holds the lock."""
        cdef RecordAppender appender
        while self._behind:
            appender = self._behind.pop()
            appender._is_behind = False
            if appender.stored.is_leader and appender.stored.log is appender._log:
                appender.stored.advance_high_watermark(appender._log.log_end_offset)


cdef class RecordAppender:
    """Appends to one partition of a store, from any thread."""

    def __cinit__(self):
        self._room = <uint8_t*>malloc(DIRECT_BYTES + BATCH_HEADER_BYTES + FRAME_BYTES)
        if self._room == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self._room)

    def __init__(self, stored, *, clock, StoreGate gate, AppendBell bell, bint is_synced):
        self.stored = stored
        self._gate = gate
        self._bell = bell
        self._now_ms = clock.now_ms
        self._time_ns = clock.time_ns if type(clock) is SystemClock else None
        self._is_synced = is_synced

    def append(self, value, *, key=None, headers=None, timestamp=None, durability=None):
        """Append one record; its offset.

        `timestamp` [ms since the epoch], now where it is None.  Raises RecordTypeError (TypeError)
        for a key or value that is not bytes-like, RecordTooLargeError above max.message.bytes,
        InvalidRecordError for a missing key in a compacted topic, InvalidTimestampError.
        """
        return self.append_record(value, key, headers, timestamp, durability)

    cdef object append_record(self, value, key, headers, timestamp, durability):
        cdef int64_t offset = -2
        if (
            self._gate is not None and headers is None and timestamp is None and durability is None
            and type(value) is bytes and (key is None or type(key) is bytes)
        ):
            offset = self.append_direct(<bytes>value, <bytes>key)
        if offset == -2:
            return self._append_at_length(value, key, headers, timestamp, durability)
        return offset

    cdef int64_t append_direct(self, bytes value, bytes key) except -1:
        """Store the record; its offset, or -2 where it has to go the long way."""
        cdef int64_t value_size = PyBytes_GET_SIZE(value), key_size = -1, offset, now_ms
        cdef const uint8_t* key_start = NULL
        cdef StoreGate gate = self._gate
        cdef BatchHeader header
        if key is not None:
            key_size = PyBytes_GET_SIZE(key)
            key_start = <const uint8_t*>PyBytes_AS_STRING(key)
        if value_size + key_size > DIRECT_BYTES:
            return -2
        gate._acquire()
        try:
            if gate.is_closed or not self.stored.is_leader or not self.learn():
                return -2
            now_ms = self.clock_ms()
            fill_header(&header, now_ms)
            header.size_bytes = <int>self.encode_record(
                <const uint8_t*>PyBytes_AS_STRING(value), value_size, key_start, key_size, now_ms)
            write_batch_header(self._room, &header)
            offset = self._log.append_direct(
                self._room, &header, self.stored.leader_epoch, now_ms)
            if offset == -2:
                return -2
            if gate.watch_count:
                self.stored.advance_high_watermark(offset + 1)
            else:
                if not self._is_behind:
                    self._is_behind = True
                    gate._behind.append(self)
                if self._bell is not None:
                    self._bell.strike()
            return offset
        finally:
            gate._release()

    cdef bint learn(self) except -1:
        """Whether the log lets a record take the short way; its settings are looked at once."""
        cdef object log = self.stored.log
        if log is not self._log or self._log is None or self._log.config is not self._config:
            if not isinstance(log, LogState):
                return False
            self._log = log
            self._config = config = self._log.config
            self._is_direct = (
                not self._is_synced
                and config.flush_messages == INT64_MAX
                and config.compression_type in ("producer", "uncompressed")
                and config.message_timestamp_type == "CreateTime"
                and not config.is_compacted
                and config.min_insync_replicas == 1
                and min(config.max_message_bytes, config.segment_bytes) >= 2 * DIRECT_BYTES
                and len(self.stored.replicas) == 1
            )
        return self._is_direct

    cdef int64_t clock_ms(self) except -1:
        if self._time_ns is not None:
            return <int64_t>self._time_ns() // 1_000_000
        return self._now_ms()

    cdef int64_t encode_record(
        self, const uint8_t* value, int64_t value_size, const uint8_t* key, int64_t key_size,
        int64_t now_ms
    ) except -1:
        """Put the record into `_room`, behind where the header goes; the size of the batch."""
        cdef uint8_t* end = write_record(
            self._room + BATCH_HEADER_BYTES,
            record_body_size(0, 0, key_size, value_size, 0, 0),
            0, 0, key, key_size, value, value_size, 0)
        return end - self._room


cdef class TopicAppender:
    """Appends to the partitions of one topic, from any thread."""

    def __init__(self, tuple partitions not None, Partitioner partitioner not None):
        cdef RecordAppender _each
        for _each in partitions:  # raises TypeError for another kind
            assert _each is not None
        self.partitions = partitions
        self.partitioner = partitioner

    def __class_getitem__(cls, _item):
        return cls

    def append(
        self, value, *, key=None, headers=None, timestamp=None, partition=None, durability=None
    ):
        """Append one record; its offset in the partition it went to.

        Where `partition` is None it is chosen as Kafka's clients do: by murmur2 of the key; without
        a key one partition is filled for 16 KiB, then the next.  See `TopicPartition.append`.
        """
        cdef Py_ssize_t index
        if partition is None:
            index = self.partitioner.partition_of(key, len(value) if type(value) is bytes else 0)
        else:
            if type(partition) is not int or not 0 <= partition < len(self.partitions):
                partition = self.partition(partition).index  # raises, and says which there are
            index = partition
        return (<RecordAppender>self.partitions[index]).append_record(
            value, key, headers, timestamp, durability)


cdef void fill_header(BatchHeader* header, int64_t now_ms) noexcept:
    """That of a batch of one record without a producer."""
    memset(header, 0, sizeof(BatchHeader))
    header.base_timestamp = header.max_timestamp = now_ms
    header.producer_id = header.producer_epoch = header.base_sequence = -1
    header.leader_epoch = -1
    header.record_count = 1
