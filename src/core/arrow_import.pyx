"""Columns of any Arrow library, encoded as record batches where they lie.

    FORMAT    TYPE                          A RECORD'S BYTES ARE
    z Z vz    (large_)binary, binary_view   the element
    u U vu    (large_)string, string_view   its UTF-8
    w:n       fixed_size_binary             the element
    +l +L +m  (large_)list, map             headers: pairs of a string and binary or string

Anything else is refused by name: how a number becomes bytes is the producer's decision.  What the
interface tells (counts of buffers and rows, offsets that grow, each view's buffer and place in it,
the pairs of a list) is checked, since all of it is data; how long a buffer is that it tells no size
of, and that its pointers point somewhere, is the producer's word.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t
from libc.string cimport memcpy, memset

from .arrow_abi cimport ArrowArray, ArrowArrayStream, ArrowSchema
from .batch_encoder cimport (
    Column, FIXED_COLUMN, HeaderColumn, NULL_COLUMN, OFFSETS_32_COLUMN, OFFSETS_64_COLUMN,
    POINTERS_COLUMN, column_bytes, encode,
)

cdef enum:
    VIEW_BYTES = 16
    INLINE_BYTES = 12


cdef class ArrowReader:
    """Batches of anything with `__arrow_c_stream__` or `__arrow_c_array__`, one by one.

    Raises TypeError for what has neither, ValueError with the words of a stream that fails.
    """

    def __cinit__(self, source):
        memset(&self._schema, 0, sizeof(self._schema))
        if hasattr(source, "__arrow_c_stream__"):
            self._capsule = source.__arrow_c_stream__()
            self._stream = <ArrowArrayStream*>PyCapsule_GetPointer(
                self._capsule, "arrow_array_stream")
            if self._stream.get_schema(self._stream, &self._schema):
                raise ValueError(f"the Arrow stream has no schema: {self.next_error()}")
        elif hasattr(source, "__arrow_c_array__"):
            self._capsule = source.__arrow_c_array__()
            move_schema(
                &self._schema,
                <ArrowSchema*>PyCapsule_GetPointer(self._capsule[0], "arrow_schema"))
            self._array = <ArrowArray*>PyCapsule_GetPointer(self._capsule[1], "arrow_array")
        else:
            raise TypeError(
                f"{type(source).__name__} has neither __arrow_c_stream__ nor __arrow_c_array__")
        self._is_struct = self._schema.format == b"+s"

    def __dealloc__(self):
        if self._schema.release != NULL:
            self._schema.release(&self._schema)

    @property
    def column_names(self):
        """The columns of a table; empty for a lone array."""
        if not self._is_struct:
            return []
        return [self._schema.children[i].name.decode() for i in range(self._schema.n_children)]

    def __iter__(self):
        return self

    def __next__(self):
        cdef ArrowBatch batch = ArrowBatch.__new__(ArrowBatch)
        cdef int failed = 0
        batch._reader = self
        if self._stream != NULL:
            with nogil:
                failed = self._stream.get_next(self._stream, &batch.array)
            if failed:
                batch.array.release = NULL
                raise ValueError(f"the Arrow stream failed: {self.next_error()}")
        elif self._array != NULL:
            memcpy(&batch.array, self._array, sizeof(ArrowArray))
            self._array.release = NULL
            self._array = NULL
        if batch.array.release == NULL:
            raise StopIteration
        return batch

    cdef str next_error(self):
        cdef const char* words = self._stream.get_last_error(self._stream)
        return "it does not say why" if words == NULL else words.decode("utf-8", "replace")


cdef void move_schema(ArrowSchema* to, ArrowSchema* source) noexcept:
    memcpy(to, source, sizeof(ArrowSchema))
    source.release = NULL


cdef class ArrowBatch:
    """Some rows; their buffers go when neither this nor a column of it is held."""

    def __cinit__(self):
        memset(&self.array, 0, sizeof(self.array))

    def __dealloc__(self):
        if self.array.release != NULL:
            self.array.release(&self.array)

    def __len__(self):
        return self.array.length

    def column(self, str name not None):
        """The column of this name; raises ValueError with the names there are."""
        cdef int index = self.index_of(name)
        cdef ArrowColumn column = ArrowColumn.__new__(ArrowColumn)
        column._batch = self
        column.format = self._reader._schema.children[index].format.decode()
        column.column.count = self.array.length
        column._array = self.array.children[index]
        return self._filled(column, self.array.offset, name)

    def header_column(self, str name not None):
        """The column of headers of this name; TypeError where it is no list of pairs."""
        cdef int index = self.index_of(name)
        cdef ArrowHeaders found = ArrowHeaders.__new__(ArrowHeaders)
        found._batch = self
        found.fill(
            self._reader._schema.children[index], self.array.children[index], self.array.offset,
            self.array.length, name)
        return found

    cdef int index_of(self, str name) except -1:
        names = self._reader.column_names
        if name not in names:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(names) or 'none'}")
        if self.array.n_children != self._reader._schema.n_children:
            raise ValueError("an Arrow array has other columns than its schema")
        if self.array.n_buffers and self.array.buffers[0] != NULL and self.array.null_count != 0:
            raise ValueError("rows that are null as a whole cannot be records")
        return names.index(name)

    def only_column(self):
        """The array itself, where no table was given."""
        cdef ArrowColumn column = ArrowColumn.__new__(ArrowColumn)
        column._batch = self
        column.format = self._reader._schema.format.decode()
        column.column.count = self.array.length
        column._array = &self.array
        return self._filled(column, 0, "values")

    def _filled(self, ArrowColumn column, int64_t row_offset, str name):
        column.column.validity_start = row_offset + column._array.offset
        column.fill(column._array, name)
        return column


cdef class ArrowColumn:
    """One column of a batch."""

    def __cinit__(self):
        memset(&self.column, 0, sizeof(self.column))

    def __len__(self):
        return self.column.count

    @property
    def mean_bytes(self):
        """The mean size of an element [bytes]."""
        if self.column.count == 0 or self.column.kind == NULL_COLUMN:
            return 0
        return column_bytes(&self.column) // self.column.count

    cdef int fill(self, const ArrowArray* array, str name) except -1:
        """Point into the array's buffers, by its format; validity_start is its first element."""
        cdef int64_t start = self.column.validity_start
        check_shape(array, start, self.column.count, buffers_of(self.format), name)
        if array.n_buffers and array.null_count != 0:
            self.column.validity = <const uint8_t*>array.buffers[0]
        self.column.data_bytes = INT64_MAX
        if self.format in ("z", "u"):
            self.column.kind = OFFSETS_32_COLUMN
            self.column.offsets_32 = <const int32_t*>array.buffers[1] + start
            self.column.data = <const uint8_t*>array.buffers[2]
        elif self.format in ("Z", "U"):
            self.column.kind = OFFSETS_64_COLUMN
            self.column.offsets_64 = <const int64_t*>array.buffers[1] + start
            self.column.data = <const uint8_t*>array.buffers[2]
        elif self.format.startswith("w:"):
            self.column.kind = FIXED_COLUMN
            self.column.width = self.column.stride = int(self.format[2:])
            self.column.data = <const uint8_t*>array.buffers[1] + start * self.column.width
        elif self.format in ("vz", "vu"):
            self.fill_views(array, start, name)
        elif self.format == "n":
            self.column.kind = NULL_COLUMN
        elif self.format != "l" and not self.format.startswith("ts"):
            raise TypeError(
                f"column {name!r} has the Arrow format {self.format!r}; cast it to binary, string "
                "or fixed_size_binary: how it becomes bytes is yours to say")
        return 0

    cdef int fill_views(self, const ArrowArray* array, int64_t start, str name) except -1:
        """A view: size, then the bytes if they are at most 12; else prefix, buffer and position.

        The last of the array's buffers tells how long those are that views point into.
        """
        cdef int64_t count = self.column.count, piece_count = array.n_buffers - 3, index
        cdef const int64_t* piece_bytes = <const int64_t*>array.buffers[array.n_buffers - 1]
        cdef bytearray pointers = bytearray(2 * sizeof(int64_t) * max(count, 1))
        cdef const uint8_t** starts = <const uint8_t**>PyByteArray_AS_STRING(pointers)
        cdef int64_t* sizes = <int64_t*>(starts + count)
        cdef const uint8_t* view = <const uint8_t*>array.buffers[1] + start * VIEW_BYTES
        cdef const uint8_t* validity = self.column.validity
        cdef int32_t size, buffer_index, position
        # Before each step, the views below `index` lie within the buffers they name, or are null.
        for index in range(count):
            sizes[index] = -1
            starts[index] = view + 4
            if validity == NULL or (
                validity[(start + index) >> 3] >> ((start + index) & 7)
            ) & 1:
                memcpy(&size, view, 4)
                if size > INLINE_BYTES:
                    memcpy(&buffer_index, view + 8, 4)
                    memcpy(&position, view + 12, 4)
                    if (not 0 <= buffer_index < piece_count or position < 0
                            or size > piece_bytes[buffer_index] - position):
                        raise ValueError(
                            f"view {index} of column {name!r} points outside of its buffers: "
                            f"buffer {buffer_index} of {piece_count}, position {position}, "
                            f"{size} bytes")
                    starts[index] = <const uint8_t*>array.buffers[2 + buffer_index] + position
                elif size < 0:
                    raise ValueError(f"view {index} of column {name!r} has {size} bytes")
                sizes[index] = size
            view += VIEW_BYTES
        self._pointers = pointers
        self.column.kind = POINTERS_COLUMN
        self.column.starts = starts
        self.column.sizes = sizes
        self.column.validity = NULL
        return 0

    def int64_values(self):
        """An int64 or timestamp column, in its own unit, as int64; ValueError for a null."""
        cdef int64_t start = self.column.validity_start, index
        cdef const uint8_t* validity = self.column.validity
        if self.format != "l" and not self.format.startswith("ts"):
            raise TypeError(f"the Arrow format {self.format!r} is no timestamp and no int64")
        if validity != NULL:
            for index in range(start, start + self.column.count):
                if not (validity[index >> 3] >> (index & 7)) & 1:
                    raise ValueError(f"timestamp {index - start} is null")
        cdef const char* first = <const char*>self._array.buffers[1] + 8 * start
        return bytearray(first[:8 * self.column.count])

    cdef Column slice(self, int64_t start, int64_t end) noexcept:
        cdef Column part = self.column
        part.count = end - start
        part.validity_start += start
        if part.kind == OFFSETS_32_COLUMN:
            part.offsets_32 += start
        elif part.kind == OFFSETS_64_COLUMN:
            part.offsets_64 += start
        elif part.kind == FIXED_COLUMN:
            part.data += start * part.stride
        elif part.kind == POINTERS_COLUMN:
            part.starts += start
            part.sizes += start
        return part


