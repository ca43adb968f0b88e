"""The store for asyncio: the same calls, awaited; each runs on a thread and blocks no loop."""

import asyncio
from collections.abc import Callable, Generator, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ...core.record import Record
from .columns import RecordBatchView
from .log_store import LogStore
from .receipt import Receipt
from .tail import Start, Tail
from .topic import Topic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Buffer

    from ...core.log_verify import Finding
    from .batching import Headers
    from .topic_partition import ArrowSource


class AsyncLogStore:
    """See `LogStore`; made by `headrace.aopen` and `LogStore.aio`.

    Opened by `async with`, or by awaiting it.
    """

    def __init__(self, open_store: Callable[[], LogStore]) -> None:
        self._open_store = open_store
        self._store: LogStore | None = None

    def __await__(self) -> Generator[Any, None, Self]:
        return self._open().__await__()

    async def __aenter__(self) -> Self:
        return await self._open()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def topic(
        self,
        name: str,
        *,
        partitions: int | None = None,
        config: Mapping[str, object] | None = None,
    ) -> "AsyncTopic":
        """See `LogStore.topic`."""
        store = self._opened()
        return AsyncTopic(
            await asyncio.to_thread(store.topic, name, partitions=partitions, config=config)
        )

    async def topics(self) -> list[str]:
        """The topics' names, sorted."""
        return await asyncio.to_thread(list, self._opened())

    async def delete_topic(self, name: str) -> None:
        """See `LogStore.delete_topic`."""
        await asyncio.to_thread(self._opened().delete_topic, name)

    async def committed(self, group: str) -> dict[tuple[str, int], int]:
        """See `LogStore.committed`."""
        return await asyncio.to_thread(self._opened().committed, group)

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """See `LogStore.commit`."""
        await asyncio.to_thread(self._opened().commit, group, offsets)

    async def flush(self) -> None:
        """See `LogStore.flush`."""
        await asyncio.to_thread(self._opened().flush)

    async def verify(self) -> list["Finding"]:
        """See `LogStore.verify`."""
        return await asyncio.to_thread(self._opened().verify)

    async def close(self) -> None:
        """See `LogStore.close`."""
        if self._store is not None:
            await asyncio.to_thread(self._store.close)

    async def _open(self) -> Self:
        if self._store is None:
            self._store = await asyncio.to_thread(self._open_store)
        return self

    def _opened(self) -> LogStore:
        if self._store is None:
            raise RuntimeError("the store is not open yet: use `async with`, or await it")
        return self._store


class AsyncTopic:
    """See `Topic`, which is its attribute `topic`."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.name = topic.name

    async def append(
        self,
        value: "Buffer | None",
        *,
        key: "Buffer | None" = None,
        headers: "Headers | None" = None,
        timestamp: int | None = None,
        partition: int | None = None,
        durability: str | None = None,
    ) -> int:
        """See `Topic.append`; many awaited together share syncs."""
        return await asyncio.to_thread(
            self.topic.append,
            value,
            key=key,
            headers=headers,
            timestamp=timestamp,
            partition=partition,
            durability=durability,
        )

    async def append_many(
        self,
        values: "Iterable[Buffer | None] | ArrayLike",
        keys: "Iterable[Buffer | None] | ArrayLike | None" = None,
        *,
        timestamps: "ArrayLike | None" = None,
        partition: int | None = None,
        durability: str | None = None,
    ) -> Receipt:
        """See `Topic.append_many`."""
        return await asyncio.to_thread(
            self.topic.append_many,
            values,
            keys,
            timestamps=timestamps,
            partition=partition,
            durability=durability,
        )

    async def append_array(
        self,
        array: "ArrayLike",
        keys: "ArrayLike | None" = None,
        *,
        timestamps: "ArrayLike | None" = None,
        partition: int | None = None,
        durability: str | None = None,
    ) -> Receipt:
        """See `Topic.append_array`."""
        return await asyncio.to_thread(
            self.topic.append_array,
            array,
            keys,
            timestamps=timestamps,
            partition=partition,
            durability=durability,
        )

    async def append_arrow(
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
        """See `Topic.append_arrow`."""
        return await asyncio.to_thread(
            self.topic.append_arrow,
            source,
            value=value,
            key=key,
            timestamp=timestamp,
            headers=headers,
            partition=partition,
            durability=durability,
        )

    async def read(
        self,
        start_offset: int | None = None,
        *,
        partition: int | None = None,
        max_records: int | None = None,
    ) -> RecordBatchView:
        """See `Topic.read`."""
        return await asyncio.to_thread(
            self.topic.read, start_offset, partition=partition, max_records=max_records
        )

    async def flush(self) -> None:
        """See `Topic.flush`."""
        await asyncio.to_thread(self.topic.flush)

    def tail(
        self,
        *,
        group: str | None = None,
        start: Start = "earliest",
        follow: bool = True,
        timeout: float | None = None,
    ) -> "AsyncTail":
        """See `Topic.tail`: `async for record in topic.tail(): ...`."""
        return AsyncTail(
            lambda: self.topic.tail(group=group, start=start, follow=follow, timeout=timeout)
        )


class AsyncTail:
    """See `Tail`.  An asynchronous iterator and context manager, for one task at a time.

    A cancelled wait takes nothing: the record comes at the next turn.
    """

    def __init__(self, make_tail: Callable[[], Tail]) -> None:
        self._make_tail = make_tail
        self._tail: Tail | None = None
        self._reading: asyncio.Future[bool] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Record:
        """The next record; waits for it without blocking the loop."""
        tail = await self._made()
        while True:
            await self._end_reading()  # of a turn that was cancelled
            record = tail.take_buffered()
            if record is not None:
                return record
            tail.resume()
            loop = asyncio.get_running_loop()
            self._reading = loop.run_in_executor(None, tail.read_ahead)
            try:
                has_more = await asyncio.shield(self._reading)
            except asyncio.CancelledError:
                tail.interrupt()
                raise
            if not has_more:
                raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        await self._made()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def commit(self) -> None:
        """See `Tail.commit`."""
        tail = await self._made()
        await self._end_reading()
        await asyncio.to_thread(tail.commit)

    async def close(self) -> None:
        """See `Tail.close`."""
        if self._tail is not None:
            await self._end_reading()
            await asyncio.to_thread(self._tail.close)

    async def _made(self) -> Tail:
        if self._tail is None:
            self._tail = await asyncio.to_thread(self._make_tail)
        return self._tail

    async def _end_reading(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None and not reading.done():
            assert self._tail is not None
            self._tail.interrupt()
            await reading
