"""Contract of the codec: a message at one version is a `Plan`, which two small loops interpret."""

from cpython.object cimport PyObject
from libc.stdint cimport int8_t, int32_t, int64_t

from ...core.wire_buffer cimport ReadBuffer, WriteBuffer

# One field of a Plan.  The pointers are borrowed from Plan.owned, which keeps the objects alive.
cdef struct FieldOp:
    int8_t opcode           # an Opcode
    int8_t element          # an Opcode; of arrays only
    bint is_nullable
    int32_t tag             # of tagged fields only
    PyObject* name
    PyObject* default_value
    PyObject* plan          # the nested Plan of a struct or of an array of structs


cdef class Plan:
    cdef FieldOp* ops       # in the order of the wire
    cdef Py_ssize_t op_count
    cdef FieldOp* tagged_ops     # by ascending tag
    cdef Py_ssize_t tagged_count
    cdef readonly bint is_flexible
    cdef readonly Py_ssize_t min_size_bytes   # no value of this struct is shorter on the wire
    cdef dict absent        # defaults of the fields a decoder may not meet, immutable ones
    cdef list absent_fresh  # [(name, is_array, Plan or None)]: made afresh for each value
    cdef frozenset names    # of every version, for the check of an encoder's input
    cdef list owned

    cdef int fill_op(self, FieldOp* op, spec, int version) except -1
    cdef Py_ssize_t least_size_of(self, FieldOp* op, spec) except -1
    cdef int note_absent(self, spec, int version) except -1
    cdef dict default_body(self)
    cdef dict new_body(self)


cdef Plan request_plan(int64_t api_key, int64_t api_version)
cdef Plan response_plan(int64_t api_key, int64_t api_version)
cdef object decode_struct(ReadBuffer source, Plan plan, int64_t* elements_left)
cdef int encode_struct(WriteBuffer out, Plan plan, dict body) except -1
