"""BatchBuilder: appends records to a growing buffer and closes it into one RecordBatch."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .record_batch cimport BatchHeader


cdef class BatchBuilder:
    cdef BatchHeader header              # all but size, CRC and count, which build() fills in
    cdef bytearray _bytes                # 61 bytes for the header, then the records
    cdef Py_ssize_t _used                # of `_bytes`
    cdef int _codec_id
    cdef object _level
    cdef bint _has_base_timestamp        # set by the first record, or by the delete horizon
    cdef readonly int32_t record_count
    cdef readonly int32_t last_offset_delta   # of the last record appended, -1 before the first

    cdef uint8_t* reserve(self, Py_ssize_t size_bytes) except NULL
