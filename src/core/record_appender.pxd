"""One record from a caller's bytes into the mapped segment, without a Python call on the way."""

from libc.stdint cimport int64_t, uint8_t

from .append_bell cimport AppendBell
from .log_state cimport LogState
from .partitioner cimport Partitioner


cdef class StoreGate:
    cdef readonly object lock        # the owner of the logs holds it; re-entrant
    cdef public bint is_closed       # nothing is appended any more
    cdef public int64_t watch_count  # how many wait for news of high watermarks
    cdef list _behind                # appenders whose high watermark is to be moved
    cdef object _acquire
    cdef object _release


cdef class RecordAppender:
    cdef readonly object stored      # the partition: raft.Partition, or what stands for it
    cdef StoreGate _gate             # None: no record takes the short way
    cdef object _now_ms
    cdef object _time_ns             # the machine's clock, or None
    cdef LogState _log               # what was learnt is about this log,
    cdef object _config              # while it has these settings
    cdef bint _is_direct             # whether they let a record take the short way
    cdef bint _is_behind
    cdef bint _is_synced
    cdef AppendBell _bell
    cdef uint8_t* _room              # where a batch is put together, under the lock

    cdef object append_record(
        self, object value, object key, object headers, object timestamp, object durability
    )
    cdef int64_t append_direct(self, bytes value, bytes key) except -1
    cdef bint learn(self) except -1
    cdef int64_t clock_ms(self) except -1
    cdef int64_t encode_record(
        self, const uint8_t* value, int64_t value_size, const uint8_t* key, int64_t key_size,
        int64_t now_ms
    ) except -1


cdef class TopicAppender:
    cdef readonly tuple partitions   # RecordAppenders
    cdef readonly Partitioner partitioner
