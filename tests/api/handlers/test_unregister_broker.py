"""UnregisterBroker where the cluster decides only now and then."""

import asyncio
from typing import Any

import pytest

from headrace.api.handlers import reassignments
from headrace.api.handlers.reassignments import handle_unregister_broker
from headrace.api.wire.error_codes import ErrorCode
from headrace.raft.cluster_commands import (
    ChangeVoters,
    Command,
    CreateTopic,
    ReassignPartitions,
    RegisterBroker,
    UnregisterBroker,
)
from headrace.raft.errors import NotControllerError, UnknownOutcomeError
from tests.support.admin_broker import NODE_ID, AdminBroker, ask_now

GONE, SPARE = 2, 3


class FlappingBroker(AdminBroker):
    """Knows a dead voter and a spare one; `outcomes` come before proposals are carried out."""

    def __init__(self, *outcomes: Exception | str) -> None:
        super().__init__()
        self.outcomes = list(outcomes)
        for broker_id in (GONE, SPARE):
            self.cluster_state.apply(RegisterBroker(broker_id, 1, "localhost", 9092 + broker_id))
        self.cluster_state.apply(ChangeVoters(0, (NODE_ID, GONE)))

    def live_broker_ids(self) -> frozenset[int]:
        return frozenset((NODE_ID, SPARE))

    async def propose(self, command: Command) -> Any:
        self.proposed.append(command)
        outcome = self.outcomes.pop(0) if self.outcomes else "applied"
        if outcome == "applied, but nobody knows":
            self.cluster_state.apply(command)
            raise UnknownOutcomeError("the link failed")
        if isinstance(outcome, Exception):
            raise outcome
        return self.cluster_state.apply(command)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassignments, "FORGET_AGAIN_S", 0)


def unregister(broker: FlappingBroker) -> tuple[ErrorCode, str | None]:
    answer = ask_now(broker, handle_unregister_broker, 64, 0, {"broker_id": GONE})
    return ErrorCode(answer["error_code"]), answer["error_message"]


@pytest.mark.parametrize(
    "outcomes",
    [
        (),
        (NotControllerError("none"), UnknownOutcomeError("late")),
        ("applied, but nobody knows",),
        ("applied", UnknownOutcomeError("late"), NotControllerError("none")),
        ("applied", "applied, but nobody knows"),
    ],
    ids=str,
)
def test_a_dead_voter_is_replaced_and_forgotten_in_the_end(outcomes: Any) -> None:
    broker = FlappingBroker(*outcomes)
    assert unregister(broker) == (ErrorCode.NONE, None)
    assert GONE not in broker.cluster_state.brokers
    assert broker.cluster_state.voters == (NODE_ID, SPARE)


def test_voters_that_changed_meanwhile_are_looked_at_again() -> None:
    broker = FlappingBroker()
    plain = broker.propose

    async def overtaken(command: Command) -> Any:
        broker.propose = plain  # type: ignore[method-assign]
        broker.cluster_state.apply(ChangeVoters(1, (NODE_ID, GONE, SPARE)))
        return await plain(command)

    broker.propose = overtaken  # type: ignore[method-assign]
    assert unregister(broker) == (ErrorCode.NONE, None)
    assert broker.cluster_state.voters == (NODE_ID, SPARE)
    assert isinstance(broker.proposed[-1], UnregisterBroker)


def test_what_stays_undecided_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassignments, "FORGET_WITHIN_S", 0.05)
    broker = FlappingBroker(*[UnknownOutcomeError("the link failed")] * 1_000_000)
    code, message = unregister(broker)
    assert code == ErrorCode.REQUEST_TIMED_OUT
    assert message is not None
    assert message.startswith(f"broker {GONE} is not forgotten after ")
    assert message.endswith("the link failed; 2 brokers vote on the cluster, up are [1, 3]")


def test_a_broker_that_may_not_go_is_refused_at_once() -> None:
    broker = FlappingBroker()
    broker.live_broker_ids = lambda: frozenset((NODE_ID, GONE))  # type: ignore[method-assign]
    assert unregister(broker)[0] == ErrorCode.INVALID_REQUEST
    assert not broker.proposed


def test_a_broker_that_partitions_are_on_the_move_to_is_not_forgotten() -> None:
    broker = FlappingBroker()
    broker.cluster_state.apply(CreateTopic("clicks", b"c" * 16, ((NODE_ID,),)))
    broker.cluster_state.apply(ReassignPartitions(b"c" * 16, ((0, (GONE,)),)))
    code, message = unregister(broker)
    assert code == ErrorCode.INVALID_REQUEST
    assert message == f"1 partitions are on the move to broker {GONE}, clicks-0 among them"
    assert not broker.proposed


def test_what_was_not_decided_is_asked_for_again_once_other_brokers_decide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reassignments, "FORGET_AGAIN_S", 3_600)
    broker = FlappingBroker(NotControllerError("none"))
    plain = broker.propose

    async def undecided(command: Command) -> Any:
        def elect() -> None:
            broker.controller_id = SPARE
            broker.changes.note()

        broker.propose = plain  # type: ignore[method-assign]
        asyncio.get_running_loop().call_soon(elect)
        return await plain(command)

    broker.propose = undecided  # type: ignore[method-assign]
    assert unregister(broker) == (ErrorCode.NONE, None)
