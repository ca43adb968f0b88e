"""Columns of any Arrow library, encoded as record batches where they lie."""

from libc.stdint cimport int64_t

from .arrow_abi cimport ArrowArray, ArrowArrayStream, ArrowSchema
from .batch_encoder cimport Column


cdef class ArrowReader:
    cdef object _capsule             # keeps the stream, or the array, alive
    cdef ArrowArrayStream* _stream   # NULL where one array was given
    cdef ArrowArray* _array          # the one array, until it is taken
    cdef ArrowSchema _schema
    cdef bint _is_struct

    cdef str next_error(self)


cdef class ArrowBatch:
    cdef ArrowArray array            # released with this object
    cdef ArrowReader _reader


cdef class ArrowColumn:
    cdef ArrowBatch _batch           # owns the buffers that `column` points into
    cdef Column column
    cdef readonly str format
    cdef object _pointers            # bytearrays behind a column of views
    cdef ArrowArray* _array

    cdef int fill(self, const ArrowArray* array, str name) except -1
    cdef int fill_views(self, const ArrowArray* array, int64_t start) except -1
    cdef Column slice(self, int64_t start, int64_t end) noexcept
