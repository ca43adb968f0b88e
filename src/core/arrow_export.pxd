"""Records as an Arrow stream, for any library that speaks the PyCapsule interface."""

from libc.stdint cimport int64_t

from .arrow_abi cimport ArrowArray, ArrowSchema


cdef class StreamState:
    cdef object batches              # iterator of (partition, BatchColumns)
    cdef bytes last_error


cdef int export_schema(ArrowSchema* schema) except -1
cdef int export_columns(ArrowArray* array, int partition, object columns) except -1
