"""The store for asyncio: the same calls, awaited; each runs on a thread and blocks no loop.

The table of each class names the methods that are awaited; signature, words and types are those of
the method itself (`inspect.signature` and `help` show them, and type checkers see them).
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Generator, Mapping
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, NoReturn, ParamSpec, Self, TypeVar

from ...core.record import Record
from .errors import refuse_transactions
from .log_store import LogStore
from .tail import Start, Tail
from .topic import Topic
from .topic_partition import TopicPartition

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


class Twin(Generic[S]):
    """What awaits the calls of another object."""

    @abstractmethod
    def _awaits(self) -> S:
        """The object whose methods are called."""

    def transaction(self, *_: object, **__: object) -> NoReturn:
        """Raises UnsupportedOperationError, which says what comes near a transaction."""
        refuse_transactions()


def awaited(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[Twin[S], P], Coroutine[Any, Any, R]]:
    """`method` of the twin's object, called on a thread."""
    name = method.__name__

    @wraps(method)
    async def call(self: Twin[S], /, *args: P.args, **kwargs: P.kwargs) -> R:
        found: R = await asyncio.to_thread(getattr(self._awaits(), name), *args, **kwargs)
        return found

    return call


class AsyncTopicPartition(Twin[TopicPartition]):
    """See `TopicPartition`, which is its attribute `partition`."""

    def __init__(self, partition: TopicPartition) -> None:
        self.partition = partition
        self.topic = partition.topic
        self.index = partition.index

    def _awaits(self) -> TopicPartition:
        return self.partition

    append = awaited(TopicPartition.append)
    append_many = awaited(TopicPartition.append_many)
    append_array = awaited(TopicPartition.append_array)
    append_arrow = awaited(TopicPartition.append_arrow)
    read = awaited(TopicPartition.read)
    offset_for = awaited(TopicPartition.offset_for)
    truncate_before = awaited(TopicPartition.truncate_before)
    flush = awaited(TopicPartition.flush)


class AsyncTopic(Twin[Topic]):
    """See `Topic`, which is its attribute `topic`.  Many appends awaited together share syncs."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.name = topic.name

    def _awaits(self) -> Topic:
        return self.topic

    append = awaited(Topic.append)
    append_many = awaited(Topic.append_many)
    append_by_key = awaited(Topic.append_by_key)
    append_array = awaited(Topic.append_array)
    append_arrow = awaited(Topic.append_arrow)
    read = awaited(Topic.read)
    offset_for = awaited(Topic.offset_for)
    flush = awaited(Topic.flush)

    def partition(self, index: int) -> AsyncTopicPartition:
        """See `Topic.partition`."""
        return AsyncTopicPartition(self.topic.partition(index))

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


class AsyncLogStore(Twin[LogStore]):
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

    delete_topic = awaited(LogStore.delete_topic)
    committed = awaited(LogStore.committed)
    commit = awaited(LogStore.commit)
    flush = awaited(LogStore.flush)
    verify = awaited(LogStore.verify)

    async def topic(
        self,
        name: str,
        *,
        partitions: int | None = None,
        config: Mapping[str, object] | None = None,
    ) -> AsyncTopic:
        """See `LogStore.topic`."""
        store = self._awaits()
        return AsyncTopic(
            await asyncio.to_thread(store.topic, name, partitions=partitions, config=config)
        )

    async def topics(self) -> list[str]:
        """The topics' names, sorted."""
        return await asyncio.to_thread(list, self._awaits())

    async def close(self) -> None:
        """See `LogStore.close`."""
        if self._store is not None:
            await asyncio.to_thread(self._store.close)

    async def _open(self) -> Self:
        if self._store is None:
            self._store = await asyncio.to_thread(self._open_store)
        return self

    def _awaits(self) -> LogStore:
        if self._store is None:
            raise RuntimeError("the store is not open yet: use `async with`, or await it")
        return self._store


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
