"""Disk that the worker reserves for a file's writer."""

from libc.stdint cimport int64_t


cdef class ReserveOrder:
    cdef readonly int64_t end        # the file is reserved up to here once the order is done
    cdef int64_t _start
    cdef int _descriptor             # of its own; -1 once the order is done or taken back
    cdef int _failure                # errno; -1 while nothing was tried
    cdef object _lock

    cdef int _close_descriptor(self) noexcept
