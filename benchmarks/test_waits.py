"""How many turns of the loop does a request take that has to wait?  Counts, not times.

A turn is what the loop does between two looks at its sockets, which are a system call.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import headrace
from benchmarks.frames import batch_of, fetch_frame, produce_frame
from benchmarks.in_process import InProcessBroker
from benchmarks.in_process_followers import MAX_WAIT_MS, followed

ROUNDS = 5
CALLS_A_BATCH = 156
CALLS_A_CONSUMED_BATCH = 52
STALE_BROKER_EPOCH = 77


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


def test_a_follower_that_is_refused_does_not_wait(broker: InProcessBroker) -> None:
    """Though it has all there is, and another one waits."""
    follower, other = followed(broker)
    assert other.fetch(0) == []
    of_clicks = broker.partition("clicks")._followers
    assert of_clicks is not None
    of_clicks._incarnation_of = lambda _: None
    (refused,) = follower.answers(0)
    assert refused["error_code"] == STALE_BROKER_EPOCH


class OurCalls:
    """Functions of ours that Python calls, round by round.

    What else the broker does by its timetable falls into one round or another: the least counts.
    """

    def __init__(self) -> None:
        self.of_rounds: list[int] = []
        self._ours = str(Path(headrace.__file__).parent)

    def begin_round(self) -> None:
        self.of_rounds.append(0)
        sys.setprofile(self._count)

    def pause(self) -> None:
        sys.setprofile(None)

    def go_on(self) -> None:
        sys.setprofile(self._count)

    def _count(self, frame: FrameType, event: str, _: object) -> None:
        self.of_rounds[-1] += event == "call" and frame.f_code.co_filename.startswith(self._ours)


@pytest.fixture
def our_calls() -> Iterator[OurCalls]:
    calls = OurCalls()
    try:
        yield calls
    finally:
        calls.pause()


def test_calls_of_a_replicated_batch(broker: InProcessBroker, our_calls: OurCalls) -> None:
    """For a batch, its two followers and the answers.

    Moving a batch empties the processor's caches, so that the leader's interpreter costs several
    times what it does in a loop of small batches: this is the part that can be counted.
    """
    producer, frame = broker.connect(), produce_frame(9, batch_of(1), acks=-1)
    followers = followed(broker)

    async def scene() -> None:
        waiting = [each.fetch(0) for each in followers]
        for offset in range(2 * ROUNDS):
            our_calls.begin_round()
            produced = producer.exchange(frame)
            await turns_until(lambda waiting=waiting: all(waiting))
            waiting = [each.fetch(offset + 1) for each in followers]
            await turns_until(lambda produced=produced: produced)
            our_calls.pause()

    broker.run(scene())
    assert min(our_calls.of_rounds[ROUNDS:]) <= CALLS_A_BATCH


def test_calls_of_a_batch_for_a_consumer_that_has_all_before_it(
    broker: InProcessBroker, our_calls: OurCalls
) -> None:
    """From the request that waits for it to the answer, read_committed as librdkafka asks for."""
    consumer, batch = broker.connect(), batch_of(1)

    async def scene() -> None:
        for offset in range(2 * ROUNDS):
            frame = fetch_frame(offset, 1 << 20, max_wait_ms=MAX_WAIT_MS, isolation_level=1)
            our_calls.begin_round()
            answer = consumer.exchange(frame)
            our_calls.pause()
            assert answer == []
            broker.partition("clicks").append_records(batch, required_acks=1)
            our_calls.go_on()
            await turns_until(lambda answer=answer: answer)
            our_calls.pause()

    broker.run(scene())
    assert min(our_calls.of_rounds[ROUNDS:]) <= CALLS_A_CONSUMED_BATCH


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
