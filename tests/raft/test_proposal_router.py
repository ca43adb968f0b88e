"""Proposals on their way, with groups and links made up by the test."""

from typing import Any

import pytest

from headrace.raft.errors import (
    GroupSealedError,
    NotControllerError,
    ReplicationError,
    UnknownOutcomeError,
)
from headrace.raft.link_messages import NO_BROKER, LinkMessage, RefusalReason
from headrace.raft.proposal_router import OWN_GROUP_LATE_S, ProposalRouter

ME = 1


class FakeGroup:
    def __init__(self, *, is_controller: bool = False, leader_id: int | None = None) -> None:
        self.is_controller = is_controller
        self.leader_id = leader_id
        self.proposed: list[tuple[bytes, Any]] = []

    def propose(self, payload: bytes, on_done: Any, deadline_s: float) -> None:
        self.proposed.append((payload, on_done))


class Stage:
    def __init__(
        self,
        group: FakeGroup | None,
        live: tuple[int, ...] = (ME, 2, 3),
        first_request_id: int = 1,
    ) -> None:
        self.group = group
        self.live = dict.fromkeys(live)
        self.sent: list[tuple[int, tuple[Any, ...]]] = []
        self.outcomes: list[Any] = []
        self.router = ProposalRouter(
            broker_id=ME,
            find_group=lambda group_id: self.group,
            send=self.send,
            live_ids=lambda: self.live,
            retry_s=0.02,
            first_request_id=first_request_id,
        )

    def send(self, broker_id: int, message: tuple[Any, ...]) -> bool:
        if broker_id not in self.live:
            return False
        self.sent.append((broker_id, message))
        return True

    def propose(self, deadline_s: float = 5.0) -> None:
        self.router.propose("g", b"x", self.outcomes.append, deadline_s, 0.0)

    @property
    def request_id(self) -> int:
        return int(self.sent[-1][1][2])

    def refuse(self, controller_id: int = NO_BROKER, reason: int = 1) -> None:
        self.router.refused(self.request_id, reason, controller_id, "because", 0.0)


def test_own_controller_is_asked_here() -> None:
    stage = Stage(FakeGroup(is_controller=True))
    stage.propose()
    assert stage.group is not None
    payload, on_done = stage.group.proposed[0]
    on_done((7, 1))
    assert (payload, stage.outcomes, stage.router.pending_count) == (b"x", [(7, 1)], 0)


def test_a_known_controller_elsewhere_is_asked_over_its_link() -> None:
    stage = Stage(FakeGroup(leader_id=3))
    stage.propose()
    assert stage.sent == [(3, ("g", LinkMessage.PROPOSE, 1, 5000, b"x"))]
    stage.router.proposed(1, 9, b"r")
    assert stage.outcomes == [(9, b"r")]


def test_a_stranger_asks_every_live_broker_in_turn_and_follows_hints() -> None:
    stage = Stage(None)
    stage.propose()
    assert [broker_id for broker_id, _ in stage.sent] == [2]
    stage.refuse()
    stage.router.check(0.02)
    assert [broker_id for broker_id, _ in stage.sent] == [2, 3]
    stage.refuse(controller_id=2)
    assert [broker_id for broker_id, _ in stage.sent] == [2, 3, 2]
    stage.propose()
    assert stage.sent[-1][0] == 2, "the hint is remembered"


def test_hints_in_a_circle_do_not_spin() -> None:
    stage = Stage(None)
    stage.propose()
    for _ in range(50):
        stage.refuse(controller_id=5 - stage.sent[-1][0])
    assert len(stage.sent) < 20


def test_without_a_controller_it_waits_and_tries_again() -> None:
    group = FakeGroup()
    stage = Stage(group)
    stage.propose()
    assert stage.sent == []
    group.leader_id = 2
    stage.router.check(0.01)
    assert stage.sent == [], "not before its time"
    stage.router.check(0.021)
    assert [broker_id for broker_id, _ in stage.sent] == [2]


def test_a_group_that_ends_here_ends_what_waits_for_its_controller() -> None:
    stage = Stage(FakeGroup())
    stage.propose()
    stage.group = None  # its last decision was heard: a next generation decides from now on
    stage.router.check(0.021)
    assert isinstance(stage.outcomes[0], GroupSealedError)
    assert (stage.sent, stage.router.pending_count) == ([], 0)


def test_a_group_that_ends_here_leaves_a_proposal_to_the_broker_that_holds_it() -> None:
    stage = Stage(FakeGroup(leader_id=3))
    stage.propose()
    stage.group = None
    stage.router.check(0.021)
    assert stage.outcomes == []
    stage.refuse(controller_id=2)
    assert isinstance(stage.outcomes[0], GroupSealedError)
    assert len(stage.sent) == 1


