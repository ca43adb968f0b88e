"""Columns of some rows of other Arrow columns, uncopied."""

from libc.stdint cimport int64_t

from .arrow_import cimport ArrowColumn
from .batch_encoder cimport Column


# Points `taken` at these rows of `column`, whose batch it must hold; IndexError for one outside.
cdef int fill_taken(
    ArrowColumn taken, const Column* column, const int64_t* rows, int64_t count
) except -1
