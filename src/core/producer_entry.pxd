"""What a log remembers of one idempotent producer: its epoch and its last batches."""

from libc.stdint cimport int16_t, int32_t, int64_t

from .append_info cimport AppendInfo

cdef enum:
    REMEMBERED_BATCHES = 5           # what a producer may have in flight

ctypedef struct BatchTrace:
    int32_t last_sequence
    int64_t last_offset
    int32_t offset_delta             # last offset - base offset
    int64_t timestamp                # [ms]


cdef class ProducerEntry:
    cdef readonly int64_t producer_id
    cdef readonly int16_t producer_epoch         # -1: only markers or nothing seen yet
    cdef public int32_t coordinator_epoch        # of the last marker; -1
    cdef public int64_t last_timestamp           # [ms]
    cdef public int64_t current_txn_start_offset  # -1: no transaction is open here
    cdef readonly int32_t batch_count            # remembered, at most REMEMBERED_BATCHES
    cdef BatchTrace batches[REMEMBERED_BATCHES]  # oldest first

    # 1 and `info` points at the original if it is a copy of a remembered batch; else 0.
    cpdef bint find_duplicate(self, AppendInfo info) noexcept
    cpdef int check_sequence(self, AppendInfo info) except -1
    cpdef int note_batch(self, AppendInfo info) except -1
    cpdef int note_marker(
        self, int16_t producer_epoch, int32_t coordinator_epoch, int64_t timestamp
    ) except -1
