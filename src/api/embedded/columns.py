"""`RecordBatchView`: records as columns over the mapped segment, without an object a record."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ...core.arrow_export import (
    export_arrow_array,
    export_arrow_schema,
    export_arrow_stream,
    requested_layouts,
)
from ...core.batch_columns import BatchColumns, read_columns
from ...core.record import Record as Record  # a name of the package
from ...core.record_batch import iter_batches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray


class BinaryView:
    """Keys or values: element i is `data[starts[i] : starts[i] + lengths[i]]`; length -1 is null.

    `data` is the mapped segment itself where the batches are stored uncompressed, else a buffer
    that holds their records unpacked.  It stays readable as long as somebody holds it.
    """

    __slots__ = ("_columns", "_is_key")

    def __init__(self, columns: BatchColumns, *, is_key: bool) -> None:
        self._columns = columns
        self._is_key = is_key

    def __len__(self) -> int:
        return len(self._columns)

    def __getitem__(self, index: int) -> bytes | None:
        """A copy of one element, None for null; IndexError outside."""
        columns = self._columns
        if index < 0:
            index += len(columns)
        return columns.key(index) if self._is_key else columns.value(index)

    @property
    def data(self) -> memoryview:
        """The bytes that `starts` count in; uint8, not copied."""
        return memoryview(self._columns.data).cast("B")

    @property
    def starts(self) -> "NDArray[np.int64]":
        """Where each element starts in `data`."""
        columns = self._columns
        return _int64(columns.key_starts if self._is_key else columns.value_starts)

    @property
    def lengths(self) -> "NDArray[np.int64]":
        """The size of each element [bytes], -1 for null."""
        columns = self._columns
        return _int64(columns.key_lengths if self._is_key else columns.value_lengths)

    def packed(self) -> "tuple[bytearray, NDArray[np.int64]]":
        """All elements back to back in one new buffer, and offsets, one more than elements.

        This is Arrow's large_binary; a null is an empty range there.
        """
        columns = self._columns
        data, offsets = columns.packed_keys() if self._is_key else columns.packed_values()
        return data, _int64(offsets)

    def to_pylist(self) -> list[bytes | None]:
        """All elements as bytes objects, None for null."""
        columns = self._columns
        return columns.keys_to_list() if self._is_key else columns.values_to_list()

    def to_numpy(self, dtype: "DTypeLike") -> "NDArray[Any]":
        """All elements, each the bytes of one `dtype` item (structured ones too), in one copy.

        Raises ValueError with the offset of an element of another size, or of a null.
        """
        import numpy as np

        out = np.empty(len(self), dtype=dtype)
        if out.dtype.hasobject:
            raise ValueError(f"{out.dtype} holds Python objects; bytes cannot be taken for them")
        rows = out.view(np.uint8).reshape(len(self), out.dtype.itemsize)
        if self._is_key:
            self._columns.copy_keys_into(rows)
        else:
            self._columns.copy_values_into(rows)
        return out


class RecordBatchView:
    """Some consecutive records of one partition.

    `next_offset` is where to read on.  The view keeps its mapping alive: it stays readable after
    the segment was deleted and after the store was closed.  Any thread may use it.
    """

    __slots__ = ("_columns", "_records", "partition", "start_offset", "topic")

    def __init__(
        self,
        records: memoryview,
        *,
        topic: str,
        partition: int,
        start_offset: int,
        max_records: int | None = None,
    ) -> None:
        """For `TopicPartition.read`; raises CorruptRecordError for records that are malformed."""
        self.topic = topic
        self.partition = partition
        self.start_offset = start_offset
        self._records = records
        self._columns = read_columns(records, start_offset=start_offset, max_records=max_records)

    def __repr__(self) -> str:
        return (
            f"<RecordBatchView {self.topic}-{self.partition}: {len(self)} records "
            f"from {self.start_offset}>"
        )

    def __len__(self) -> int:
        return len(self._columns)

    def __iter__(self) -> Iterator[Record]:
        """The records as objects: offset, timestamp, key, value, headers."""
        left = len(self)
        if not left:
            return
        for batch in iter_batches(self._records):
            if batch.is_control or batch.last_offset < self.start_offset:
                continue
            for record in batch.records():
                if record.offset < self.start_offset:
                    continue
                yield record
                left -= 1
                if not left:
                    return

    @property
    def next_offset(self) -> int:
        """The offset behind what was read, markers without records included."""
        return self._columns.next_offset

    def count_below(self, offset: int) -> int:
        """How many of the records have a smaller offset."""
        return bisect_left(self._columns.offsets, offset)

    @property
    def offsets(self) -> "NDArray[np.int64]":
        """The records' offsets, growing; int64, read-only."""
        return _int64(self._columns.offsets)

    @property
    def timestamps(self) -> "NDArray[np.int64]":
        """The records' timestamps [ms since the epoch]; int64, read-only."""
        return _int64(self._columns.timestamps)

    @property
    def keys(self) -> BinaryView:
        """The keys."""
        return BinaryView(self._columns, is_key=True)

    @property
    def values(self) -> BinaryView:
        """The values."""
        return BinaryView(self._columns, is_key=False)

    def value(self, index: int) -> bytes | None:
        """A copy of one value, None for null; IndexError outside."""
        return self._columns.value(index)

    def key(self, index: int) -> bytes | None:
        """A copy of one key, None for null; IndexError outside."""
        return self._columns.key(index)

    def to_pylist(self) -> list[bytes | None]:
        """All values as bytes objects, None for null."""
        return self._columns.values_to_list()

    def to_arrow(self) -> Any:
        """A `pyarrow.Table` of `__arrow_c_stream__`; the one method that needs pyarrow."""
        import pyarrow

        return pyarrow.table(self)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """partition, offset, timestamp, key, value, headers, for whatever reads Arrow's capsules.

        Keys and values are packed as large_binary, in a copy.  Where `requested_schema` has them as
        binary_view they point into the mapped segment, uncopied; binary is there too, up to 2 GiB.
        Headers are a list of structs (key: string, value: binary) a record.
        """
        return arrow_stream_of([self], requested_schema)

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """The same as one array."""
        layouts = requested_layouts(requested_schema)
        array = export_arrow_array(self.partition, self._columns, *layouts)
        return export_arrow_schema(*layouts), array

    def __arrow_c_schema__(self) -> object:
        """The columns' names and types."""
        return export_arrow_schema()

    def to_numpy(self, dtype: "DTypeLike") -> "NDArray[Any]":
        """The values, each the bytes of one `dtype` item; see `BinaryView.to_numpy`."""
        return self.values.to_numpy(dtype)


def arrow_stream_of(
    views: Iterable[RecordBatchView], requested_schema: object | None = None
) -> object:
    """A capsule of the Arrow stream of these views, which are read as the stream is."""
    return export_arrow_stream(
        ((view.partition, view._columns) for view in views), *requested_layouts(requested_schema)
    )


def _int64(column: memoryview) -> "NDArray[np.int64]":
    import numpy as np

    return np.frombuffer(column, dtype=np.int64)
