from collections.abc import Iterable

from .batch_columns import BatchColumns

ARROW_COLUMNS: tuple[str, ...]

def export_arrow_stream(batches: Iterable[tuple[int, BatchColumns]]) -> object: ...
def export_arrow_schema() -> object: ...
