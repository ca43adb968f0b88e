"""Producer ids come in blocks and are never given out twice."""

import asyncio
from typing import Any

import pytest

from headrace.api.coordinator.producer_ids import ProducerIdManager
from headrace.core.errors import KafkaStorageError
from headrace.raft.cluster_commands import AllocateProducerIds
from headrace.raft.cluster_state import ClusterState


def test_ids_are_distinct_and_a_new_block_is_taken_when_one_is_used_up() -> None:
    state = ClusterState()
    proposals: list[AllocateProducerIds] = []

    async def propose(command: AllocateProducerIds) -> Any:
        proposals.append(command)
        await asyncio.sleep(0)
        return state.apply(command)

    async def take() -> list[int]:
        manager = ProducerIdManager(1, propose, block_size=4)
        return await asyncio.gather(*(manager.next_producer_id() for _ in range(10)))

    assert sorted(asyncio.run(take())) == list(range(10))
    assert len(proposals) == 3


def test_new_manager_goes_on_behind_the_block_of_the_one_before() -> None:
    state = ClusterState()

    async def propose(command: AllocateProducerIds) -> Any:
        return state.apply(command)

    assert asyncio.run(ProducerIdManager(1, propose, 10).next_producer_id()) == 0
    assert asyncio.run(ProducerIdManager(1, propose, 10).next_producer_id()) == 10


def test_failed_proposal_reaches_the_caller_and_the_next_one_tries_again(tmp_path: Any) -> None:
    state = ClusterState()
    failures = [KafkaStorageError(tmp_path, "disk full")]

    async def propose(command: AllocateProducerIds) -> Any:
        if failures:
            raise failures.pop()
        return state.apply(command)

    async def run() -> int:
        manager = ProducerIdManager(1, propose, 10)
        with pytest.raises(KafkaStorageError):
            await manager.next_producer_id()
        return await manager.next_producer_id()

    assert asyncio.run(run()) == 0
