"""The store on an event loop: the same answers, and the loop goes on turning."""

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import headrace
from headrace.api.embedded.async_store import AsyncTopicPartition
from headrace.core.errors import LogClosedError

DEADLINE_S = 60


def test_a_store_is_opened_written_read_and_closed(folder: Path) -> None:
    async def use() -> None:
        async with headrace.aopen(folder) as store:
            clicks = await store.topic("clicks", partitions=2)
            assert await clicks.append(b"a", key=b"k", partition=0) == 0
            assert tuple(await clicks.append_many([b"b", b"c"], partition=0)) == (1, 2)
            assert tuple(await clicks.append_array(np.arange(3), partition=1)) == (0, 3)
            assert tuple(await clicks.append_arrow(clicks.topic, partition=1)) == (3, 6)
            assert (await clicks.read(1, partition=0)).to_pylist() == [b"b", b"c"]
            await clicks.flush()
            await store.flush()
            await store.commit("report", {("clicks", 0): 1})
            assert await store.committed("report") == {("clicks", 0): 1}
            assert (await store.topics(), await store.verify()) == (["clicks"], [])
            await store.delete_topic("clicks")
            assert await store.topics() == []
        with pytest.raises(LogClosedError):
            await store.topics()

    asyncio.run(use())


TWINS = [
    (AsyncTopicPartition, headrace.TopicPartition, {"scan"}),
    (headrace.AsyncTopic, headrace.Topic, {"scan"}),
    (headrace.AsyncLogStore, headrace.LogStore, {"add_partitions"}),
]


@pytest.mark.parametrize(("twin", "original", "left_out"), TWINS)
def test_a_twin_has_every_method_with_its_signature_and_words(
    twin: type, original: type, left_out: set[str]
) -> None:
    for name, member in inspect.getmembers(original, callable):
        if name.startswith("_") or name in left_out:
            continue
        found = getattr(twin, name)
        if hasattr(found, "__wrapped__"):
            assert inspect.iscoroutinefunction(found), name
            assert inspect.getdoc(found) == inspect.getdoc(member), name
        assert parameters_of(found) == parameters_of(member), name


def parameters_of(function: Callable[..., object]) -> list[tuple[str, object, object]]:
    parameters = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default) for each in parameters]


def test_a_partition_has_a_twin_too(folder: Path) -> None:
    async def use() -> None:
        async with headrace.aopen(folder) as store:
            topic = await store.topic("clicks", partitions=2)
            clicks = topic.partition(1)
            assert (clicks.topic, clicks.index) == ("clicks", 1)
            assert await clicks.append(b"a", headers={"h": b"1"}) == 0
            assert tuple(await clicks.append_many([b"b"])) == (1, 1)
            assert (await clicks.read(0)).to_pylist() == [b"a", b"b"]
            assert await clicks.offset_for(0) == 0
            assert await topic.offset_for(0) == [None, 0]
            assert [each.partition for each in await topic.append_by_key([b"c"], [b"k"])]
            assert await clicks.truncate_before(1) == 1
            with pytest.raises(headrace.UnsupportedOperationError):
                topic.transaction()

    asyncio.run(use())


def test_it_may_be_awaited_and_refuses_before(folder: Path) -> None:
    async def use() -> None:
        store = headrace.aopen(folder)
        with pytest.raises(RuntimeError, match="not open yet"):
            await store.topics()
        opened = await store
        assert opened is store
        await store.close()

    asyncio.run(use())


def test_appends_that_are_awaited_together_are_all_on_disk(folder: Path) -> None:
    async def use() -> None:
        async with headrace.aopen(folder, durability="fsync") as store:
            clicks = await store.topic("clicks")
            offsets = await asyncio.gather(*(clicks.append(b"%d" % n) for n in range(100)))
            assert sorted(offsets) == list(range(100))
            assert clicks.topic.partition(0).durable_offset == 100

    asyncio.run(use())


def test_a_tail_waits_without_blocking_the_loop(folder: Path) -> None:
    async def use() -> None:
        async with headrace.aopen(folder) as store:
            clicks = await store.topic("clicks")
            await clicks.append(b"0")
            seen: list[bytes | None] = []
            first = asyncio.Event()

            async def follow() -> None:
                async for record in clicks.tail(group="report"):
                    seen.append(record.value)
                    first.set()
                    if record.value == b"2":
                        return

            task = asyncio.create_task(follow())
            await asyncio.wait_for(first.wait(), DEADLINE_S)
            await clicks.append(b"1")
            await clicks.append(b"2")
            await asyncio.wait_for(task, DEADLINE_S)
            assert seen == [b"0", b"1", b"2"]

    asyncio.run(use())


def test_a_cancelled_wait_takes_nothing_and_leaves_no_thread(folder: Path) -> None:
    async def use() -> None:
        async with headrace.aopen(folder) as store:
            clicks = await store.topic("clicks")
            async with clicks.tail(group="report") as tail:
                for _ in range(3):
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(anext(tail), 0.02)
                await clicks.append_many([b"a", b"b"])
                assert (await anext(tail)).value == b"a"
                await tail.commit()
                assert (await anext(tail)).value == b"b"
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(tail), 0.02)
            assert await store.committed("report") == {("clicks", 0): 2}

    asyncio.run(asyncio.wait_for(use(), DEADLINE_S))


def test_a_cancelled_program_ends(folder: Path) -> None:
    """Its last thread waits for news that never come, and must not hold up the end."""

    async def use() -> None:
        async with headrace.aopen(folder) as store:
            async for _ in (await store.topic("clicks")).tail():
                raise AssertionError("there is nothing to come")

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(use(), 0.1)

    asyncio.run(asyncio.wait_for(run(), DEADLINE_S))


def test_a_tail_ends_at_the_end_and_after_its_timeout(folder: Path) -> None:
    async def use() -> None:
        async with headrace.aopen(folder) as store:
            clicks = await store.topic("clicks")
            await clicks.append_many([b"a", b"b"])
            assert [r.value async for r in clicks.tail(follow=False)] == [b"a", b"b"]
            assert [r.value async for r in clicks.tail(timeout=0.01)] == [b"a", b"b"]

    asyncio.run(use())


def test_the_stores_of_readers_and_brokers_have_a_twin_too(folder: Path) -> None:
    async def use() -> None:
        async with headrace.Broker(folder, topics=["clicks"]) as broker:
            served = await broker.store.aio
            await (await served.topic("clicks")).append(b"a")
            async with headrace.aopen(folder, mode="r") as attached:
                async for record in (await attached.topic("clicks")).tail():
                    assert record.value == b"a"
                    break

    asyncio.run(asyncio.wait_for(use(), DEADLINE_S))
