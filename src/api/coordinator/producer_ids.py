"""Producer ids for idempotent producers: taken from the cluster in blocks, handed out one by one.

A block is journaled before its first id is given out, so no id is ever given twice; what is left of
a block when the broker stops is never used.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ...raft.cluster_commands import AllocateProducerIds

PRODUCER_ID_BLOCK_SIZE = 1000


class ProducerIdManager:
    """Hands out producer ids.  Loop thread only."""

    def __init__(
        self,
        broker_id: int,
        propose: Callable[[AllocateProducerIds], Awaitable[Any]],
        block_size: int = PRODUCER_ID_BLOCK_SIZE,
    ) -> None:
        self._broker_id = broker_id
        self._propose = propose
        self._block_size = block_size
        self._next_id = 0
        self._end_id = 0  # exclusive
        self._lock = asyncio.Lock()

    async def next_producer_id(self) -> int:
        """An id nobody had before; raises what the proposal of a new block raised."""
        while self._next_id == self._end_id:
            async with self._lock:
                if self._next_id == self._end_id:
                    command = AllocateProducerIds(self._broker_id, self._block_size)
                    block = await self._propose(command)
                    self._next_id = block.first_producer_id
                    self._end_id = block.first_producer_id + block.count
        producer_id = self._next_id
        self._next_id += 1
        return producer_id
