"""A broker that starts waits for its own syncs before it serves, not for those it is to serve."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from headrace.api.broker import Broker
from headrace.core.log_config import LogConfig
from tests.raft.test_partition import FLUSHED, Lone


def settling(led: Lone) -> Any:
    """What `Broker.settle` needs of a broker that leads one partition."""
    replicas = SimpleNamespace(partitions=lambda: [led.partition])
    return SimpleNamespace(replicas=replicas, _loop=asyncio.get_running_loop())


def test_a_sync_is_waited_for(tmp_path: Path) -> None:
    synced = Lone(tmp_path, config=FLUSHED)
    synced.partition.append_records(b"a", required_acks=-1)

    async def settle() -> None:
        settled = asyncio.ensure_future(Broker.settle(settling(synced)))
        await asyncio.sleep(0)
        assert not settled.done()
        synced.log.finish_flush()
        await asyncio.wait_for(settled, 5)

    asyncio.run(settle())


def test_followers_are_not_waited_for(tmp_path: Path) -> None:
    """Else no broker of a topic with min.insync.replicas=2 starts that leads before it serves."""
    few = Lone(tmp_path, config=LogConfig(min_insync_replicas=2), replicas=(0, 1))
    few.partition.append_records(b"a", required_acks=1)
    assert few.partition.high_watermark < few.partition.log_end_offset

    async def settle() -> None:
        await asyncio.wait_for(Broker.settle(settling(few)), 5)

    asyncio.run(settle())
