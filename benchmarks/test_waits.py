"""How many turns of the loop does a request take that has to wait?  Counts, not times.

A turn is what the loop does between two looks at its sockets, which are a system call.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.frames import FETCH, batch_of, fetch_frame, produce_frame
from benchmarks.in_process import InProcessBroker
from headrace.api.wire import codec, headers
from tests.support.deciders import SharedGroup

FOLLOWER_VERSION = 17
FOLLOWERS = {101: 71, 102: 72}  # broker id -> incarnation
MAX_WAIT_MS = 60_000
ROUNDS = 5


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[InProcessBroker]:
    with InProcessBroker(tmp_path, {"clicks": 1}) as started:
        yield started


async def turns_until(holds: Callable[[], object]) -> int:
    turns = 0
    while not holds():
        assert turns < 100, "it never comes"
        await asyncio.sleep(0)
        turns += 1
    return turns


class Follower:
    """One follower's fetch session, over a connection without a socket."""

    def __init__(self, broker: InProcessBroker, broker_id: int) -> None:
        self._partition = broker.partition("clicks")
        self._identity = {"replica_id": broker_id, "replica_epoch": FOLLOWERS[broker_id]}
        self._connection = broker.connect()
        self._session_id = self._session_epoch = 0
        answer = b"".join(self.fetch(0, max_wait_ms=0))[4:]
        _, position = headers.decode_response_header(FETCH, FOLLOWER_VERSION, answer)
        body = codec.decode_response(FETCH, FOLLOWER_VERSION, answer, position)
        self._session_id, self._session_epoch = body["session_id"], 1
        assert self._session_id

    def fetch(self, offset: int, max_wait_ms: int = MAX_WAIT_MS) -> list[Any]:
        """What is answered, into which also comes what is answered later."""
        partition = {
            "partition": 0,
            "current_leader_epoch": self._partition.leader_epoch,
            "fetch_offset": offset,
            "last_fetched_epoch": -1,
            "log_start_offset": 0,
            "partition_max_bytes": 1 << 20,
        }
        body = {
            "replica_state": self._identity,
            "max_wait_ms": max_wait_ms,
            "min_bytes": 1,
            "max_bytes": 1 << 20,
            "session_id": self._session_id,
            "session_epoch": self._session_epoch,
            "topics": [{"topic_id": self._partition.topic_id, "partitions": [partition]}],
            "forgotten_topics_data": [],
        }
        frame = headers.encode_request_frame(FETCH, FOLLOWER_VERSION, 7, "follower", body)
        self._session_epoch += 1
        return self._connection.exchange(bytes(frame))


def followed(broker: InProcessBroker) -> list[Follower]:
    """Two followers in sync of what the broker leads."""
    partition = broker.partition("clicks")
    state = partition.group.state
    group = SharedGroup(
        replace(
            state,
            replicas=(*state.replicas, *FOLLOWERS),
            isr=(*state.isr, *FOLLOWERS.items()),
        )
    )
    partition._group, partition._incarnation_of = group, FOLLOWERS.get
    group.replicas.append(partition)
    partition.state_changed()
    return [Follower(broker, broker_id) for broker_id in FOLLOWERS]


def test_a_waiting_fetch_is_answered_in_the_turn_after_the_append(broker: InProcessBroker) -> None:
    connection, batch = broker.connect(), batch_of(1)

    async def scene() -> list[int]:
        turns = []
        for offset in range(ROUNDS):
            answer = connection.exchange(fetch_frame(offset, 1 << 20, max_wait_ms=MAX_WAIT_MS))
            assert answer == []
            broker.partition("clicks").append_records(batch, required_acks=1)
            turns.append(await turns_until(lambda answer=answer: answer))
        return turns

    assert broker.run(scene()) == [1] * ROUNDS


def test_each_step_of_replication_takes_one_turn(broker: InProcessBroker) -> None:
    """From the append to the followers' answers; from the last fetch to the producer's answer."""
    producer, frame = broker.connect(), produce_frame(9, batch_of(1), acks=-1)
    followers = followed(broker)

    async def scene() -> list[tuple[int, int]]:
        waiting = [each.fetch(0) for each in followers]
        turns = []
        for offset in range(ROUNDS):
            assert waiting == [[], []]
            produced = producer.exchange(frame)
            fetched = await turns_until(lambda waiting=waiting: all(waiting))
            assert produced == []
            waiting = [each.fetch(offset + 1) for each in followers]
            turns.append((fetched, await turns_until(lambda produced=produced: produced)))
        return turns

    assert broker.run(scene()) == [(1, 1)] * ROUNDS
    assert broker.partition("clicks").high_watermark == ROUNDS


def test_answers_to_all_that_is_committed_at_once_leave_in_one_write(
    broker: InProcessBroker,
) -> None:
    """A producer that does not batch has many requests under way on its one connection."""
    frame = produce_frame(9, batch_of(1), acks=-1)
    producer, followers = broker.connect(), followed(broker)

    async def scene() -> tuple[int, int, int]:
        for each in followers:
            each.fetch(0)
        answers = [producer.exchange(frame) for _ in range(ROUNDS)][-1]
        before = producer.transport.write_calls
        assert answers == []
        for each in followers:
            each.fetch(ROUNDS)
        turns = await turns_until(lambda: answers)
        return producer.transport.write_calls - before, len(answers), turns

    assert broker.run(scene()) == (1, ROUNDS, 1)


def test_waits_of_one_length_share_a_timer(
    broker: InProcessBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, batch = broker.connect(), batch_of(1)

    async def scene() -> int:
        loop = asyncio.get_running_loop()
        call_at, begun = loop.call_at, 0

        def counted(*arguments: Any, **fields: Any) -> asyncio.TimerHandle:
            nonlocal begun
            begun += 1
            return call_at(*arguments, **fields)

        for offset in range(ROUNDS):
            with monkeypatch.context() as patched:
                patched.setattr(loop, "call_at", counted)
                frame = fetch_frame(offset, 1 << 20, max_wait_ms=MAX_WAIT_MS)
                answer = connection.exchange(frame)
            broker.partition("clicks").append_records(batch, required_acks=1)
            await turns_until(lambda answer=answer: answer)
        return begun

    assert broker.run(scene()) == 1
