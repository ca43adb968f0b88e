"""`Topic`: a name, its partitions, and which of them a record goes to."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NoReturn

from ...core.arrow_export import export_arrow_schema
from ...core.errors import RecordTypeError
from ...core.partitioner import Partitioner
from ...core.record_appender import TopicAppender
from ...raft import Partition, TopicImage
from ...raft.errors import UnknownTopicOrPartitionError
from .arrow_columns import open_source, read_columns
from .columns import RecordBatchView, arrow_stream_of
from .durability import Durability
from .errors import InvalidArgumentError, refuse_transactions
from .inputs import as_list, as_rows, as_timestamps, as_whole, check_lengths
from .node import Node
from .receipt import Receipt
from .topic_partition import DEFAULT_READ_BYTES, SCAN_BYTES, TopicPartition

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Buffer

    from .tail import Start, Tail
    from .topic_partition import ArrowSource


class Topic(TopicAppender[TopicPartition]):
    """One topic of a store; any thread may use it.  Made by `LogStore.topic` and `store[name]`."""

    def __init__(
        self,
        node: Node,
        image: TopicImage,
        partitions: Iterable[Partition],
        durability: Durability,
    ) -> None:
        self.name = image.name
        found = tuple(TopicPartition(node, partition, durability) for partition in partitions)
        start = int(node.clock.random_float() * len(found))
        super().__init__(found, Partitioner(len(found), start))
        self._node = node

    def __repr__(self) -> str:
        return f"<Topic {self.name}: {len(self.partitions)} partitions>"

    def __len__(self) -> int:
        """How many records can be read; gaps that compaction left are counted."""
        return sum(each.log_end_offset - each.log_start_offset for each in self.partitions)

    @property
    def config(self) -> Mapping[str, str]:
        """The settings that differ from the defaults, as Kafka names and prints them."""
        return self._node.run(
            lambda: dict(self._node.cluster_group.state.topics[self.name].configs)
        )

    def partition(self, index: int) -> TopicPartition:
        """One of `partitions`; raises UnknownTopicOrPartitionError."""
        index = as_whole(index, "partition")
        if not 0 <= index < len(self.partitions):
            raise UnknownTopicOrPartitionError(
                f"{self.name} has the partitions 0 to {len(self.partitions) - 1}, not {index}",
                self.name,
                index,
            )
        return self.partitions[index]

    def append_many(
        self,
        values: "Iterable[Buffer | None] | ArrayLike",
        keys: "Iterable[Buffer | None] | ArrayLike | None" = None,
        *,
        timestamps: "ArrayLike | None" = None,
        partition: int | None = None,
        durability: str | None = None,
    ) -> Receipt:
        """Append records, all or none a partition; unpacks as (first offset, count).

        Without `partition`, records without keys go to the partition that is being filled, and
        those with keys each where its key belongs: the receipt then has `parts`.  See
        `TopicPartition.append_many`.
        """
        if keys is not None and self._spreads(partition):
            value_list, key_list = as_list(values, "values"), as_list(keys, "keys")
            if key_list:
                return Receipt.spread(
                    self.append_by_key(
                        value_list, key_list, timestamps=timestamps, durability=durability
                    ),
                    self.partitioner.partition_of(key_list[0], 0),
                )
        return self._chosen(partition).append_many(
            values, keys, timestamps=timestamps, durability=durability
        )

    def append_by_key(
        self,
        values: "Iterable[Buffer | None] | ArrayLike",
        keys: "Iterable[Buffer | None] | ArrayLike",
        *,
        timestamps: "ArrayLike | None" = None,
        durability: str | None = None,
    ) -> list[Receipt]:
        """Append each record to the partition of its key; a receipt a partition that got some.

        Records keep their order within a partition.  What one partition refuses does not undo what
        others took.  A key of None goes to the partition that is being filled.
        """
        value_list, key_list = as_list(values, "values"), as_list(keys, "keys")
        check_lengths(len(value_list), len(key_list))
        stamps = as_timestamps(timestamps, len(value_list))
        rows_of: dict[int, list[int]] = {}
        for row, key in enumerate(key_list):
            try:
                index = self.partitioner.partition_of(key, 0)
            except RecordTypeError as error:
                raise RecordTypeError("key", row, error.type_name) from None
            rows_of.setdefault(index, []).append(row)
        return [
            self.partitions[index].append_many(
                [value_list[row] for row in rows],
                [key_list[row] for row in rows],
                timestamps=None if stamps is None else stamps[rows],
                durability=durability,
            )
            for index, rows in sorted(rows_of.items())
        ]

    def append_array(
        self,
        array: "ArrayLike",
        keys: "ArrayLike | None" = None,
        *,
        timestamps: "ArrayLike | None" = None,
        partition: int | None = None,
        durability: str | None = None,
    ) -> Receipt:
        """Append fixed-width records, all or none a partition; unpacks as (first, count).

        See `TopicPartition.append_array`, and `append_many` for `partition`.
        """
        if keys is not None and self._spreads(partition):
            value_rows, key_rows = as_rows(array, "array"), as_rows(keys, "keys")
            return self.append_many(
                [row.tobytes() for row in value_rows],
                [row.tobytes() for row in key_rows],
                timestamps=timestamps,
                durability=durability,
            )
        return self._chosen(partition).append_array(
            array, keys, timestamps=timestamps, durability=durability
        )

    def append_arrow(
        self,
        source: "ArrowSource",
        *,
        value: str | None = None,
        key: str | None = None,
        timestamp: str | None = None,
        headers: str | None = None,
        partition: int | None = None,
        durability: str | None = None,
    ) -> Receipt:
        """Append a row a record, all or none a partition; unpacks as (first, count).

        See `TopicPartition.append_arrow`, and `append_many` for `partition`.
        """
        columns = read_columns(
            open_source(source), value=value, key=key, timestamp=timestamp, headers=headers
        )
        if key is None or not self._spreads(partition):
            return self._chosen(partition)._append_columns(columns, durability)
        spread, first_partition = columns.by_partition(
            len(self.partitions), self.partitioner.partition_of(None, 0)
        )
        if not spread:
            return self._chosen(None)._append_columns(columns, durability)
        parts = [
            self.partitions[index]._append_columns(part, durability)
            for index, part in spread.items()
        ]
        return Receipt.spread(parts, first_partition)

    def transaction(self, *_: object, **__: object) -> NoReturn:
        """Raises UnsupportedOperationError, which says what comes near a transaction."""
        refuse_transactions()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Everything that can be read by now as an Arrow stream, partition by partition.

        So polars, duckdb, pandas and pyarrow read a topic as it is.  See `RecordBatchView`.
        """
        return arrow_stream_of(self.scan(), requested_schema)

    def __arrow_c_schema__(self) -> object:
        """The columns' names and types."""
        return export_arrow_schema()

    def read(
        self,
        start_offset: int | None = None,
        *,
        partition: int | None = None,
        max_bytes: int = DEFAULT_READ_BYTES,
        max_records: int | None = None,
    ) -> RecordBatchView:
        """Records of one partition as columns; `partition` may be left out where there is one.

        See `TopicPartition.read`.
        """
        if partition is None:
            partition = self._only_partition("partition(i).read, or scan")
        return self.partition(partition).read(
            start_offset, max_bytes=max_bytes, max_records=max_records
        )

    def scan(self, *, max_bytes: int = SCAN_BYTES) -> Iterator[RecordBatchView]:
        """Everything that can be read by now, partition by partition, as views."""
        for each in self.partitions:
            yield from each.scan(max_bytes=max_bytes)

    def tail(
        self,
        *,
        group: str | None = None,
        start: "Start" = "earliest",
        follow: bool = True,
        timeout: float | None = None,
    ) -> "Tail":
        """Every record from `start` on, then those that come: `for record in topic.tail(): ...`.

        With a `group`, where it goes on is kept in the folder as a Kafka consumer group's offset;
        `start` then counts only for partitions it has none in; one tail of a group at a time.  A
        record counts as processed when the next is asked for, so after a crash some come again and
        none is lost.  Ends at the end of the log where `follow` is False, or after `timeout` [s]
        without a record.
        """
        from .tail import Tail

        return Tail(
            self._node, self.partitions, group=group, start=start, follow=follow, timeout=timeout
        )

    def offset_for(self, timestamp: int) -> list[int | None]:
        """A partition each: the offset of its earliest record at or after `timestamp` [ms]."""
        return [each.offset_for(timestamp) for each in self.partitions]

    def flush(self) -> None:
        """Return when all that was appended before is on disk."""
        for each in self.partitions:
            each.flush()

    def _spreads(self, partition: int | None) -> bool:
        """Whether keys decide where records go."""
        return partition is None and len(self.partitions) > 1

    def _chosen(self, partition: int | None) -> TopicPartition:
        """The partition that was asked for, or that records without a key go to."""
        if partition is None:
            partition = self.partitioner.partition_of(None, 1 << 20)
        return self.partition(partition)

    def _only_partition(self, instead: str) -> int:
        if len(self.partitions) > 1:
            raise InvalidArgumentError(
                "partition",
                None,
                f"{self.name} has {len(self.partitions)} partitions: give partition=, or use "
                f"{instead}",
            )
        return 0
