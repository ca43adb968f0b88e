"""Bytes: segments, indexes, record batches, buffers."""

from .batch_builder import BatchBuilder
from .batch_columns import BatchColumns, read_columns
from .batch_encoder import BinaryColumn, encode_array, encode_columns, encode_values
from .compression import CODEC_IDS
from .record import Record
from .record_batch import RecordBatch, RecordsSummary, inspect_records, iter_batches

__all__ = [
    "CODEC_IDS",
    "BatchBuilder",
    "BatchColumns",
    "BinaryColumn",
    "Record",
    "RecordBatch",
    "RecordsSummary",
    "encode_array",
    "encode_columns",
    "encode_values",
    "inspect_records",
    "iter_batches",
    "read_columns",
]
