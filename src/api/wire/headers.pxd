"""Contract of the headers: what stands in front of every request."""

from libc.stdint cimport int16_t, int32_t


cdef class RequestHeader:
    cdef readonly int16_t api_key
    cdef readonly int16_t api_version
    cdef readonly int32_t correlation_id
    cdef readonly object client_id     # str or None
