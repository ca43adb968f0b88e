"""Which partition a record goes to, as Kafka's clients choose it."""

from cpython.buffer cimport PyObject_CheckBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t

from .murmur2 cimport murmur2_of

from .errors import RecordTypeError
from .murmur2 import partition_for_key

# Records without a key stay on one partition until it got this much (Kafka's batch.size).
STICKY_BYTES = 16_384

cdef enum:
    STICKY = 16384
    WITHOUT_SIGN = 0x7FFFFFFF


cdef class Partitioner:
    """For one topic handle; safe on any thread, since a lost count only moves on a little later."""

    def __init__(self, int32_t partition_count, int32_t first_partition):
        self._partition_count = partition_count
        self._sticky = first_partition % partition_count

    cpdef int32_t partition_of(self, object key, int64_t size_bytes) except -1:
        """By murmur2 where there is a key; else the one that is being filled, then the next."""
        cdef int32_t sticky = self._sticky
        if self._partition_count == 1:
            return 0
        if type(key) is bytes:
            return (murmur2_of(<const uint8_t*>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
                    & WITHOUT_SIGN) % self._partition_count
        if key is not None:
            if not PyObject_CheckBuffer(key):
                raise RecordTypeError("key", None, type(key).__name__)
            return partition_for_key(key, self._partition_count)
        if self._sticky_bytes >= STICKY:
            self._sticky_bytes = 0
            sticky = self._sticky = (sticky + 1) % self._partition_count
        self._sticky_bytes += size_bytes
        return sticky
