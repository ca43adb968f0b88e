"""An answer that comes by a call, awaited all the same."""

import asyncio
from typing import Any

from headrace.api.handlers.later_answer import LaterAnswer


class Promise(LaterAnswer):
    """Counts how often the wait was given up."""

    def __init__(self) -> None:
        self.stopped = 0

    def stop_waiting(self) -> None:
        self.stopped += 1


def test_an_awaited_promise_gives_its_body() -> None:
    async def scene() -> tuple[Any, int]:
        promise = Promise()
        asyncio.get_running_loop().call_soon(promise.give, {"error_code": 0})
        return await promise, promise.stopped

    assert asyncio.run(scene()) == ({"error_code": 0}, 1)


def test_a_promise_is_kept_once() -> None:
    promise, given = Promise(), []
    promise.on_body = given.append
    promise.give({"first": 1})
    promise.give({"second": 2})
    assert given == [{"first": 1}]


def test_a_body_that_nobody_wants_any_more_is_dropped() -> None:
    promise, given = Promise(), []
    promise.on_body = given.append
    promise.cancel()
    promise.give({})
    assert (given, promise.stopped) == ([], 1)


def test_whoever_is_cancelled_while_he_awaits_gives_the_wait_up() -> None:
    async def scene() -> tuple[bool, int]:
        promise = Promise()
        task = asyncio.ensure_future(promise)
        await asyncio.sleep(0)
        task.cancel()
        promise.give({})  # it comes before the task has heard
        await asyncio.wait([task])
        return task.cancelled(), promise.stopped

    assert asyncio.run(scene()) == (True, 1)
