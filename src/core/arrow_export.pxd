"""Records as Arrow, for any library that speaks the PyCapsule interface."""

from libc.stdint cimport int32_t

from .arrow_abi cimport ArrowArray
from .batch_columns cimport BatchColumns


cdef class StreamState:
    cdef object batches              # iterator of (partition, BatchColumns)
    cdef str key_layout
    cdef str value_layout
    cdef bytes last_error            # None until a call failed


cdef int lend_records(
    ArrowArray* out, int32_t partition, BatchColumns columns, str key_layout, str value_layout
) except -1
