"""`LogState`: what each append and each read looks at and moves, as C fields; `Log` builds on it.

Python sees plain attributes, which cost it more than those of a Python object: so the ways that
every record takes, in (on a leader, on a follower) and out, are here, and what they need seldom is
in `Log`.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t

from .append_info cimport AppendInfo
from .batch_run cimport store_run
from .batch_validator cimport BatchValidator
from .log_segment cimport LogSegment
from .record_batch cimport BATCH_OK, BatchHeader, read_batch_header

from .errors import (
    CorruptRecordError,
    KafkaStorageError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
)

_EMPTY = memoryview(b"")


cdef class LogState:
    """See the contract.  Whoever owns the log calls everything."""

    @property
    def last_stable_offset(self) -> int:
        """The first offset that readers of committed records may not see."""
        producers = self._producers
        if not producers.ongoing and not producers.unreplicated:
            return self.high_watermark
        first_unstable = producers.first_unstable_offset
        if first_unstable is None or first_unstable > self.high_watermark:
            return self.high_watermark
        return max(first_unstable, self.log_start_offset)

    @property
    def latest_epoch(self) -> int:
        """The newest leader epoch known; -1 when none is."""
        return self._epochs.latest_epoch

    def append_as_leader(
        self, records, *, int64_t leader_epoch, str origin="client", int produce_version=99
    ) -> AppendInfo:
        """Validate the one batch in `records`, give it the next offsets, and store it.

        `origin` is "client" or "coordinator".  A batch its producer has sent before is not stored
        again: `is_duplicate`, with the first copy's offsets.  Raises RecordError, SequenceError,
        KafkaStorageError; the log is then as it was.
        """
        cdef bint is_client = origin == "client"
        cdef BatchValidator validator = self._validator
        cdef AppendInfo info
        cdef int64_t now_ms
        if self._refusal is not None:
            raise self._refused()
        now_ms = self._clock.now_ms()
        info = validator.inspect(records, is_client, produce_version, now_ms)
        if validator.needs_rewrite(info):
            records, info = validator.rewrite_batch(records, info, now_ms)
            if info.header.size_bytes > validator.max_message_bytes:
                raise RecordTooLargeError(info.header.size_bytes, validator.max_message_bytes)
        info.log_start_offset = self.log_start_offset
        if info.header.producer_id >= 0:
            if self._producers.is_duplicate(info, is_client=is_client):
                return info
        info.assign(self.log_end_offset, <int>leader_epoch)
        self.store_batch(records, info, now_ms)
        return info

    def append_as_follower(self, records, /) -> None:
        """Store the leader's batches, offsets and epochs as they are.

        Raises CorruptRecordError where a batch is not whole or does not continue the log; those
        before it are stored.
        """
        cdef Py_buffer buffer
        cdef int64_t position = 0, now_ms
        if self._refusal is not None:
            raise self._refused()
        now_ms = self._clock.now_ms()
        PyObject_GetBuffer(records, &buffer, PyBUF_SIMPLE)
        try:
            # Invariant: the batches before `position` are stored.
            while position < buffer.len or not buffer.len:
                position = self.store_some(
                    records, <const uint8_t*>buffer.buf, buffer.len, position, now_ms)
        finally:
            PyBuffer_Release(&buffer)

    def read_records(
        self, *, int64_t start_offset, int64_t max_bytes, int64_t upper_bound_offset,
        bint min_one_batch=True, bint reader_compares=False
    ) -> memoryview:
        """Whole batches from the one that holds `start_offset`, uncopied, below the bound.

        The first batch is given even above `max_bytes` if `min_one_batch`.  `reader_compares`: who
        gets them compares their CRCs, so fresh ones need not be compared here, too.  Raises
        OffsetOutOfRangeError outside of log_start_offset..log_end_offset (both inclusive).
        """
        cdef LogSegment segment
        cdef Py_ssize_t slot
        if not self.log_start_offset <= start_offset <= self.log_end_offset:
            raise OffsetOutOfRangeError(start_offset, self.log_start_offset, self.log_end_offset)
        if start_offset >= upper_bound_offset:
            return _EMPTY
        try:
            for slot in range(self.slot_of(start_offset), len(self.segments)):
                segment = self.segments[slot]
                found = segment.slice_of(
                    start_offset, max_bytes, upper_bound_offset, min_one_batch, reader_compares)
                if found is not None:
                    return found
        except OSError as error:
            raise KafkaStorageError(self.path, str(error)) from error
        return _EMPTY

    cdef int64_t append_direct(
        self, const uint8_t* batch, const BatchHeader* header, int64_t leader_epoch, int64_t now_ms
    ) except -1:
        # It ends as `append_as_leader` would for a trusted batch without a producer.
        cdef int64_t base_offset = self.log_end_offset
        cdef LogSegment segment = self.active_segment
        if self._refusal is not None or leader_epoch > <int64_t>self._epochs.latest_epoch:
            return -2
        try:
            if segment.is_full_for(header, base_offset + header.last_offset_delta, now_ms):
                return -2
            segment.append_one(batch, header, base_offset, <int>leader_epoch)
        except OSError as error:
            raise self._failed(error) from error
        self.log_end_offset = segment.next_offset
        return base_offset

    cdef int store_batch(self, records, AppendInfo info, int64_t now_ms) except -1:
        cdef LogSegment segment = self.active_segment
        try:
            if segment.is_full_for(&info.header, info.last_offset, now_ms):
                segment = self._roll(now_ms)
            if info.leader_epoch > <int64_t>self._epochs.latest_epoch:
                self._epochs.assign(info.leader_epoch, info.base_offset)
            segment.append_batch(records, info)
        except OSError as error:
            raise self._failed(error) from error
        self.log_end_offset = segment.next_offset
        if info.header.producer_id >= 0:
            self._note_producer(records, info)
        return 0

    cdef int64_t store_some(
        self, records, const uint8_t* data, int64_t size, int64_t position, int64_t now_ms
    ) except -1:
        cdef LogSegment segment = self.active_segment
        cdef BatchHeader first
        cdef list of_producers = []
        if read_batch_header(data + position, size - position, &first) != BATCH_OK:
            raise CorruptRecordError(f"no whole record batch at byte {position}")
        if first.base_offset < self.log_end_offset:
            raise CorruptRecordError(
                f"a batch at offset {first.base_offset} does not continue a log that ends "
                f"at {self.log_end_offset}")
        try:
            if segment.is_full_for(&first, first.base_offset + first.last_offset_delta, now_ms):
                segment = self._roll(now_ms)
            position = store_run(segment, records, data, size, position, now_ms, of_producers)
            self.log_end_offset = segment.next_offset
            if first.leader_epoch > <int64_t>self._epochs.latest_epoch:
                self._epochs.assign(first.leader_epoch, first.base_offset)
        except OSError as error:
            raise self._failed(error) from error
        for start, info in of_producers:
            self._note_producer(memoryview(records)[start : start + info.size_bytes], info)
        return position

    cpdef Py_ssize_t slot_of(self, int64_t offset) except -1:
        cdef Py_ssize_t low = 0, high = len(self.segments), middle
        if offset >= self.active_segment.base_offset:
            return high - 1
        # Invariant: segments below `low` begin at or below `offset`, those from `high` on above it.
        while low < high:
            middle = (low + high) // 2
            if (<LogSegment>self.segments[middle]).base_offset <= offset:
                low = middle + 1
            else:
                high = middle
        return low - 1 if low else 0
