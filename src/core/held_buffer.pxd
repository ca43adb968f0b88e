"""Buffers that an object holds for as long as it lives."""

from cpython.buffer cimport PyBUF_FULL_RO, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.memoryview cimport PyMemoryView_Check, PyMemoryView_GET_BUFFER
from cpython.object cimport PyObject


cdef inline int hold_buffer(object source, Py_buffer* held) except -1:
    """The bytes of `source`, until PyBuffer_Release; of a memoryview held by what is under it.

    A memoryview that somebody has a buffer of is no sound member of a reference cycle: up to
    CPython 3.11.7 and 3.12.1 its collection lets go of what is under it all the same, and ends the
    process (gh-77894).  A frame that a traceback keeps is enough to make such a cycle.
    """
    cdef Py_buffer seen
    cdef Py_buffer* under
    PyObject_GetBuffer(source, held, PyBUF_SIMPLE)
    if not PyMemoryView_Check(source):
        return 0
    under = PyMemoryView_GET_BUFFER(source)
    if <PyObject*>under.obj == NULL:  # of bare memory
        return 0
    seen.buf, seen.len, seen.readonly = held.buf, held.len, held.readonly
    PyBuffer_Release(held)
    PyObject_GetBuffer(under.obj, held, PyBUF_FULL_RO)
    held.buf, held.len, held.readonly = seen.buf, seen.len, seen.readonly
    return 0
