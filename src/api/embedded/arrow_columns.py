"""Which columns of an Arrow source become values, keys, timestamps and headers, in batches."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ...core.arrow_import import (
    ArrowBatch,
    ArrowColumn,
    ArrowHeaders,
    ArrowReader,
    encode_arrow,
)
from ...core.arrow_rows import rows_by_partition, take_headers, take_rows
from .batching import cut_ranges
from .errors import ArgumentTypeError, InvalidArgumentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...core.arrow_import import ArrowArrayExportable, ArrowStreamExportable

_DEFAULT_VALUE = "value"
_TIMESTAMP_UNITS = {"tss:": "s", "tsm:": "ms", "tsu:": "us", "tsn:": "ns"}


class ArrowRows(NamedTuple):
    """Some records: their columns, equally long."""

    values: ArrowColumn
    keys: ArrowColumn | None
    headers: ArrowHeaders | None
    timestamps: "NDArray[np.int64] | None"

    def encode(self, start: int, end: int, *, timestamp: int, compression: str) -> bytearray:
        """One batch of the records from `start` to `end` (exclusive)."""
        return encode_arrow(
            self.values,
            self.keys,
            start,
            end,
            timestamp=timestamp,
            timestamps=None if self.timestamps is None else self.timestamps[start:end],
            headers=self.headers,
            compression=compression,
        )

    def taken(self, rows: bytearray) -> "ArrowRows":
        """The records at these positions (int64)."""
        stamps = self.timestamps
        if stamps is not None:
            import numpy as np

            stamps = stamps[np.frombuffer(rows, np.int64)]
        return ArrowRows(
            take_rows(self.values, rows),
            None if self.keys is None else take_rows(self.keys, rows),
            None if self.headers is None else take_headers(self.headers, rows),
            stamps,
        )


class ArrowColumns:
    """What one append takes from an Arrow source; made by `read_columns`.

    The source's buffers are held, not copied, until the append is done.
    """

    def __init__(self, parts: list[ArrowRows], *, has_timestamps: bool) -> None:
        self.has_timestamps = has_timestamps
        self._parts = parts

    def cut(self, *, timestamp: int, compression: str, max_bytes: int) -> Iterator[bytearray]:
        """One record batch after the other, as the source gives its rows."""
        for rows in self._parts:
            encode = partial(rows.encode, timestamp=timestamp, compression=compression)
            columns = (rows.values, rows.keys, rows.headers)
            mean_bytes = sum(each.mean_bytes for each in columns if each is not None)
            yield from cut_ranges(encode, len(rows.values), mean_bytes, max_bytes)

    def by_partition(
        self, partition_count: int, without_key: int
    ) -> "tuple[dict[int, ArrowColumns], int]":
        """The rows of each partition, by murmur2 of their keys, and the first row's partition."""
        found: dict[int, list[ArrowRows]] = {}
        first_partition = without_key
        for rows in reversed(self._parts):
            assert rows.keys is not None
            places = rows_by_partition(rows.keys, partition_count, without_key)
            for index, chosen in places.items():
                found.setdefault(index, []).insert(0, rows.taken(chosen))
                if chosen[:8] == bytes(8):
                    first_partition = index
        spread = {
            index: ArrowColumns(parts, has_timestamps=self.has_timestamps)
            for index, parts in sorted(found.items())
        }
        return spread, first_partition


def open_source(source: "ArrowStreamExportable | ArrowArrayExportable") -> ArrowReader:
    """What reads an Arrow source; raises ArgumentTypeError for anything else."""
    if not hasattr(source, "__arrow_c_stream__") and not hasattr(source, "__arrow_c_array__"):
        wanted = "it has neither __arrow_c_stream__ nor __arrow_c_array__"
        raise ArgumentTypeError("source", source, wanted)
    return ArrowReader(source)


def read_columns(
    source: ArrowReader,
    *,
    value: str | None,
    key: str | None,
    timestamp: str | None,
    headers: str | None,
) -> ArrowColumns:
    """The columns of these names, read to the end; raises ValueError for a name that is not there.

    All of it, before the store's lock is taken: the producer may need the store itself, on whatever
    thread it reads.
    """
    names = source.column_names
    if value is None and names:
        if len(names) > 1 and _DEFAULT_VALUE not in names:
            known = ", ".join(names)
            raise InvalidArgumentError("value", None, f"say which column it is: one of {known}")
        value = _DEFAULT_VALUE if _DEFAULT_VALUE in names else names[0]
    for name in (value, key, timestamp, headers):
        if name is not None and name not in names:
            known = ", ".join(names) or "none, it is a lone array"
            raise InvalidArgumentError(
                "column", name, f"there is no column {name!r}; there are {known}"
            )
    parts = [
        ArrowRows(
            rows.only_column() if value is None else rows.column(value),
            None if key is None else rows.column(key),
            None if headers is None else rows.header_column(headers),
            None if timestamp is None else _timestamps_of(rows, timestamp),
        )
        for rows in list(source)
    ]
    return ArrowColumns(parts, has_timestamps=timestamp is not None)


def _timestamps_of(rows: ArrowBatch, name: str) -> "NDArray[np.int64]":
    """int64 [ms], one a row."""
    import numpy as np

    column = rows.column(name)
    stamps = np.frombuffer(column.int64_values(), dtype=np.int64)
    unit = _TIMESTAMP_UNITS.get(column.format[:4], "ms")
    return stamps.view(f"M8[{unit}]").astype("M8[ms]").astype(np.int64)
