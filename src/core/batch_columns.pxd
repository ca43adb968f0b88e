"""The records of one or more batches as columns of positions, without an object a record."""

from libc.stdint cimport int64_t, uint8_t

cdef enum:
    # The order of the columns in `_storage`; each `..._STARTS` has its lengths right behind it.
    OFFSETS
    TIMESTAMPS
    KEY_STARTS
    KEY_LENGTHS
    VALUE_STARTS
    VALUE_LENGTHS
    COLUMN_COUNT


cdef class BatchColumns:
    cdef readonly Py_ssize_t record_count
    cdef readonly int64_t next_offset   # where to read on; start_offset if there was no batch
    cdef readonly bint has_headers      # whether a record of them has a header
    cdef readonly Py_ssize_t null_keys  # how many of the records have none
    cdef readonly Py_ssize_t null_values
    # What the positions count in: the buffer that was read, or its records unpacked.
    cdef readonly object data
    cdef Py_buffer _data
    cdef bint _is_held
    cdef bytearray _storage          # six columns of `_capacity` int64 each
    cdef Py_ssize_t _capacity

    cdef int64_t* column(self, int which) noexcept
    cdef object column_view(self, int which)
    cdef object element(self, int starts, Py_ssize_t index)
    cdef list elements(self, int starts)
    # How many elements of this column are null.
    cdef Py_ssize_t nulls_of(self, int starts) noexcept
    cdef tuple pack(self, int starts)
    cdef int copy_fixed(self, out, int starts, str what) except -1