def test_a_lost_link_means_an_unknown_outcome_and_no_second_try() -> None:
    stage = Stage(FakeGroup(leader_id=3))
    stage.propose()
    stage.router.peer_down(2)
    assert not stage.outcomes
    stage.router.peer_down(3)
    assert isinstance(stage.outcomes[0], UnknownOutcomeError)
    stage.router.proposed(1, 9, 0)
    assert len(stage.outcomes) == 1


def test_what_an_earlier_life_asked_for_is_no_outcome_of_this_one() -> None:
    earlier = Stage(FakeGroup(leader_id=3), first_request_id=1000)
    later = Stage(FakeGroup(leader_id=3), first_request_id=7000)
    for stage in (earlier, later):
        stage.propose()
    later.router.proposed(earlier.request_id, 9, 0)
    later.router.refused(earlier.request_id, RefusalReason.GROUP_SEALED, NO_BROKER, "", 0.0)
    assert later.outcomes == []
    later.router.proposed(later.request_id, 10, 0)
    assert later.outcomes == [(10, 0)]


@pytest.mark.parametrize(
    ("leader_id", "error"), [(None, NotControllerError), (3, UnknownOutcomeError)]
)
def test_the_deadline_ends_it(leader_id: int | None, error: type[Exception]) -> None:
    stage = Stage(FakeGroup(leader_id=leader_id))
    stage.propose(deadline_s=1.0)
    stage.router.check(0.99)
    assert not stage.outcomes
    stage.router.check(1.02)
    assert [type(outcome) for outcome in stage.outcomes] == [error]


def test_an_own_group_that_may_tell_nothing_is_not_waited_for_much_longer() -> None:
    stage = Stage(FakeGroup(is_controller=True))
    stage.propose(deadline_s=1.0)
    stage.router.check(1.02)
    assert not stage.outcomes, "the group is about to say more than that it is unknown"
    stage.router.check(1.0 + OWN_GROUP_LATE_S)
    assert [type(outcome) for outcome in stage.outcomes] == [UnknownOutcomeError]
    assert stage.group is not None
    stage.group.proposed[0][1]((7, 1))
    assert (len(stage.outcomes), stage.router.pending_count) == (1, 0)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (RefusalReason.UNKNOWN_OUTCOME, UnknownOutcomeError),
        (RefusalReason.GROUP_SEALED, GroupSealedError),
        (RefusalReason.OTHER, ReplicationError),
        (99, ReplicationError),
    ],
)
def test_other_refusals_are_outcomes(reason: int, error: type[Exception]) -> None:
    stage = Stage(FakeGroup(leader_id=3))
    stage.propose()
    stage.refuse(reason=reason)
    assert [type(outcome) for outcome in stage.outcomes] == [error]


def test_own_group_that_lost_the_lead_passes_it_on() -> None:
    group = FakeGroup(is_controller=True)
    stage = Stage(group)
    stage.propose()
    group.is_controller, group.leader_id = False, 2
    group.proposed[0][1](NotControllerError("lost", 2))
    stage.router.check(0.1)
    assert [broker_id for broker_id, _ in stage.sent] == [2]


def test_others_are_served_by_the_controller_only() -> None:
    stage = Stage(None)
    stage.router.serve(2, "g", 5, 1.0, b"x")
    stage.group = FakeGroup(leader_id=3)
    stage.router.serve(2, "g", 6, 1.0, b"x")
    stage.group = FakeGroup(is_controller=True)
    stage.router.serve(2, "g", 7, 1.0, b"x")
    stage.group.proposed[0][1]((4, None))
    stage.router.serve(2, "g", 8, 1.0, b"x")
    stage.group.proposed[1][1](GroupSealedError("sealed"))
    kinds = [message[1:5] for _, message in stage.sent]
    assert kinds == [
        (LinkMessage.REFUSED, 5, RefusalReason.NOT_CONTROLLER, NO_BROKER),
        (LinkMessage.REFUSED, 6, RefusalReason.NOT_CONTROLLER, 3),
        (LinkMessage.PROPOSED, 7, 4, None),
        (LinkMessage.REFUSED, 8, RefusalReason.GROUP_SEALED, NO_BROKER),
    ]


def test_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.raft.proposal_router.MAX_PROPOSALS", 2)
    stage = Stage(FakeGroup())
    for _ in range(3):
        stage.propose()
    assert [type(outcome) for outcome in stage.outcomes] == [ReplicationError]
    stage.router.close()
    assert len(stage.outcomes) == 3
