from collections.abc import Iterable

from .batch_columns import BatchColumns

ARROW_COLUMNS: tuple[str, ...]
LAYOUTS: tuple[str, ...]

def export_arrow_stream(
    batches: Iterable[tuple[int, BatchColumns]],
    key_layout: str = "large_binary",
    value_layout: str = "large_binary",
) -> object: ...
def export_arrow_array(
    partition: int,
    columns: BatchColumns,
    key_layout: str = "large_binary",
    value_layout: str = "large_binary",
) -> object: ...
def export_arrow_schema(
    key_layout: str = "large_binary", value_layout: str = "large_binary"
) -> object: ...
def requested_layouts(requested_schema: object | None) -> tuple[str, str]: ...
