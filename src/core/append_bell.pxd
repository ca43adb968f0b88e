"""One word in shared memory that grows with each append, and who sleeps until it does."""

from libc.stdint cimport uint32_t


cdef class AppendBell:
    cdef readonly str path
    cdef uint32_t* _words            # of a mapped file; see the table of the module

    # `ring`, without a Python call.
    cdef void strike(self) noexcept
