"""One word in shared memory that grows with each append, and who sleeps until it does."""

from libc.stdint cimport uint32_t


cdef class AppendBell:
    cdef readonly str path
    # Two words of a mapped file: how often it rang, and how many may be asleep.
    cdef uint32_t* _words
