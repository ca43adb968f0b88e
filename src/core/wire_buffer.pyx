"""`ReadBuffer` and `WriteBuffer`: Kafka's primitive types over bounded memory.

    TYPE                   CLASSIC                          FLEXIBLE (KIP-482)
    int8 .. int64          big-endian, two's complement     the same
    string                 int16 length, UTF-8              unsigned varint length + 1, UTF-8
    bytes, records         int32 length, bytes              unsigned varint length + 1, bytes
    array (length only)    int32 count                      unsigned varint count + 1
    null                   length -1                        length + 1 = 0
    uuid                   16 bytes                         the same

Every length is checked against the bytes that are left before anything is allocated for it.
Bad bytes raise MalformedBytesError and nothing else; a value that does not fit its type on writing
is our own mistake and raises OverflowError or TypeError.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from .byteorder cimport (
    load_i16,
    load_i32,
    load_i64,
    load_u32,
    store_i16,
    store_i32,
    store_i64,
)
from .held_buffer cimport hold_buffer

from .errors import MalformedBytesError

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size_bytes) except NULL

cdef enum:
    INITIAL_BYTES = 512
    MAX_VARINT_BYTES = 5


@cython.final
cdef class ReadBuffer:
    """A cursor over borrowed bytes; the lender's memory stays in place as long as it lives."""

    def __cinit__(self, source not None, Py_ssize_t position=0):
        hold_buffer(source, &self._buffer)
        self._has_buffer = True
        self._owner = source
        self._base = <const uint8_t*>self._buffer.buf
        self.end = self._buffer.len
        if position < 0 or position > self.end:
            raise MalformedBytesError(f"the message starts beyond its {self.end} bytes", position)
        self.position = position

    def __dealloc__(self):
        if self._has_buffer:
            PyBuffer_Release(&self._buffer)

    @property
    def remaining_bytes(self):
        """How many bytes are left to read."""
        return self.end - self.position

    cdef const uint8_t* take(self, int64_t size_bytes) except NULL:
        """The next `size_bytes` bytes, which the cursor steps over."""
        cdef const uint8_t* start = self._base + self.position
        if size_bytes < 0 or size_bytes > self.end - self.position:
            raise MalformedBytesError(
                f"{size_bytes} bytes are declared, {self.end - self.position} are left",
                self.position,
            )
        self.position += <Py_ssize_t>size_bytes
        return start

    cdef int64_t read_length(self, bint is_flexible, int width) except -2:
        """A length or count, -1 for null; never more than the bytes left."""
        cdef int64_t length
        if is_flexible:
            length = <int64_t>self.read_unsigned_varint() - 1
        elif width == 2:
            length = load_i16(self.take(2))
        else:
            length = load_i32(self.take(4))
        if length < -1 or length > self.end - self.position:
            raise MalformedBytesError(
                f"a length of {length} is declared, {self.end - self.position} bytes are left",
                self.position,
            )
        return length

    cpdef int skip(self, int64_t size_bytes) except -1:
        """Step over `size_bytes` bytes."""
        self.take(size_bytes)
        return 0

    cpdef int8_t read_int8(self) except? -1:
        return <int8_t>self.take(1)[0]

    cpdef int16_t read_int16(self) except? -1:
        return load_i16(self.take(2))

    cpdef int32_t read_int32(self) except? -1:
        return load_i32(self.take(4))

    cpdef int64_t read_int64(self) except? -1:
        return load_i64(self.take(8))

    cpdef uint16_t read_uint16(self) except? 65535:
        return <uint16_t>load_i16(self.take(2))

    cpdef uint32_t read_uint32(self) except? 4294967295:
        return load_u32(self.take(4))

    cpdef double read_float64(self) except? -1:
        cdef int64_t bits = load_i64(self.take(8))
        cdef double value
        memcpy(&value, &bits, 8)
        return value

    cpdef uint32_t read_unsigned_varint(self) except? 4294967295:
        """Seven bits a byte, lowest first; at most five bytes and 32 bits."""
        cdef uint64_t value = 0
        cdef uint8_t byte
        cdef int i
        for i in range(MAX_VARINT_BYTES):
            byte = self.take(1)[0]
            value |= <uint64_t>(byte & 0x7F) << (7 * i)
            if byte < 0x80:
                if value > 0xFFFFFFFF:
                    break
                return <uint32_t>value
        raise MalformedBytesError("a varint is longer than 32 bits", self.position)

    cpdef bytes read_uuid(self):
        return PyBytes_FromStringAndSize(<const char*>self.take(16), 16)

    cpdef object read_string(self, bint is_flexible):
        """The text, or None where the length says null."""
        cdef int64_t length = self.read_length(is_flexible, 2)
        if length < 0:
            return None
        cdef const char* text = <const char*>self.take(length)
        try:
            return PyUnicode_DecodeUTF8(text, <Py_ssize_t>length, NULL)
        except UnicodeDecodeError as error:
            raise MalformedBytesError(
                f"a string is not UTF-8: {error.reason}", self.position - length + error.start
            ) from None

    cpdef object read_bytes(self, bint is_flexible):
        """A copy of the bytes, or None where the length says null."""
        cdef int64_t length = self.read_length(is_flexible, 4)
        if length < 0:
            return None
        return PyBytes_FromStringAndSize(<const char*>self.take(length), <Py_ssize_t>length)

    cpdef object read_view(self, bint is_flexible):
        """A memoryview into the lender's memory, uncopied, or None where the length says null."""
        cdef int64_t length = self.read_length(is_flexible, 4)
        if length < 0:
            return None
        cdef Py_ssize_t start = self.position
        self.take(length)
        if self._lent is None:
            self._lent = memoryview(self._owner)
            if self._lent.itemsize != 1 or self._lent.ndim != 1:
                self._lent = self._lent.cast("B")
        return self._lent[start:self.position]

    cpdef int skip_tagged_fields(self) except -1:
        """Step over a whole tag buffer."""
        cdef uint32_t count = self.read_unsigned_varint()
        while count > 0:
            self.read_unsigned_varint()
            self.take(self.read_unsigned_varint())
            count -= 1
        return 0


