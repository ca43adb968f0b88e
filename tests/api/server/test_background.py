"""The timetable of housekeeping."""

import asyncio
import logging
from functools import partial
from typing import Any
from unittest import mock

import pytest

from headrace.api.server.background import Background, Job


def test_jobs_run_again_and_again_until_stopped() -> None:
    async def scenario() -> None:
        runs: list[str] = []
        enough = asyncio.Event()

        def run() -> None:
            runs.append("ran")
            if len(runs) == 3:
                enough.set()

        background = Background([Job("a", 1, run), Job("b", 3_600_000, lambda: runs.append("b"))])
        await enough.wait()
        background.stop()
        await asyncio.sleep(0.01)
        assert runs == ["ran"] * 3

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_job_that_fails_keeps_its_place(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        runs: list[int] = []
        again = asyncio.Event()

        def fail() -> None:
            runs.append(1)
            if len(runs) == 2:
                again.set()
            raise OSError("the disk is gone")

        background = Background([Job("log.retention.check.interval.ms", 1, fail)])
        await again.wait()
        background.stop()

    caplog.set_level(logging.ERROR)
    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert "log.retention.check.interval.ms" in caplog.messages[0]


def test_jobs_of_one_interval_wake_the_loop_once() -> None:
    async def scenario() -> None:
        runs: list[str] = []
        loop = asyncio.get_running_loop()
        timers: list[float] = []
        call_later = loop.call_later

        def count(delay_s: float, *call: Any) -> asyncio.TimerHandle:
            timers.append(delay_s)
            return call_later(delay_s, *call)

        with mock.patch.object(loop, "call_later", count):
            jobs = [Job(name, 1000, partial(runs.append, name)) for name in "abc"]
            background = Background([*jobs, Job("rare", 3_600_000, lambda: None)])
        assert timers == [1.0, 3600.0]
        background._run(1000, jobs)
        background.stop()
        assert runs == ["a", "b", "c"]

    asyncio.run(asyncio.wait_for(scenario(), 60))
