"""The Arrow C data and C stream interfaces: three structs, by which columns pass without a copy.

Who receives a struct calls its `release` once, from any thread, and may move it elsewhere first:
the old place then has `release` NULL.  Source: Arrow docs "The Arrow C data interface".
"""

from libc.stdint cimport int32_t, int64_t

cdef enum:
    ARROW_NULLABLE = 2

ctypedef struct ArrowSchema:
    const char* format               # the type, as the docs spell it: "l", "Z", "+s"
    const char* name
    const char* metadata
    int64_t flags
    int64_t n_children
    ArrowSchema** children
    ArrowSchema* dictionary
    void (*release)(ArrowSchema*) noexcept nogil
    void* private_data

ctypedef struct ArrowArray:
    int64_t length
    int64_t null_count               # -1: not counted
    int64_t offset                   # of the first element in every buffer
    int64_t n_buffers
    int64_t n_children
    const void** buffers             # validity bitmap (or NULL), then what the type needs
    ArrowArray** children
    ArrowArray* dictionary
    void (*release)(ArrowArray*) noexcept nogil
    void* private_data

ctypedef struct ArrowArrayStream:
    # 0, or an errno; at the end of the stream get_next gives an array with release NULL.
    int (*get_schema)(ArrowArrayStream*, ArrowSchema*) noexcept nogil
    int (*get_next)(ArrowArrayStream*, ArrowArray*) noexcept nogil
    const char* (*get_last_error)(ArrowArrayStream*) noexcept nogil
    void (*release)(ArrowArrayStream*) noexcept nogil
    void* private_data

# One element of the layouts binary_view and utf8_view.
ctypedef struct BinaryView:
    int32_t size
    char prefix[4]                   # all bytes are here and below where size <= 12
    int32_t buffer_index
    int32_t offset                   # in that buffer
