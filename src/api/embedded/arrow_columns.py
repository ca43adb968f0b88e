"""Which columns of an Arrow source become values, keys, timestamps and headers, in batches."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from ...core.arrow_import import (
    ArrowBatch,
    ArrowColumn,
    ArrowHeaders,
    ArrowReader,
    encode_arrow,
)
from .batching import cut_ranges

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DEFAULT_VALUE = "value"
_TIMESTAMP_UNITS = {"tss:": "s", "tsm:": "ms", "tsu:": "us", "tsn:": "ns"}


class ArrowColumns:
    """One append's source, read to its end; raises ValueError for names that are not there.

    The batches are held, not copied, until the append is done.
    """

    def __init__(
        self,
        reader: ArrowReader,
        *,
        value: str | None,
        key: str | None,
        timestamp: str | None,
        headers: str | None,
    ) -> None:
        self._value = value
        self._key = key
        self._timestamp = timestamp
        self._headers = headers
        names = reader.column_names
        if value is None and names:
            if len(names) > 1 and _DEFAULT_VALUE not in names:
                raise ValueError(f"say which column holds the values: one of {', '.join(names)}")
            self._value = _DEFAULT_VALUE if _DEFAULT_VALUE in names else names[0]
        for name in (self._value, key, timestamp, headers):
            if name is not None and name not in names:
                known = ", ".join(names) or "none, it is a lone array"
                raise ValueError(f"there is no column {name!r}; there are {known}")
        # All of it, before the store's lock is taken: the producer may need the store itself, on
        # whatever thread it reads.
        self._batches = list(reader)

    def cut(self, *, timestamp: int, compression: str, max_bytes: int) -> Iterator[bytearray]:
        """One record batch after the other, as the source gives its rows."""
        for rows in self._batches:
            values = rows.only_column() if self._value is None else rows.column(self._value)
            keys = None if self._key is None else rows.column(self._key)
            headers = None if self._headers is None else rows.header_column(self._headers)
            encode = partial(
                _encode_range,
                values,
                keys,
                headers,
                self._timestamps_of(rows),
                timestamp=timestamp,
                compression=compression,
            )
            columns = (values, keys, headers)
            mean_bytes = sum(each.mean_bytes for each in columns if each is not None)
            yield from cut_ranges(encode, len(rows), mean_bytes, max_bytes)

    def _timestamps_of(self, rows: ArrowBatch) -> "NDArray[np.int64] | None":
        """int64 [ms], one a row."""
        if self._timestamp is None:
            return None
        import numpy as np

        column = rows.column(self._timestamp)
        stamps = np.frombuffer(column.int64_values(), dtype=np.int64)
        unit = _TIMESTAMP_UNITS.get(column.format[:4], "ms")
        return stamps.view(f"M8[{unit}]").astype("M8[ms]").astype(np.int64)


def _encode_range(
    values: ArrowColumn,
    keys: ArrowColumn | None,
    headers: ArrowHeaders | None,
    timestamps: "NDArray[np.int64] | None",
    start: int,
    end: int,
    *,
    timestamp: int,
    compression: str,
) -> bytearray:
    return encode_arrow(
        values,
        keys,
        start,
        end,
        timestamp=timestamp,
        timestamps=None if timestamps is None else timestamps[start:end],
        headers=headers,
        compression=compression,
    )
