"""Bytes: segments, indexes, record batches, buffers."""

from .batch_builder import BatchBuilder
from .compression import CODEC_IDS
from .record import Record
from .record_batch import RecordBatch, RecordsSummary, inspect_records, iter_batches

__all__ = [
    "CODEC_IDS",
    "BatchBuilder",
    "Record",
    "RecordBatch",
    "RecordsSummary",
    "inspect_records",
    "iter_batches",
]
