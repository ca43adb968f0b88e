"""How a copy of a Raft group votes, stands for election, sleeps and wakes; what it sends.

What this adds to PySyncObj, by the numbers of the table in README.md:

    F5   a vote counts once a voter
    F8   pre-vote; no vote against a leader whose broker is up; a stale leader is told so

A group without news falls asleep: nothing of it is ticked or sent until a message, a proposal or a
link's coming or going wakes it.  Whether a leader lives is known by its broker's link; timers are
what remains where a link says nothing.  Voters that may win stand one after the other, in the
voters' order, so that votes are not split: also where so many groups lost their leader at once that
the second is due before the first was heard.  Raft thread only.
"""

from typing import Any

from ._pysyncobj import (
    LEADER,
    MAX_ELECTION_TIMEOUT_S,
    MIN_ELECTION_TIMEOUT_S,
    LibraryGroup,
    others_of,
    set_library_clock,
)
from .group_contract import GroupEnvironment
from .group_journal import GroupJournal, payload_of
from .message_codec import GroupMessage

RANK_STEP_S = 0.05
"""Between the elections that the live voters of a group start, in the voters' order."""
RETRY_S = 0.25
MAX_RETRY_S = 1.0
"""Between elections of one voter that nobody wins, to twice as much; doubles until one leads."""
MAX_UNHEARD_TRIES = 4
"""So many elections in a row that no majority even answers, and this copy waits to be asked."""
OPENING_S = 0.1
LINK_LOST_S = 0.01

NOBODY: frozenset[int] = frozenset()

_AT_ONCE = float("-inf")


