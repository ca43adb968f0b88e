"""Who waits for a change is woken by each kind of news, and by nothing else."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.api.changes_awaited import ChangesAwaited
from headrace.raft.cluster_commands import DeleteTopic


class Sources:
    """Where news comes from: the cluster's decisions, and partitions' new states."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[Any, Any], None]] = []
        self.on_state: list[Callable[[str], None]] = []
        cluster_group = SimpleNamespace(add_listener=self.listeners.append)
        self.changes = ChangesAwaited(cast(Any, cluster_group), cast(Any, self))

    def decide(self) -> None:
        for listener in self.listeners:
            listener(DeleteTopic(bytes(16)), None)

    def take_state(self) -> None:
        for on_state in self.on_state:
            on_state("p.0")

    def change_peers(self) -> None:
        self.changes.peers_changed({})


@pytest.mark.parametrize("news", [Sources.decide, Sources.take_state, Sources.change_peers])
def test_who_waits_looks_once_and_again_behind_news(news: Callable[[Sources], None]) -> None:
    async def wait() -> tuple[bool, int]:
        sources, looks, holds = Sources(), 0, False

        def look() -> bool:
            nonlocal looks
            looks += 1
            return holds

        waiting = asyncio.ensure_future(sources.changes.until(look, within_s=60))
        await asyncio.sleep(0)
        for each in (False, True):
            holds = each
            news(sources)
            news(sources)  # both in one turn of the loop: one look
            await asyncio.sleep(0)
        return await waiting, looks

    assert asyncio.run(wait()) == (True, 3)


def test_no_news_in_time_is_told() -> None:
    async def wait() -> bool:
        return await Sources().changes.until(lambda: False, within_s=0.001)

    assert asyncio.run(wait()) is False


def test_what_looking_raises_goes_to_who_waits() -> None:
    async def wait() -> None:
        sources = Sources()
        waiting = asyncio.ensure_future(sources.changes.until(lambda: bool(1 / 0), within_s=60))
        await asyncio.gather(waiting, return_exceptions=True)
        sources.decide()  # nobody waits any more
        waiting.result()

    with pytest.raises(ZeroDivisionError):
        asyncio.run(wait())
