"""One Raft group: PySyncObj decides, and what it gets wrong is closed here from outside.

What `RaftGroup` adds to the library, by the numbers of the table in README.md:

    F1   an acknowledgement carries its term, and counts in that term only
    F2   a snapshot is one message; the commit index never moves over a tail it did not verify
    F3   entries that are there already are not truncated again, they are acknowledged
    F7   an exception of the machine is logged and counts as the result None
    F9   every proposal has an outcome by its deadline
    F10  a snapshot is always at hand: the machine's present state

F5 and F8 are closed in `group_voter.py`, which also says when a group sleeps.  Raft thread only.
"""

import logging
from typing import Any

from ._pysyncobj import (
    LEADER,
    MAX_COMMAND_BYTES,
    QUEUE_FULL,
    REFUSED,
    SUCCESS,
    set_library_clock,
)
from .errors import (
    GroupSealedError,
    NotControllerError,
    ReplicationError,
    UnknownOutcomeError,
)
from .group_contract import GroupEnvironment, GroupMachine
from .group_journal import FIRST_INDEX, FIRST_TERM, GroupJournal, command_of, payload_of
from .group_proposals import OnDone, Proposal, Proposals
from .group_voter import NOBODY, RETRY_S, GroupVoter
from .message_codec import GroupMessage
from .raft_wal import GroupImage

logger = logging.getLogger(__name__)

QUIET_S = 0.5
"""A leader without news for this long lets its group sleep."""
SILENT_S = 1.0
"""A voter that answered no heartbeat for this long is not waited for: its broker is up, but may not
have opened the group."""
TRANSFER_S = 0.5
PROBE_AGAIN_S = 1.0
"""How long after it stepped back for a follower a leader steps back to the same entry again."""