@cython.final
cdef class WriteBuffer:
    """Bytes under construction; large buffers may be lent to the result instead of copied."""

    def __cinit__(self, Py_ssize_t lend_from=-1):
        self._bytes = <uint8_t*>malloc(INITIAL_BYTES)
        if self._bytes == NULL:
            raise MemoryError()
        self._capacity = INITIAL_BYTES
        self._lend_from = lend_from

    def __dealloc__(self):
        free(self._bytes)

    @property
    def size_bytes(self):
        """All bytes of the result, lent ones included."""
        return self.position + self._lent_bytes

    cdef uint8_t* reserve(self, Py_ssize_t size_bytes) except NULL:
        """Room for `size_bytes` more bytes, counted as written; valid until the next call."""
        cdef Py_ssize_t wanted = self.position + size_bytes
        cdef uint8_t* grown
        if wanted > self._capacity:
            grown = <uint8_t*>realloc(self._bytes, 2 * wanted)
            if grown == NULL:
                raise MemoryError()
            self._bytes = grown
            self._capacity = 2 * wanted
        grown = self._bytes + self.position
        self.position = wanted
        return grown

    cdef int write_raw(self, const void* source, Py_ssize_t size_bytes) except -1:
        memcpy(self.reserve(size_bytes), source, size_bytes)
        return 0

    cdef int write_length(self, int64_t length, bint is_flexible, int width) except -1:
        """A length or count; -1 is null."""
        if is_flexible:
            return self.write_unsigned_varint(<uint64_t>(length + 1))
        if width == 2:
            return self.write_int16(length)
        return self.write_int32(length)

    cpdef int write_int8(self, int64_t value) except -1:
        if value != <int8_t>value:
            raise OverflowError(f"{value} does not fit an int8")
        self.reserve(1)[0] = <uint8_t>value
        return 0

    cpdef int write_int16(self, int64_t value) except -1:
        if value != <int16_t>value:
            raise OverflowError(f"{value} does not fit an int16")
        store_i16(self.reserve(2), <int16_t>value)
        return 0

    cpdef int write_int32(self, int64_t value) except -1:
        if value != <int32_t>value:
            raise OverflowError(f"{value} does not fit an int32")
        store_i32(self.reserve(4), <int32_t>value)
        return 0

    cpdef int write_int64(self, int64_t value) except -1:
        store_i64(self.reserve(8), value)
        return 0

    cpdef int write_uint16(self, int64_t value) except -1:
        if value != <uint16_t>value:
            raise OverflowError(f"{value} does not fit a uint16")
        store_i16(self.reserve(2), <int16_t>value)
        return 0

    cpdef int write_uint32(self, int64_t value) except -1:
        if value != <uint32_t>value:
            raise OverflowError(f"{value} does not fit a uint32")
        store_i32(self.reserve(4), <int32_t>value)
        return 0

    cpdef int write_float64(self, double value) except -1:
        cdef int64_t bits
        memcpy(&bits, &value, 8)
        store_i64(self.reserve(8), bits)
        return 0

    cpdef int write_unsigned_varint(self, uint64_t value) except -1:
        while value >= 0x80:
            self.reserve(1)[0] = <uint8_t>(value | 0x80)
            value >>= 7
        self.reserve(1)[0] = <uint8_t>value
        return 0

    cpdef int write_uuid(self, object value) except -1:
        if not isinstance(value, bytes) or PyBytes_GET_SIZE(value) != 16:
            raise TypeError(f"a uuid is 16 bytes, not {value!r}")
        return self.write_raw(PyBytes_AS_STRING(value), 16)

    cpdef int write_string(self, object value, bint is_flexible) except -1:
        """A string, or null for None."""
        cdef Py_ssize_t size_bytes
        cdef const char* text
        if value is None:
            return self.write_length(-1, is_flexible, 2)
        text = PyUnicode_AsUTF8AndSize(value, &size_bytes)
        self.write_length(size_bytes, is_flexible, 2)
        return self.write_raw(text, size_bytes)

    cpdef int write_bytes(self, object value, bint is_flexible) except -1:
        """Anything with the buffer protocol, or null for None; large ones are lent if so asked."""
        cdef Py_buffer source
        if value is None:
            return self.write_length(-1, is_flexible, 4)
        PyObject_GetBuffer(value, &source, PyBUF_SIMPLE)
        try:
            self.write_length(source.len, is_flexible, 4)
            if self._lend_from < 0 or source.len < self._lend_from or source.len == 0:
                return self.write_raw(source.buf, source.len)
            if self._lent is None:
                self._lent = []
            self._lent.append((self.position, memoryview(value).cast("B")))
            self._lent_bytes += source.len
        finally:
            PyBuffer_Release(&source)
        return 0

    cpdef int patch_int32(self, Py_ssize_t position, int64_t value) except -1:
        """Overwrite four bytes that were written before."""
        assert 0 <= position <= self.position - 4, (position, self.position)
        if value != <int32_t>value:
            raise OverflowError(f"{value} does not fit an int32")
        store_i32(self._bytes + position, <int32_t>value)
        return 0

    cpdef bytes to_bytes(self):
        """All that was written, as one object (lent views are copied now)."""
        if self._lent is None:
            return PyBytes_FromStringAndSize(<const char*>self._bytes, self.position)
        return b"".join(self.to_pieces())

    cpdef list to_pieces(self):
        """All that was written, in order: our own bytes between the lent views."""
        cdef list pieces = []
        cdef Py_ssize_t start = 0
        cdef Py_ssize_t cut
        if self._lent is not None:
            for cut, view in self._lent:
                if cut > start:
                    pieces.append(
                        PyBytes_FromStringAndSize(<const char*>self._bytes + start, cut - start)
                    )
                pieces.append(view)
                start = cut
        if self.position > start or not pieces:
            pieces.append(
                PyBytes_FromStringAndSize(
                    <const char*>self._bytes + start, self.position - start
                )
            )
        return pieces