cdef int buffers_of(str kind) except -1:
    """How many buffers an array of this format has at least."""
    if kind == "n":
        return 0
    return 3 if kind in ("z", "u", "Z", "U", "vz", "vu") else 2


cdef int check_shape(
    const ArrowArray* array, int64_t start, int64_t count, int64_t least_buffers, str name
) except -1:
    """Raise ValueError unless the array has these elements and buffers."""
    if start < array.offset or count > array.length - (start - array.offset):
        raise ValueError(
            f"column {name!r} has {array.length} elements, not the {count} from {start} on")
    if array.n_buffers < least_buffers or (least_buffers and array.buffers == NULL):
        raise ValueError(f"column {name!r} has {array.n_buffers} buffers, not {least_buffers}")
    if least_buffers and count and array.buffers[1] == NULL:
        raise ValueError(f"column {name!r} has no content")
    return 0


cdef class ArrowHeaders:
    """A column of lists of (name, value), or of maps: the headers of each record."""

    def __cinit__(self):
        memset(&self.headers, 0, sizeof(self.headers))

    def __len__(self):
        return self.count

    cdef int fill(
        self, const ArrowSchema* schema, const ArrowArray* array, int64_t row_offset, int64_t count,
        str name
    ) except -1:
        cdef str kind = schema.format.decode()
        cdef int64_t start = row_offset + array.offset
        cdef const ArrowArray* pairs
        if kind not in ("+l", "+L", "+m") or schema.n_children != 1 or (
            schema.children[0].format != b"+s" or schema.children[0].n_children != 2
        ):
            raise TypeError(
                f"column {name!r} has the Arrow format {kind!r}; headers are a list of structs of "
                "a string and a binary, or a map")
        check_shape(array, start, count, 2, name)
        if array.n_children != 1 or array.children[0].n_children != 2:
            raise ValueError(f"column {name!r} is no list of pairs, as its schema says")
        pairs = array.children[0]
        if pairs.n_buffers and pairs.buffers[0] != NULL and pairs.null_count != 0:
            raise ValueError(f"a header in column {name!r} is null as a whole")
        self.count = count
        self.headers.validity_start = start
        if array.null_count != 0:
            self.headers.validity = <const uint8_t*>array.buffers[0]
        if kind == "+L":
            self.headers.offsets_64 = <const int64_t*>array.buffers[1]
            self.headers.offsets_64 += start
        else:
            self.headers.offsets_32 = <const int32_t*>array.buffers[1]
            self.headers.offsets_32 += start
        self.headers.pair_count = pairs.length
        self._names = self.part_of(schema.children[0].children[0], pairs, 0, name)
        self._values = self.part_of(schema.children[0].children[1], pairs, 1, name)
        if self._names.format not in ("u", "U", "vu"):
            raise TypeError(f"the names of column {name!r} must be strings")
        self.headers.names = self._names.column
        self.headers.values = self._values.column
        return 0

    cdef ArrowColumn part_of(
        self, const ArrowSchema* schema, const ArrowArray* pairs, int index, str name
    ):
        cdef ArrowColumn column = ArrowColumn.__new__(ArrowColumn)
        column._batch = self._batch
        column.format = schema.format.decode()
        column.column.count = pairs.length
        column._array = pairs.children[index]
        column.column.validity_start = pairs.offset + column._array.offset
        column.fill(column._array, name)
        if column.format == "l" or column.format.startswith("ts"):
            raise TypeError(f"the headers of column {name!r} are no strings and binaries")
        if column_bytes(&column.column) < 0:
            raise ValueError(f"the offsets in column {name!r} decrease")
        return column

    @property
    def mean_bytes(self):
        """The mean size of a record's headers [bytes]."""
        if self.count == 0:
            return 0
        total = column_bytes(&self.headers.names) + column_bytes(&self.headers.values)
        return total // self.count