class GroupVoter(LibraryGroup):
    """See the module; `RaftGroup` adds entries, snapshots and proposals."""

    __slots__ = (
        "_active_s",
        "_answered",
        "_denied",
        "_is_closed",
        "_is_quiesced",
        "_is_transfer_target",
        "_must_send",
        "_others",
        "_pre_votes",
        "_retry_s",
        "_stood_s",
        "_told",
        "_unheard_tries",
        "_votes",
        "broker_id",
        "environment",
        "group_id",
        "voters",
    )

    journal: GroupJournal

    def __init__(
        self,
        group_id: str,
        broker_id: int,
        voters: tuple[int, ...],
        environment: GroupEnvironment,
    ) -> None:
        assert broker_id in voters, (group_id, broker_id, voters)
        self.group_id = group_id
        self.broker_id = broker_id
        self.voters = voters
        self.environment = environment
        self._others = others_of(broker_id, voters)
        self._votes = NOBODY
        self._pre_votes = NOBODY
        self._answered = NOBODY
        self._denied: tuple[float, Any, int, int, int] | None = None
        self._unheard_tries = 0
        self._is_transfer_target = False
        self._is_closed = False
        self._is_quiesced = False
        self._must_send = False
        self._retry_s = RETRY_S
        self._stood_s = _AT_ONCE
        # The last acknowledgement as (term, next_index), if it came or will come to the leader.
        self._told: tuple[int, int] | None = None
        self._active_s = environment.monotonic_s()
        super().__init__(broker_id, self._others.values(), self._send_for_library)
        self.start_at(self.journal.first_index)
        for voter, node in self._others.items():
            if environment.is_up(voter):
                self.connect(node)
        self.election_deadline_s = self._active_s + OPENING_S + self._stagger_s()
        environment.set_awake(self, True)

    @property
    def term(self) -> int:
        return self.raft_term

    @property
    def leader_id(self) -> int | None:
        """The broker that leads this group as far as this copy knows, None if it is gone."""
        if self.raft_state == LEADER:
            return self.broker_id
        leader = self.leader_node
        return leader.id if leader is not None and leader in self.connected_nodes else None

    @property
    def is_leader(self) -> bool:
        return self.raft_state == LEADER

    @property
    def is_quiesced(self) -> bool:
        return self._is_quiesced

    @property
    def _has_proposals(self) -> bool:
        """Whether somebody here waits for an outcome: then this copy may not sleep."""
        raise NotImplementedError

    # -- sleep

    def _sleep(self) -> None:
        self._is_quiesced = True
        self._told = None
        self.environment.set_awake(self, False)

    def _wake(self) -> None:
        now_s = self.environment.monotonic_s()
        set_library_clock(now_s)
        self._active_s = now_s
        if self._is_quiesced:
            self._is_quiesced = False
            self._unheard_tries = 0
            self.environment.set_awake(self, True)
            if self.raft_state == LEADER:
                self.note_responses(now_s)
            else:
                self.election_deadline_s = now_s + self.draw_election_timeout()

    def draw_election_timeout(self) -> float:
        spread = MAX_ELECTION_TIMEOUT_S - MIN_ELECTION_TIMEOUT_S
        return MIN_ELECTION_TIMEOUT_S + spread * self.environment.random_float()

    # -- elections

    @property
    def _can_win(self) -> bool:
        return self._is_majority(len(self.connected_nodes) + 1)

    def _is_majority(self, count: int) -> bool:
        return 2 * count > len(self.voters)

    @property
    def _leader_lives(self) -> bool:
        """Whether this copy would rather keep the leader it has."""
        if self.raft_state == LEADER:
            return True
        return self.leader_node is not None and self.leader_node in self.connected_nodes

    def _stagger_s(self) -> float:
        """How long to let live voters before this one in the group's order go first."""
        live = {node.id for node in self.connected_nodes}
        before = self.voters[: self.voters.index(self.broker_id)]
        rank = sum(1 for voter in before if voter in live)
        return RANK_STEP_S * (rank + 0.4 * self.environment.random_float())

    def _stand_soon(self, delay_s: float) -> None:
        self._wake()
        now_s = self.environment.monotonic_s()
        self.election_deadline_s = min(
            self.election_deadline_s, now_s + delay_s + self._stagger_s()
        )
        self.environment.mark_dirty(self)

    def campaign_soon(self) -> None:
        """Stand for election in this turn, if nobody is known to lead."""
        if self._leader_lives or self._is_closed:
            return
        self._wake()
        self.election_deadline_s = _AT_ONCE
        self.environment.mark_dirty(self)

    def _stand_for_election(self, now_s: float) -> None:
        if self.is_transfer_due:
            self._is_transfer_target = True
            self._campaign(now_s)
            self._is_transfer_target = False
            return
        if self.leader_node is not None:
            self._retry_s = RETRY_S
            self.forget_leader()
        self.election_deadline_s = now_s + self._draw_retry_s()
        self._retry_s = min(2 * self._retry_s, MAX_RETRY_S)
        if not self._can_win:
            if not self._has_proposals:
                self._sleep()
        elif not self._others:
            self._campaign(now_s)
        elif self._is_unheard() and not self._has_proposals:
            self._sleep()
        else:
            self._ask_for_pre_votes(now_s)

    def _is_unheard(self) -> bool:
        """Whether this copy has asked often enough, and too few have opened the group.

        Whoever opens it asks as well, which wakes this copy; so does an answer that comes late.
        """
        if self._is_majority(len(self._answered) + 1):
            self._unheard_tries = 0
        self._answered = NOBODY
        return self._unheard_tries >= MAX_UNHEARD_TRIES

    def _ask_for_pre_votes(self, now_s: float) -> None:
        self._pre_votes = NOBODY
        self._stood_s = now_s
        self._unheard_tries += 1
        last, last_term = self.journal.last_index, self.journal.last_term
        for node in self.connected_nodes:
            self._send(node, GroupMessage.PRE_VOTE, self.raft_term + 1, last, last_term)

    def _draw_retry_s(self) -> float:
        """Until the next try, if this one comes to nothing: most likely a round of votes later."""
        return self._retry_s * (1 + self.environment.random_float())

    def _campaign(self, now_s: float) -> None:
        self._votes = self._pre_votes = NOBODY
        self.election_deadline_s = _AT_ONCE
        self.run_tick()
        self.election_deadline_s = now_s + self._draw_retry_s()
        self.environment.mark_dirty(self)

    # -- links

    def peer_up(self, broker_id: int, is_new_session: bool) -> None:
        """A link to another voter stands; a new session is another life of its process."""
        node = self._others.get(broker_id)
        if node is None or self._is_closed:
            return
        self._told = None
        self.connect(node)
        if is_new_session and node is self.leader_node:
            self.forget_leader()
        if self.raft_state == LEADER:
            self._wake()
            self._must_send = True
            self.environment.mark_dirty(self)
        elif not self._leader_lives:
            self._stand_soon(OPENING_S)

    def peer_down(self, broker_id: int) -> None:
        """The link to another voter is gone, or silent for too long."""
        node = self._others.get(broker_id)
        if node is None or self._is_closed:
            return
        self.disconnect(node)
        if self.raft_state == LEADER:
            if not self._can_win:
                self._wake()
        elif self.leader_node is None or node is self.leader_node:
            self._stand_soon(LINK_LOST_S)
            self._answer_again()

    def _answer_again(self) -> None:
        """Give a pre-vote that was denied a moment ago, because the leader seemed to live.

        Silence is noticed here a little later than there: less than a try of theirs.
        """
        if self._denied is None:
            return
        asked_s, node, *asked = self._denied
        self._denied = None
        if node in self.connected_nodes and self.environment.monotonic_s() - asked_s < RETRY_S:
            self._receive_pre_vote(node, *asked)

    # -- sending

    def _send(self, node: Any, kind: GroupMessage, *fields: object) -> bool:
        return self.environment.send(node.id, self.group_id, (self.group_id, int(kind), *fields))

    def _send_for_library(self, node: Any, message: dict[str, Any]) -> bool:
        """What the library wants sent, in our words; what it should not send goes nowhere."""
        name = message["type"]
        term = self.raft_term
        if name == "append_entries":
            assert "entries" in message, message.keys()
            entries = tuple([(entry[2], payload_of(entry[0])) for entry in message["entries"]])
            place = message["prevLogIdx"], message["prevLogTerm"]
            return self._send(
                node, GroupMessage.APPEND, term, message["commit_index"], *place, entries
            )
        if name == "next_node_idx":
            next_index, is_success = message["next_node_idx"], message["success"]
            self._told = (term, next_index) if is_success else None
            fields = next_index, message["reset"], is_success
            return self._send(node, GroupMessage.APPEND_REPLY, term, *fields)
        if name == "request_vote":
            fields = message["last_log_index"], message["last_log_term"], self._is_transfer_target
            return node in self.connected_nodes and self._send(
                node, GroupMessage.VOTE, term, *fields
            )
        if name == "response_vote":
            return self._send(node, GroupMessage.VOTE_REPLY, term)
        assert name == "timeout_now", name
        return self._send(node, GroupMessage.TIMEOUT_NOW, term)

    # -- receiving

    def _receive_pre_vote(self, node: Any, term: int, last_index: int, last_term: int) -> None:
        if node is self.leader_node:
            self.forget_leader()
        if self.raft_state == LEADER:
            self._wake()
            self._must_send = True
            self.environment.mark_dirty(self)
        own_place = self.journal.last_term, self.journal.last_index
        is_granted = (
            term > self.raft_term
            and not self._leader_lives
            and (last_term, last_index) >= own_place
            and not ((last_term, last_index) == own_place and self._goes_before(node.id))
        )
        if self._leader_lives:
            self._denied = self.environment.monotonic_s(), node, term, last_index, last_term
        if is_granted:
            # It is about to stand: with many elections at once that takes longer than a step.
            retry_s = self.environment.monotonic_s() + self._draw_retry_s()
            self.election_deadline_s = max(self.election_deadline_s, retry_s)
        answer = term if is_granted else self.raft_term
        self._send(node, GroupMessage.PRE_VOTE_REPLY, answer, is_granted)
        if not self._leader_lives:
            self._wake()

    def _goes_before(self, broker_id: int) -> bool:
        """Whether this copy asked for the same votes a moment ago, and is first of the two."""
        is_first = self.voters.index(self.broker_id) < self.voters.index(broker_id)
        return is_first and self.environment.monotonic_s() - self._stood_s < RETRY_S

    def _receive_pre_vote_reply(self, node: Any, term: int, is_granted: bool) -> None:
        if self.raft_state == LEADER:
            return
        self._answered |= {node.id}
        if self._is_quiesced and not self._leader_lives:
            self._wake()
        if not is_granted:
            self._receive_higher_term(node, term)
        elif term == self.raft_term + 1 and self.leader_node is None:
            self._pre_votes |= {node.id}
            if self._is_majority(len(self._pre_votes) + 1):
                self._wake()
                self._campaign(self.environment.monotonic_s())

    def _receive_vote(
        self, node: Any, term: int, last_index: int, last_term: int, is_transfer: bool
    ) -> None:
        if term < self.raft_term:
            self._send(node, GroupMessage.HIGHER_TERM, self.raft_term)
            return
        if node is self.leader_node:
            self.forget_leader()
        if term > self.raft_term and self._leader_lives and not is_transfer:
            return
        self._wake()
        self.deliver(
            node,
            {
                "type": "request_vote",
                "term": term,
                "last_log_index": last_index,
                "last_log_term": last_term,
            },
        )
        self.environment.mark_dirty(self)

    def _receive_vote_reply(self, node: Any, term: int) -> None:
        if term != self.raft_term or node.id in self._votes:
            return
        self._votes |= {node.id}
        self.deliver(node, {"type": "response_vote", "term": term})
        self.environment.mark_dirty(self)

    def _receive_timeout_now(self, node: Any, term: int) -> None:
        self._wake()
        self.deliver(node, {"type": "timeout_now", "term": term})
        self.environment.mark_dirty(self)

    def _receive_higher_term(self, _node: Any, term: int) -> None:
        if term > self.raft_term:
            self._wake()
            self.follow_term(term)
            self.election_deadline_s = self.environment.monotonic_s() + self._draw_retry_s()
            self.environment.mark_dirty(self)
