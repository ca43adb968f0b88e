from typing import Any

from typing_extensions import Buffer

from .arrow_import import ArrowColumn, ArrowHeaders

def rows_by_partition(
    keys: ArrowColumn, partition_count: int, without_key: int
) -> dict[int, bytearray]: ...
def take_rows(column: ArrowColumn, rows: Buffer | Any) -> ArrowColumn: ...
def take_headers(headers: ArrowHeaders, rows: Buffer | Any) -> ArrowHeaders: ...
