"""Contract of wire_buffer: one cursor that reads and one that writes Kafka's primitive types."""

from libc.stdint cimport (
    int8_t,
    int16_t,
    int32_t,
    int64_t,
    uint8_t,
    uint16_t,
    uint32_t,
    uint64_t,
)


cdef class ReadBuffer:
    cdef Py_buffer _buffer       # keeps the lender's memory in place while we live
    cdef bint _has_buffer        # whether _buffer must be released
    cdef object _owner           # the object whose memory is read
    cdef memoryview _lent        # a byte view of _owner, made when the first view is lent
    cdef const uint8_t* _base    # first byte of the buffer
    cdef readonly Py_ssize_t position    # next byte to read
    cdef readonly Py_ssize_t end         # one past the last byte

    cdef const uint8_t* take(self, int64_t size_bytes) except NULL
    cdef int64_t read_length(self, bint is_flexible, int width) except -2
    cpdef int skip(self, int64_t size_bytes) except -1
    cpdef int8_t read_int8(self) except? -1
    cpdef int16_t read_int16(self) except? -1
    cpdef int32_t read_int32(self) except? -1
    cpdef int64_t read_int64(self) except? -1
    cpdef uint16_t read_uint16(self) except? 65535
    cpdef uint32_t read_uint32(self) except? 4294967295
    cpdef double read_float64(self) except? -1
    cpdef uint32_t read_unsigned_varint(self) except? 4294967295
    cpdef bytes read_uuid(self)
    cpdef object read_string(self, bint is_flexible)
    cpdef object read_bytes(self, bint is_flexible)
    cpdef object read_view(self, bint is_flexible)
    cpdef int skip_tagged_fields(self) except -1


cdef class WriteBuffer:
    cdef uint8_t* _bytes         # owned, grown by doubling
    cdef Py_ssize_t _capacity
    cdef readonly Py_ssize_t position    # bytes written into _bytes, lent views not counted
    cdef Py_ssize_t _lend_from   # buffers of at least this size are lent, not copied; -1 never
    cdef list _lent              # [(position, memoryview)] in the order written
    cdef Py_ssize_t _lent_bytes

    cdef uint8_t* reserve(self, Py_ssize_t size_bytes) except NULL
    cdef int write_raw(self, const void* source, Py_ssize_t size_bytes) except -1
    cdef int write_length(self, int64_t length, bint is_flexible, int width) except -1
    cpdef int write_int8(self, int64_t value) except -1
    cpdef int write_int16(self, int64_t value) except -1
    cpdef int write_int32(self, int64_t value) except -1
    cpdef int write_int64(self, int64_t value) except -1
    cpdef int write_uint16(self, int64_t value) except -1
    cpdef int write_uint32(self, int64_t value) except -1
    cpdef int write_float64(self, double value) except -1
    cpdef int write_unsigned_varint(self, uint64_t value) except -1
    cpdef int write_uuid(self, object value) except -1
    cpdef int write_string(self, object value, bint is_flexible) except -1
    cpdef int write_bytes(self, object value, bint is_flexible) except -1
    cpdef int patch_int32(self, Py_ssize_t position, int64_t value) except -1
    cpdef bytes to_bytes(self)
    cpdef list to_pieces(self)
