"""What one append did: the batch's header as received and the offsets it was given.

Made by the validator (leader) or from a stored batch (follower, recovery), completed by the log.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t

from .record_batch cimport (
    BATCH_OK,
    COMPRESSION_MASK,
    CONTROL_BIT,
    TRANSACTIONAL_BIT,
    read_batch_header,
)

from .errors import CorruptRecordError


cdef class AppendInfo:
    """The header of the batch at `position` of `records`; raises CorruptRecordError."""

    def __cinit__(self):
        self.base_offset = -1
        self.last_offset = -1
        self.log_append_time_ms = -1
        self.log_start_offset = -1
        self.leader_epoch = -1

    def __init__(self, records, Py_ssize_t position=0):
        cdef Py_buffer buffer
        cdef int found
        PyObject_GetBuffer(records, &buffer, PyBUF_SIMPLE)
        if not 0 <= position <= buffer.len:
            PyBuffer_Release(&buffer)
            raise ValueError(f"position {position} is outside of {buffer.len} bytes")
        found = read_batch_header(
            <const uint8_t*>buffer.buf + position, buffer.len - position, &self.header)
        PyBuffer_Release(&buffer)
        if found != BATCH_OK:
            raise CorruptRecordError(f"no whole record batch at byte {position}")

    @property
    def size_bytes(self):
        """The whole batch, its header included."""
        return self.header.size_bytes

    @property
    def record_count(self):
        """How many records its header counts."""
        return self.header.record_count

    @property
    def last_offset_delta(self):
        """last_offset - base_offset."""
        return self.header.last_offset_delta

    @property
    def base_timestamp(self):
        """[ms]"""
        return self.header.base_timestamp

    @property
    def max_timestamp(self):
        """[ms]"""
        return self.header.max_timestamp

    @property
    def producer_id(self):
        """-1 where the producer is not idempotent."""
        return self.header.producer_id

    @property
    def producer_epoch(self):
        """-1 where the producer is not idempotent."""
        return self.header.producer_epoch

    @property
    def base_sequence(self):
        """The sequence number of its first record; -1 where there is none."""
        return self.header.base_sequence

    @property
    def last_sequence(self):
        """The sequence number of its last record; -1 where there is none."""
        if self.header.base_sequence < 0:
            return -1
        return sequence_after(self.header.base_sequence, self.header.last_offset_delta)

    @property
    def compression_id(self):
        """0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd."""
        return self.header.attributes & COMPRESSION_MASK

    @property
    def is_transactional(self):
        """Whether it belongs to a transaction."""
        return (self.header.attributes & TRANSACTIONAL_BIT) != 0

    @property
    def is_control(self):
        """Whether it is a marker, not data."""
        return (self.header.attributes & CONTROL_BIT) != 0

    def assign_offsets(self, int64_t base_offset, int32_t leader_epoch) -> None:
        """Give the batch its place in the log."""
        self.assign(base_offset, leader_epoch)

    cdef int assign(self, int64_t base_offset, int32_t leader_epoch) except -1:
        self.base_offset = base_offset
        self.last_offset = base_offset + self.header.last_offset_delta
        self.leader_epoch = leader_epoch
        return 0

    cdef int point_at_original(self, int64_t base_offset, int64_t last_offset) except -1:
        self.base_offset = base_offset
        self.last_offset = last_offset
        self.is_duplicate = True
        return 0


cdef int32_t sequence_after(int32_t sequence, int32_t count) noexcept nogil:
    if sequence > INT32_MAX - count:
        return count - (INT32_MAX - sequence) - 1
    return sequence + count


cdef int32_t sequence_before(int32_t sequence, int32_t count) noexcept nogil:
    if sequence < count:
        return INT32_MAX - (count - sequence) + 1
    return sequence - count
