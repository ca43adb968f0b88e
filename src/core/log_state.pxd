"""What each append to a log looks at and moves, as C fields."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .log_segment cimport LogSegment
from .record_batch cimport BatchHeader


cdef class LogState:
    cdef public int64_t log_start_offset
    cdef public int64_t log_end_offset    # the next offset to be written
    cdef public int64_t high_watermark    # the first offset that is not committed yet
    cdef public int64_t recovery_point    # everything below it is on disk
    cdef public LogSegment active_segment
    cdef public object config             # a LogConfig; another object when a setting changes
    cdef public object _refusal           # why there is no append any more; None while there is
    cdef public object _epochs            # the LeaderEpochCache

    # Stores the batch at `batch`, whose header this is; its base offset.  -2: nothing was done,
    # because a segment or a leader epoch begins with it, which is `append_as_leader`'s to arrange.
    cdef int64_t append_direct(
        self, const uint8_t* batch, const BatchHeader* header, int64_t leader_epoch, int64_t now_ms
    ) except -1
