"""Bytes: segments, indexes, record batches, buffers.

A name is imported when it is asked for: most of those who import a module in here need few others.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch_builder import BatchBuilder
    from .batch_columns import BatchColumns, read_columns
    from .batch_encoder import BinaryColumn, encode_array, encode_columns, encode_values
    from .compression import CODEC_IDS
    from .record import Record
    from .record_batch import RecordBatch, RecordsSummary, inspect_records, iter_batches

_HOMES = {
    "BatchBuilder": "batch_builder",
    "BatchColumns": "batch_columns",
    "BinaryColumn": "batch_encoder",
    "CODEC_IDS": "compression",
    "Record": "record",
    "RecordBatch": "record_batch",
    "RecordsSummary": "record_batch",
    "encode_array": "batch_encoder",
    "encode_columns": "batch_encoder",
    "encode_values": "batch_encoder",
    "inspect_records": "record_batch",
    "iter_batches": "record_batch",
    "read_columns": "batch_columns",
}

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


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = found
    return found