def encode_arrow(
    ArrowColumn values not None, ArrowColumn keys, int64_t start, int64_t end, *,
    int64_t timestamp, timestamps=None, ArrowHeaders headers=None, str compression="none"
):
    """One batch of the rows `start` to `end` (exclusive), keyed by `keys` where it is not None.

    Raises TypeError for a column of numbers, ValueError for rows outside or unequal lengths.
    """
    if not 0 <= start <= end <= values.column.count:
        raise ValueError(f"rows {start} to {end} of {values.column.count}")
    if keys is not None and keys.column.count != values.column.count:
        raise ValueError(f"{keys.column.count} keys for {values.column.count} values")
    for column in (values, keys):
        if column is not None and (column.format == "l" or column.format.startswith("ts")):
            raise TypeError(
                f"a column of the Arrow format {column.format!r} is no key or value; cast it to "
                "binary, string or fixed_size_binary: how it becomes bytes is yours to say")
    if headers is not None and headers.count != values.column.count:
        raise ValueError(f"{headers.count} lists of headers for {values.column.count} values")
    cdef Column value_part = values.slice(start, end)
    cdef Column key_part
    cdef HeaderColumn header_part
    cdef const HeaderColumn* header_pointer = NULL
    memset(&key_part, 0, sizeof(key_part))
    if keys is not None:
        key_part = keys.slice(start, end)
    if headers is not None:
        header_part = headers.headers
        header_part.validity_start += start
        if header_part.offsets_64 != NULL:
            header_part.offsets_64 += start
        else:
            header_part.offsets_32 += start
        header_pointer = &header_part
    return encode(
        &value_part, &key_part, header_pointer, timestamp, timestamps, 0, -1, compression)
