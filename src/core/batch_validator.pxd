"""What a topic asks of a batch before it may enter its log."""

from libc.stdint cimport int64_t, uint8_t

from .append_info cimport AppendInfo


cdef class BatchValidator:
    cdef readonly int64_t max_message_bytes
    cdef readonly int64_t segment_bytes
    cdef readonly int64_t timestamp_before_max_ms
    cdef readonly int64_t timestamp_after_max_ms
    cdef readonly bint is_compacted       # every record needs a key
    cdef readonly bint has_log_append_time
    cdef readonly int target_compression  # codec id; -1: as the producer sent it
    cdef bint _checks_each_timestamp

    # What it is; raises a RecordError where it may not be stored.
    cdef AppendInfo inspect(self, records, bint is_client, int produce_version, int64_t now_ms)
    # True where the batch must be rewritten before it is stored (codec, LogAppendTime).
    cpdef bint needs_rewrite(self, AppendInfo info) noexcept
    cdef int check_header(
        self, const uint8_t* p, int64_t size, AppendInfo info, bint is_client,
        int produce_version, int64_t now_ms
    ) except -1
    cdef int check_timestamps(
        self, AppendInfo info, int64_t oldest, int64_t newest, int64_t now_ms
    ) except -1
    cdef int check_records(self, records, AppendInfo info, int64_t now_ms) except -1
