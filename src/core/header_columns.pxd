"""The headers of records as columns: whose they are, their names and their values."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .batch_columns cimport BatchColumns


cdef class HeaderColumns:
    cdef readonly int64_t pair_count
    cdef readonly int64_t null_count  # how many values are null
    cdef bytearray lists             # int32: pairs lists[i] to lists[i + 1] are record i's
    cdef bytearray name_offsets      # int32, one more than pairs
    cdef bytearray names
    cdef bytearray value_offsets     # int32, one more than pairs; a null is an empty range
    cdef bytearray values
    cdef bytearray validity          # Arrow's bitmap of the values

    cdef int count_pairs(self, BatchColumns columns, int64_t* name_bytes, int64_t* value_bytes) \
        except -1
    cdef int fill(self, BatchColumns columns) except -1


# None where no record has a header.
cdef HeaderColumns headers_of(BatchColumns columns)
