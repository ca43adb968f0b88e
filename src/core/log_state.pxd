"""What each append to a log and each read looks at and moves, as C fields, and those ways."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .append_info cimport AppendInfo
from .batch_validator cimport BatchValidator
from .log_segment cimport LogSegment
from .record_batch cimport BatchHeader


cdef class LogState:
    cdef public int64_t log_start_offset
    cdef public int64_t log_end_offset    # the next offset to be written
    cdef public int64_t high_watermark    # the first offset that is not committed yet
    cdef public int64_t recovery_point    # everything below it is on disk
    cdef public LogSegment active_segment
    cdef public list segments             # in order; the active one is the last
    cdef public object config             # a LogConfig; another object when a setting changes
    cdef public BatchValidator _validator  # the rules of `config`
    cdef public object _refusal           # why there is no append any more; None while there is
    cdef public object _epochs            # the LeaderEpochCache
    cdef public object _producers         # the ProducerStateManager
    cdef public object _clock

    # Stores the batch at `batch`, whose header this is; its base offset.  -2: nothing was done,
    # because a segment or a leader epoch begins with it, which is `append_as_leader`'s to arrange.
    cdef int64_t append_direct(
        self, const uint8_t* batch, const BatchHeader* header, int64_t leader_epoch, int64_t now_ms
    ) except -1
    # Writes a batch with its offsets assigned, and remembers what it says.
    cdef int store_batch(self, records, AppendInfo info, int64_t now_ms) except -1
    # Stores the leader's batches from `position` on, as many as one run takes; where it ended.
    cdef int64_t store_some(
        self, records, const uint8_t* data, int64_t size, int64_t position, int64_t now_ms
    ) except -1
    # Which of the segments holds `offset`; the first one for what lies below all.
    cpdef Py_ssize_t slot_of(self, int64_t offset) except -1