class RaftGroup(GroupVoter):
    """This broker's copy of one group.

    `image` is what the write-ahead log holds of it; one without a snapshot begins a new group with
    the machine's present state, the same on every voter, as entry 1 of term 0.
    """

    max_entries = 256
    kept_entries = 64
    """A journal longer than `max_entries` is cut to the last applied ones, in memory."""

    __slots__ = (
        "_left_out",
        "_probes",
        "_proposals",
        "_sent",
        "_transfer_until_s",
        "_was_controller",
        "machine",
    )

    def __init__(
        self,
        group_id: str,
        *,
        broker_id: int,
        voters: tuple[int, ...],
        machine: GroupMachine,
        image: GroupImage,
        environment: GroupEnvironment,
    ) -> None:
        set_library_clock(environment.monotonic_s())
        self.machine = machine
        self._proposals = Proposals()
        self._transfer_until_s = 0.0
        self._was_controller = False
        self._sent = (0, 0)
        self._probes: dict[Any, tuple[int, float]] = {}
        # Linked voters that a leader sleeps without, until they say something.
        self._left_out = NOBODY
        self._open_journal(group_id, image, environment)
        super().__init__(group_id, broker_id, voters, environment)

    def _open_journal(
        self, group_id: str, image: GroupImage, environment: GroupEnvironment
    ) -> None:
        is_new = image.snapshot_index == 0
        if is_new:
            assert not image.entries, (group_id, image.entries[0])
            state = self.machine.to_bytes()
            image = GroupImage(FIRST_INDEX, FIRST_TERM, state, (), image.term, image.voted_for)
        else:
            self.machine.load(image.snapshot)
        self.journal = GroupJournal(group_id, image, environment.journal)
        if is_new:
            self.journal.install_snapshot(FIRST_INDEX, FIRST_TERM, image.snapshot)

    # -- what others may ask

    @property
    def is_controller(self) -> bool:
        """Leads, and has applied its own first entry: its state is behind nobody's."""
        return self.raft_state == LEADER and self.applied_index >= self.no_op_index

    @property
    def is_sealed(self) -> bool:
        return self.machine.successor is not None

    @property
    def last_applied(self) -> int:
        return self.applied_index

    @property
    def commit_index(self) -> int:
        return self.committed_index

    @property
    def last_index(self) -> int:
        """The last entry this copy has, committed or not."""
        return self.journal.last_index

    def take_image(self) -> GroupImage:
        """All that a restart needs; between turns only."""
        applied = self.applied_index
        return GroupImage(
            applied,
            self.journal.term_at(applied),
            self.machine.to_bytes(),
            self.journal.entries_behind(applied),
            self.journal.term,
            self.journal.voted_for,
        )

    # -- proposals

    def propose(self, payload: bytes, on_done: OnDone, deadline_s: float) -> None:
        """Have `payload` committed and applied; see `group_proposals` for what `on_done` gets.

        `deadline_s` is on the environment's clock.
        """
        assert payload
        proposal = Proposal(on_done, deadline_s, self.environment.after_sync)
        refusal = self._refusal_of(payload)
        if refusal is not None:
            proposal.finish(refusal)
            return
        self._wake()
        self._proposals.add(proposal)
        self.queue_command(payload, lambda result, reason: self._done(proposal, result, reason))
        self.environment.mark_dirty(self)

    def _refusal_of(self, payload: bytes) -> ReplicationError | None:
        if self._is_closed:
            return NotControllerError(f"{self.group_id} is closed here")
        if self.is_sealed:
            return GroupSealedError(f"{self.group_id} has a next generation")
        if self.raft_state != LEADER:
            return self._not_controller()
        if self.environment.monotonic_s() < self._transfer_until_s:
            return self._not_controller()
        if len(payload) > MAX_COMMAND_BYTES:
            return ReplicationError(
                f"a command of {len(payload)} bytes is above the bound of {MAX_COMMAND_BYTES}"
            )
        return None

    def _not_controller(self) -> NotControllerError:
        hint = self.leader_id
        return NotControllerError(
            f"broker {self.broker_id} does not lead {self.group_id}",
            None if hint == self.broker_id else hint,
        )

    def _done(self, proposal: Proposal, result: object, reason: int) -> None:
        """The library's word on a command; it stands one behind what is applied."""
        if reason == SUCCESS:
            is_skipped = isinstance(result, GroupSealedError)
            proposal.finish(result if is_skipped else (self.applied_index + 1, result))
        elif reason == QUEUE_FULL:
            proposal.finish(NotControllerError(f"{self.group_id} has too many proposals under way"))
        else:
            proposal.finish(self._not_controller())

    def apply_command(self, command: bytes) -> object:
        payload = payload_of(command)
        if not payload:
            return None
        if self.machine.successor is not None:
            return GroupSealedError(f"{self.group_id} has a next generation")
        try:
            result = self.machine.apply(payload)
        except Exception:
            # The same on every copy, since machines are pure: going on keeps them equal, while
            # stopping here would stop every copy for good.
            logger.exception("%s: entry %d failed", self.group_id, self.applied_index + 1)
            result = None
        self.environment.on_applied(self, self.applied_index + 1, payload, result)
        return result

    def _discard_overtaken(self) -> None:
        """Tell proposers whose entries a newer leader's committed ones have ruled out."""
        applied_term = self.journal.term_at(self.applied_index)
        waiting = self.waiting_commands
        for entry_index in list(waiting):
            for term, callback in waiting[entry_index]:
                if term < applied_term:
                    callback(None, REFUSED)
            waiting[entry_index] = [
                pair for pair in waiting[entry_index] if pair[0] >= applied_term
            ]
            if not waiting[entry_index]:
                del waiting[entry_index]

    def _expire_proposals(self, now_s: float) -> None:
        for proposal in self._proposals.take_overdue(now_s):
            proposal.finish(UnknownOutcomeError(f"{self.group_id} gave no answer in time"))
        self._proposals.drop_done()
        if not self._proposals:
            self.waiting_commands.clear()

    # -- time

    def tick(self, now_s: float) -> None:
        """Let the group act: when its environment was told it is dirty, and while it is awake."""
        if self._is_closed or self._is_quiesced:
            return
        set_library_clock(now_s)
        if self.raft_state != LEADER and self.election_deadline_s <= now_s:
            self._stand_for_election(now_s)
        self.run_tick()
        if self.raft_state == LEADER:
            self._lead(now_s)
        if self.waiting_commands:
            self._discard_overtaken()
        if self._proposals:
            self._expire_proposals(now_s)

    def _lead(self, now_s: float) -> None:
        if not self._others and self.committed_index < self.last_index:
            self.run_tick()
        if not self._was_controller and self.is_controller:
            self._was_controller = True
            self.environment.on_role(self, True)
        if self._must_send or self._sent != (self.last_index, self.committed_index):
            self._active_s = now_s
            self.send_appends()
        self._cut_journal()
        if now_s - self._active_s >= QUIET_S and self._may_sleep(now_s):
            self._fall_asleep()

    def _cut_journal(self) -> None:
        if len(self.journal) > self.max_entries:
            kept_from = self.applied_index - self.kept_entries
            if kept_from > self.journal.first_index:
                self.journal.cut_to(kept_from)

    def before_appends(self) -> None:
        """Bring followers that are too far behind up by a snapshot, so the entries fit them."""
        self._must_send = False
        self._sent = (self.last_index, self.committed_index)
        first = self.journal.first_index
        for node in self.connected_nodes:
            if self.next_index[node] <= first:
                self._send_snapshot(node)

    def _send_snapshot(self, node: Any) -> None:
        applied = self.applied_index
        entry_term = self.journal.term_at(applied)
        data = self.machine.to_bytes()
        self._send(node, GroupMessage.SNAPSHOT, self.raft_term, applied, entry_term, data)
        self.next_index[node] = applied + 1

    # -- sleep

    @property
    def _has_proposals(self) -> bool:
        return bool(self._proposals)

    @property
    def sleeping_voters(self) -> tuple[int, ...]:
        """Whoever sleeps, or is down, while this copy leads asleep."""
        if not self._left_out:
            return self.voters
        return tuple([voter for voter in self.voters if voter not in self._left_out])

    def _may_sleep(self, now_s: float) -> bool:
        """Whether every linked voter has everything, but for those that do not answer at all."""
        last = self.last_index
        if self._proposals or self.applied_index != last:
            return False
        matched = self.match_index
        behind = [node for node in self.connected_nodes if matched[node] != last]
        for node in behind:
            is_silent = now_s - self.response_times[node] >= SILENT_S
            if not is_silent and node.id not in self._left_out:
                return False
        self._left_out = frozenset([node.id for node in behind]) if behind else NOBODY
        return True

    def _fall_asleep(self) -> None:
        last, last_term = self.journal.last_index, self.journal.last_term
        for node in self.connected_nodes:
            if node.id not in self._left_out:
                self._send(node, GroupMessage.QUIESCE, self.raft_term, last, last_term)
        self._sleep()

    def _take_back_in(self, broker_id: int) -> None:
        """A voter that was left out has something to say: wait for it again."""
        self._left_out -= {broker_id}
        if self.raft_state == LEADER:
            self._wake()
            self._must_send = True
            self.environment.mark_dirty(self)

    def transfer_to(self, broker_id: int) -> None:
        """Let another voter that has everything lead; best effort, and no proposals meanwhile."""
        if self.raft_state != LEADER or broker_id not in self._others:
            return
        self._wake()
        node = self._others[broker_id]
        if node in self.connected_nodes and self.match_index[node] == self.last_index:
            self._transfer_until_s = self.environment.monotonic_s() + TRANSFER_S
            self.transferLeadership(node)

    def state_changed(self, old_state: int, new_state: int) -> None:
        """The library's role changed."""
        self._active_s = self.environment.monotonic_s()
        self._left_out = NOBODY
        if old_state == LEADER:
            self._transfer_until_s = 0.0
            for callback in self.drain_commands():
                callback(None, REFUSED)
            if self._was_controller:
                self._was_controller = False
                self.environment.on_role(self, False)
        if new_state == LEADER:
            self._probes.clear()
            self._retry_s = RETRY_S
            self._must_send = True

    def peer_up(self, broker_id: int, is_new_session: bool) -> None:
        """A link to another voter stands; a new session is another life of its process."""
        node = self._others.get(broker_id)
        self._probes.pop(node, None)
        self._left_out -= {broker_id}
        if node in self.response_times:
            self.response_times[node] = self.environment.monotonic_s()
        super().peer_up(broker_id, is_new_session)

    def close(self) -> None:
        """Take no further part; nothing is removed from the write-ahead log."""
        self._is_closed = True
        for proposal in self._proposals.take_all():
            proposal.finish(UnknownOutcomeError(f"{self.group_id} is closed here"))
        self.waiting_commands.clear()
        self.environment.set_awake(self, False)

    # -- receiving

    def receive(self, from_id: int, message: tuple[Any, ...]) -> None:
        """A message of this group, as `message_codec` yields it."""
        node = self._others.get(from_id)
        if node is None or self._is_closed:
            return
        set_library_clock(self.environment.monotonic_s())
        if from_id in self._left_out:
            self._take_back_in(from_id)
        getattr(self, _RECEIVERS[message[1]])(node, *message[2:])

    def _receive_append(
        self,
        node: Any,
        term: int,
        commit_index: int,
        prev_index: int,
        prev_term: int,
        entries: tuple[tuple[int, bytes], ...],
    ) -> None:
        if term < self.raft_term:
            self._send(node, GroupMessage.HIGHER_TERM, self.raft_term)
            return
        self._wake()
        self.environment.mark_dirty(self)
        known = self.journal.known_prefix(prev_index, prev_term, entries)
        fresh = entries[known - prev_index :] if known >= prev_index else entries
        if known >= prev_index + len(entries):
            # All of it is here: say so, and truncate nothing that may have been acknowledged.
            told = term, known + 1
            is_heartbeat = commit_index <= self.committed_index
            self._follow(node, term, min(commit_index, known))
            if entries or is_heartbeat or told != self._told:
                self._told = told
                self._send(node, GroupMessage.APPEND_REPLY, *told, False, True)
            # Else it says only that what was acknowledged is committed: that needs no answer.
            return
        if known >= prev_index:
            prev_index, prev_term = known, self.journal.term_at(known)
            assert prev_index >= self.applied_index, (self.group_id, prev_index, self.applied_index)
        self.deliver(
            node,
            {
                "type": "append_entries",
                "term": term,
                "commit_index": commit_index,
                "prevLogIdx": prev_index,
                "prevLogTerm": prev_term,
                "entries": [
                    (command_of(payload), index, entry_term)
                    for index, (entry_term, payload) in enumerate(fresh, prev_index + 1)
                ],
            },
        )

    def _follow(self, node: Any, term: int, commit_index: int) -> None:
        """Note a living leader and how far it has committed what is known to be here."""
        self.deliver(
            node,
            {
                "type": "append_entries",
                "term": term,
                "commit_index": max(commit_index, self.committed_index),
            },
        )

    def _receive_append_reply(
        self, node: Any, term: int, next_index: int, is_reset: bool, is_success: bool
    ) -> None:
        if term != self.raft_term or self.raft_state != LEADER:
            return
        if next_index > self.last_index + 1:
            return
        if is_success:
            self._probes.pop(node, None)
        elif is_reset:
            is_reset = self._steps_back(node, next_index)
        self.deliver(
            node,
            {
                "type": "next_node_idx",
                "next_node_idx": next_index,
                "reset": is_reset,
                "success": is_success,
            },
        )
        if is_reset:
            self._must_send = True
        if is_reset or self.committed_index < self.last_index:
            self._wake()
            self.environment.mark_dirty(self)

    def _steps_back(self, node: Any, next_index: int) -> bool:
        """Whether a refusal says something new about where the follower's log agrees with ours.

        Of several messages under way each is refused, and only what goes further back counts: else
        two refusals answer each other without end.
        """
        if next_index <= self.match_index[node]:
            return False
        now_s = self.environment.monotonic_s()
        probed_index, again_at_s = self._probes.get(node, (next_index + 1, 0.0))
        # What was sent from there may have come where the group was not open yet, and be lost.
        if next_index >= probed_index and now_s < again_at_s:
            return False
        self._probes[node] = (next_index, now_s + PROBE_AGAIN_S)
        return True

    def _receive_snapshot(
        self, node: Any, term: int, entry_index: int, entry_term: int, data: bytes
    ) -> None:
        if term < self.raft_term:
            self._send(node, GroupMessage.HIGHER_TERM, self.raft_term)
            return
        self._wake()
        self.environment.mark_dirty(self)
        journal = self.journal
        is_known = entry_index <= self.applied_index or journal.term_at(entry_index) == entry_term
        self._follow(node, term, entry_index if is_known else 0)
        if not is_known:
            self.machine.load(data)
            journal.install_snapshot(entry_index, entry_term, data)
            self.start_at(entry_index)
            for proposal in self._proposals.take_all():
                proposal.finish(UnknownOutcomeError(f"{self.group_id} took over a snapshot"))
            self.waiting_commands.clear()
            self.environment.on_applied(self, entry_index, None, None)
        next_index = max(entry_index, self.applied_index) + 1
        self._send(node, GroupMessage.APPEND_REPLY, term, next_index, False, True)

    def _receive_quiesce(self, node: Any, term: int, last_index: int, last_term: int) -> None:
        journal = self.journal
        has_all = (journal.last_index, journal.last_term) == (last_index, last_term)
        if term == self.raft_term and node is self.leader_node and has_all:
            self._follow(node, term, last_index)
            self.run_tick()
            if self.waiting_commands:
                self._discard_overtaken()
            self._expire_proposals(self.environment.monotonic_s())
            if not self._proposals:
                self._sleep()


_RECEIVERS = {
    GroupMessage.PRE_VOTE: "_receive_pre_vote",
    GroupMessage.PRE_VOTE_REPLY: "_receive_pre_vote_reply",
    GroupMessage.VOTE: "_receive_vote",
    GroupMessage.VOTE_REPLY: "_receive_vote_reply",
    GroupMessage.APPEND: "_receive_append",
    GroupMessage.APPEND_REPLY: "_receive_append_reply",
    GroupMessage.SNAPSHOT: "_receive_snapshot",
    GroupMessage.TIMEOUT_NOW: "_receive_timeout_now",
    GroupMessage.QUIESCE: "_receive_quiesce",
    GroupMessage.HIGHER_TERM: "_receive_higher_term",
}
