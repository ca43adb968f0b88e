"""Whatever members do, a group's books balance and nobody waits for ever."""

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.api.coordinator.errors import GroupError, MemberIdRequiredError
from headrace.api.coordinator.group import JoinResult
from headrace.api.coordinator.group_settings import GroupSettings
from headrace.api.coordinator.group_state import GroupState
from tests.support.group_stage import Answer, GroupStage

SESSION_MS = 10_000
REBALANCE_MS = 20_000
PROTOCOLS = (
    (("range", b"1"),),
    (("range", b"2"), ("sticky", b"2")),
    (("sticky", b"3"), ("range", b"3")),
)
# Beyond the longest wait there is: a new member's join, and the rebalance it may start.
LONG_ENOUGH_MS = 300_000 + 3 * REBALANCE_MS
ANY_MEMBER = st.integers(0, 7)


class MembershipMachine(RuleBasedStateMachine):
    """Up to a few members, some static, over a store that may be slow."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = GroupStage(
            GroupSettings(group_initial_rebalance_delay_ms=3_000, group_max_size=5)
        )
        self.ids: list[str] = [""]
        self.waiting: list[Answer] = []

    def pick(self, number: int) -> str:
        return self.ids[number % len(self.ids)]

    def instance_of(self, member_id: str) -> str | None:
        member = self.stage.group.members.get(member_id)
        return None if member is None else member.group_instance_id

    def attempt(self, call: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except MemberIdRequiredError as error:
            self.ids.append(error.member_id)
        except GroupError:
            pass
        return None

    @rule(
        number=ANY_MEMBER,
        instance=st.sampled_from((None, "a", "b")),
        protocols=st.sampled_from(PROTOCOLS),
        requires_id=st.booleans(),
        version_9=st.booleans(),
    )
    def join(self, number: int, instance: str | None, **options: Any) -> None:
        member_id = self.pick(number)
        if member_id:
            instance = self.instance_of(member_id)
        if instance is not None:
            options["requires_id"] = False
        answer = self.attempt(
            self.stage.join,
            member_id,
            instance=instance,
            session_ms=SESSION_MS,
            rebalance_ms=REBALANCE_MS,
            **options,
        )
        if answer is not None:
            self.waiting.append(answer)

    @rule(number=ANY_MEMBER)
    def sync(self, number: int) -> None:
        group = self.stage.group
        plan = {member_id: member_id.encode() for member_id in group.members}
        answer = self.attempt(self.stage.sync, self.pick(number), group.generation_id, plan)
        if answer is not None:
            self.waiting.append(answer)

    @rule(number=ANY_MEMBER)
    def heartbeat(self, number: int) -> None:
        self.attempt(self.stage.heartbeat, self.pick(number))

    @rule(number=ANY_MEMBER, other=ANY_MEMBER)
    def leave(self, number: int, other: int) -> None:
        leaving: list[tuple[str, str | None]] = [(self.pick(number), None), (self.pick(other), "a")]
        self.attempt(self.stage.membership.leave_group, self.stage.group, leaving)

    @rule(milliseconds=st.sampled_from((0, 1, 1_000, 3_000, 9_000, 20_000)))
    def wait(self, milliseconds: int) -> None:
        self.stage.scheduler.advance(milliseconds)

    @rule()
    @precondition(lambda self: self.stage.held is None)
    def slow_the_store(self) -> None:
        self.stage.held = []

    @rule()
    @precondition(lambda self: self.stage.held is not None)
    def let_the_store_answer(self) -> None:
        held, self.stage.held = self.stage.held or [], None
        for on_stored in held:
            on_stored(None)

    @invariant()
    def collect_ids(self) -> None:
        for answer in self.waiting:
            assert len(answer.joined) <= 1, answer
            assert len(answer.synced) <= 1, answer
            for result in answer.joined:
                if isinstance(result, JoinResult) and result.member_id not in self.ids:
                    self.ids.append(result.member_id)
        self.waiting = [a for a in self.waiting if not a.joined and not a.synced]

    @invariant()
    def books_balance(self) -> None:
        group = self.stage.group
        members = group.members
        assert group.awaiting_join == sum(m.on_joined is not None for m in members.values())
        support = Counter(name for m in members.values() for name in dict(m.protocols))
        assert +group._protocol_support == support
        assert group.static_members == {
            m.group_instance_id: m.member_id
            for m in members.values()
            if m.group_instance_id is not None
        }
        assert all(name == member.member_id for name, member in members.items())
        assert group.pending_sync <= set(members)

    @invariant()
    def states_fit_their_members(self) -> None:
        group = self.stage.group
        if group.state is GroupState.EMPTY:
            assert not group.members
        if group.state in (GroupState.STABLE, GroupState.COMPLETING_REBALANCE):
            assert group.leader_id in group.members
            assert group.protocol_name is not None
            assert all(m.metadata_for(group.protocol_name) for m in group.members.values())
            assert len(group.members) <= 5 + 2  # absent static members do not count when joining
        if group.state is GroupState.STABLE:
            assert not any(m.on_synced for m in group.members.values())

    def teardown(self) -> None:
        if self.stage.held is not None:
            self.let_the_store_answer()
        self.stage.scheduler.advance(LONG_ENOUGH_MS)
        self.collect_ids()
        assert not self.waiting, self.waiting
        assert self.stage.group.state is GroupState.EMPTY
        assert self.stage.scheduler.pending == 0


MembershipMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
test_membership = MembershipMachine.TestCase
