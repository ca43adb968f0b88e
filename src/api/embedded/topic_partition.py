"""`TopicPartition`: append to and read from one partition of a store."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NoReturn

from ...core.arrow_export import export_arrow_schema
from ...core.record_appender import RecordAppender
from ...raft import Partition
from .arrow_columns import ArrowColumns, open_source, read_columns
from .batching import cut_array, cut_values, encode_record
from .columns import RecordBatchView, arrow_stream_of
from .durability import Durability, is_synced_by
from .errors import refuse_transactions
from .inputs import as_list, as_rows, as_timestamps, as_whole, check_lengths
from .node import Node
from .receipt import Receipt

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Buffer

    from ...core.arrow_import import ArrowArrayExportable, ArrowStreamExportable
    from .batching import Headers

    ArrowSource = ArrowStreamExportable | ArrowArrayExportable

DEFAULT_READ_BYTES = 64 * 1024 * 1024
# What a scan reads at once: it is still in the processor's cache when its records are used.
SCAN_BYTES = 1024 * 1024
# Our own batches need no second look at each record, save for what their topic asks of them.
_TRUSTED, _INSPECTED = "coordinator", "client"


class TopicPartition(RecordAppender):
    """One partition; any thread may use it.  Offsets are those of this partition.

    Every method raises LogClosedError after the store was closed, KafkaStorageError where the disk
    refused, UnknownTopicOrPartitionError once the topic was deleted.
    """

    def __init__(self, node: Node, partition: Partition, durability: Durability) -> None:
        super().__init__(
            partition,
            clock=node.clock,
            gate=node.gate,
            bell=node.bell_of(partition),
            is_synced=durability.is_synced,
        )
        self.topic = partition.topic
        self.index = partition.index
        self._node = node
        self._partition = partition
        self._durability = durability

    def __repr__(self) -> str:
        return f"<TopicPartition {self.topic}-{self.index}>"

    # -- append: `append` itself is RecordAppender's

    def _append_at_length(
        self,
        value: "Buffer | None",
        key: "Buffer | None",
        headers: "Headers | None",
        timestamp: int | None,
        durability: str | None,
    ) -> int:
        """What `append` does with a record that the short way is not for."""
        config = self._partition.usable_log().config
        if timestamp is not None:
            timestamp = as_whole(timestamp, "timestamp")
        batch = encode_record(
            value,
            key,
            headers,
            timestamp=self._node.clock.now_ms() if timestamp is None else timestamp,
            compression=self._compression,
        )
        is_inspected = timestamp is not None or config.is_compacted
        is_synced = self._is_synced_by(durability)
        if is_synced or config.flush_messages == 1:
            receipt = self._append_batches([batch], is_inspected=is_inspected, is_synced=True)
            return receipt.first_offset
        origin = _INSPECTED if is_inspected else _TRUSTED
        return self._node.append_one(self._partition, batch, origin)

    def append_many(
        self,
        values: "Iterable[Buffer | None] | ArrayLike",
        keys: "Iterable[Buffer | None] | ArrayLike | None" = None,
        *,
        timestamps: "ArrayLike | None" = None,
        durability: str | None = None,
    ) -> Receipt:
        """Append records with nothing between them, all or none; unpacks as (first, count).

        `values` and `keys`: bytes-likes or None for null, in a list (fastest) or another iterable,
        or a numpy array of S, U (as UTF-8) or objects.  `timestamps`: one a record, int64
        [ms] or datetime64.  Raises what `append` raises, and ValueError for unequal lengths.
        """
        value_list = as_list(values, "values")
        key_list = None if keys is None else as_list(keys, "keys")
        check_lengths(len(value_list), None if key_list is None else len(key_list))
        batches = cut_values(
            value_list,
            key_list,
            timestamp=self._node.clock.now_ms(),
            timestamps=as_timestamps(timestamps, len(value_list)),
            compression=self._compression,
            max_bytes=self._max_message_bytes,
        )
        return self._append_batches(
            batches,
            is_inspected=timestamps is not None or self._needs_keys,
            is_synced=self._is_synced_by(durability),
        )

    def append_array(
        self,
        array: "ArrayLike",
        keys: "ArrayLike | None" = None,
        *,
        timestamps: "ArrayLike | None" = None,
        durability: str | None = None,
    ) -> Receipt:
        """Append fixed-width records: the rows of uint8[n, width], or the items of one axis.

        `keys`: an array of the same kinds.  All or none; unpacks as (first, count).  Raises what
        `append_many` raises, and ValueError for other shapes.
        """
        rows = as_rows(array, "array")
        key_rows = None if keys is None else as_rows(keys, "keys")
        check_lengths(len(rows), None if key_rows is None else len(key_rows))
        batches = cut_array(
            rows,
            key_rows,
            timestamp=self._node.clock.now_ms(),
            timestamps=as_timestamps(timestamps, len(rows)),
            compression=self._compression,
            max_bytes=self._max_message_bytes,
        )
        return self._append_batches(
            batches,
            is_inspected=timestamps is not None or self._needs_keys,
            is_synced=self._is_synced_by(durability),
        )

    def append_arrow(
        self,
        source: "ArrowSource",
        *,
        value: str | None = None,
        key: str | None = None,
        timestamp: str | None = None,
        headers: str | None = None,
        durability: str | None = None,
    ) -> Receipt:
        """Append a row a record, from anything with `__arrow_c_stream__` or `__arrow_c_array__`.

        `value`, `key`, `timestamp` name columns: binary, string (as UTF-8), their views or
        fixed_size_binary; the timestamp an Arrow timestamp or int64 [ms].  `headers` names a list
        of structs (string, binary), or a map.  `value` may be left out for a lone array, a table of
        one column, or one whose column is called "value".  All or none; unpacks as (first, count).
        Raises what `append_many` raises, TypeError for columns of numbers, ValueError for names
        that are not there and for views that point outside of their buffers.
        """
        columns = read_columns(
            open_source(source), value=value, key=key, timestamp=timestamp, headers=headers
        )
        return self._append_columns(columns, durability)

    def _append_columns(self, columns: ArrowColumns, durability: str | None) -> Receipt:
        """What `append_arrow` does with columns that were read."""
        batches = columns.cut(
            timestamp=self._node.clock.now_ms(),
            compression=self._compression,
            max_bytes=self._max_message_bytes,
        )
        return self._append_batches(
            batches,
            is_inspected=columns.has_timestamps or self._needs_keys,
            is_synced=self._is_synced_by(durability),
        )

    def transaction(self, *_: object, **__: object) -> NoReturn:
        """Raises UnsupportedOperationError, which says what comes near a transaction."""
        refuse_transactions()

    # -- read

    def read(
        self,
        start_offset: int | None = None,
        *,
        max_bytes: int = DEFAULT_READ_BYTES,
        max_records: int | None = None,
    ) -> RecordBatchView:
        """The records from `start_offset` on (None: the log's start), as columns.

        At most about `max_bytes` (the first batch even above it), at most `max_records`, and of one
        segment: go on at the view's `next_offset`.  Empty at the end of the log.  Transactions are
        read uncommitted.  Raises OffsetOutOfRangeError outside of log_start_offset..log_end_offset.
        """
        if start_offset is not None and type(start_offset) is not int:
            start_offset = as_whole(start_offset, "start_offset")
        if max_bytes is not DEFAULT_READ_BYTES:
            max_bytes = as_whole(max_bytes, "max_bytes", least=0)
        if max_records is not None:
            max_records = as_whole(max_records, "max_records", least=0)

        def fetch() -> tuple[int, memoryview]:
            partition = self._partition
            start = partition.log_start_offset if start_offset is None else start_offset
            fetched = partition.fetch_records(fetch_offset=start, max_bytes=max_bytes)
            return start, fetched.records

        start, records = self._node.run(fetch)
        return RecordBatchView(
            records,
            topic=self.topic,
            partition=self.index,
            start_offset=start,
            max_records=max_records,
        )

    def scan(
        self,
        start_offset: int | None = None,
        end_offset: int | None = None,
        *,
        max_bytes: int = SCAN_BYTES,
    ) -> Iterator[RecordBatchView]:
        """Views one after the other, up to `end_offset` (exclusive; None: the log's end by now)."""
        end = self.log_end_offset if end_offset is None else end_offset
        offset = self.log_start_offset if start_offset is None else start_offset
        while offset < end:
            view = self.read(offset, max_bytes=max_bytes, max_records=end - offset)
            below_end = view.count_below(end)
            if below_end < len(view):
                view = self.read(offset, max_bytes=max_bytes, max_records=below_end)
            if view.next_offset == offset:
                return
            if len(view):
                yield view
            offset = view.next_offset

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """All records as an Arrow stream, read segment by segment; see `RecordBatchView`."""
        return arrow_stream_of(self.scan(), requested_schema)

    def __arrow_c_schema__(self) -> object:
        """The columns' names and types."""
        return export_arrow_schema()

    def offset_for(self, timestamp: int) -> int | None:
        """The earliest record's offset at or after `timestamp` [ms]; None where there is none."""
        time_ms = as_whole(timestamp, "timestamp")
        found = self._node.run(lambda: self._partition.offset_for_timestamp(time_ms))
        return found.offset if found.offset >= 0 else None

    @property
    def log_start_offset(self) -> int:
        """The first offset that can be read."""
        return self._node.run(lambda: self._partition.log_start_offset)

    @property
    def log_end_offset(self) -> int:
        """The offset that the next record gets."""
        return self._node.run(lambda: self._partition.log_end_offset)

    @property
    def durable_offset(self) -> int:
        """Everything below it is on disk for certain."""
        return self._node.run(lambda: self._partition.usable_log().recovery_point)

    # -- change

    def truncate_before(self, offset: int) -> int:
        """Give up the records below `offset` (Kafka's DeleteRecords); the new log_start_offset.

        Their segments are deleted; views on them stay readable.  Raises OffsetOutOfRangeError
        above the log's end.
        """
        bound = as_whole(offset, "offset")
        return self._node.run(lambda: self._partition.delete_records(bound))

    def flush(self) -> int:
        """Return when all that was appended before is on disk; `durable_offset` by then."""
        self._node.run(lambda: self._node.start_flush(self._partition)).wait()
        return self.durable_offset

    def _append_batches(
        self, batches: Iterable[bytearray], *, is_inspected: bool, is_synced: bool
    ) -> Receipt:
        placed, wait = self._node.append_together(
            self._partition,
            batches,
            _INSPECTED if is_inspected else _TRUSTED,
            is_synced=is_synced or self._partition.usable_log().config.flush_messages == 1,
        )
        if wait is not None:
            wait.wait()
        first_offset, end_offset, leader_epoch = placed
        return Receipt(
            self.topic,
            self.index,
            first_offset,
            end_offset - first_offset,
            leader_epoch,
            wait is not None,
        )

    def _is_synced_by(self, durability: str | None) -> bool:
        return is_synced_by(durability, self._durability)

    @property
    def _compression(self) -> str:
        name = self._partition.usable_log().config.compression_type
        return "none" if name in ("producer", "uncompressed") else name

    @property
    def _needs_keys(self) -> bool:
        return self._partition.usable_log().config.is_compacted

    @property
    def _max_message_bytes(self) -> int:
        config = self._partition.usable_log().config
        return min(config.max_message_bytes, config.segment_bytes)
