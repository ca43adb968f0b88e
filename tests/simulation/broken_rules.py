"""Groups with one rule removed each: the simulation must see what that leads to."""

from typing import Any

from headrace.raft.group_journal import command_of
from headrace.raft.message_codec import GroupMessage
from tests.simulation.raft_simulation import SmallGroup
from tests.simulation.restless_leaders import EntryByEntry


class AnyTermCounts(SmallGroup):
    """Without F1: an acknowledgement of an old term counts in this one."""

    def _receive_append_reply(self, node: Any, term: int, *fields: Any) -> None:
        super()._receive_append_reply(node, self.raft_term, *fields)


class CommitsUnverified(SmallGroup):
    """Without F2: a snapshot on its way moves the commit index over a tail nobody compared."""

    def _receive_snapshot(
        self, node: Any, term: int, entry_index: int, entry_term: int, data: bytes
    ) -> None:
        is_first = self.__dict__.get("_announced") != (term, entry_index)
        self.__dict__["_announced"] = (term, entry_index)
        if is_first and term >= self.raft_term:
            self._wake()
            self._follow(node, term, entry_index)
            self._send(node, GroupMessage.APPEND_REPLY, term, self.last_index + 1, True, False)
            self.environment.mark_dirty(self)
        else:
            super()._receive_snapshot(node, term, entry_index, entry_term, data)


class TruncatesAgain(SmallGroup):
    """Without F3: whatever stands behind `prev_index` goes, also what was acknowledged."""

    def _receive_append(self, node: Any, term: int, commit_index: int, *rest: Any) -> None:
        prev_index, prev_term, entries = rest
        journal = self.journal
        is_here = prev_index >= journal.first_index and journal.term_at(prev_index) == prev_term
        if term < self.raft_term or not is_here or prev_index < self.applied_index:
            super()._receive_append(node, term, commit_index, *rest)
            return
        self._wake()
        self.environment.mark_dirty(self)
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
                    for index, (entry_term, payload) in enumerate(entries, prev_index + 1)
                ],
            },
        )


class CountsVotesTwice(SmallGroup):
    """Without F5: a repeated answer is another vote."""

    def _receive_vote_reply(self, node: Any, term: int) -> None:
        self._votes -= {node.id}
        super()._receive_vote_reply(node, term)


class ForgetsItsVote(SmallGroup):
    """Without a durable vote."""

    def __init__(self, *names: Any, **options: Any) -> None:
        options["image"].voted_for = None
        super().__init__(*names, **options)


class VotesForAnybody(SmallGroup):
    """Without comparing the candidate's log."""

    def _receive_vote(self, node: Any, term: int, _index: int, _term: int, is_moved: bool) -> None:
        super()._receive_vote(node, term, self.last_index, self.journal.last_term, is_moved)


class CommitsOldTerms(SmallGroup):
    """Without the rule that only entries of the own term are committed by counting (5.4.2)."""

    message_bytes = EntryByEntry.message_bytes

    def _lead(self, now_s: float) -> None:
        matched = sorted([*self.match_index.values(), self.last_index], reverse=True)
        place = matched[len(self.voters) // 2]
        if place > self.committed_index:
            self._SyncObj__raftCommitIndex = place
        super()._lead(now_s)


class AsksNobody(SmallGroup):
    """Without F8: no pre-vote, and a vote for whoever asks while the leader lives."""

    def _stand_for_election(self, now_s: float) -> None:
        self.forget_leader()
        self._campaign(now_s)

    def _receive_vote(self, node: Any, term: int, index: int, entry: int, is_moved: bool) -> None:
        super()._receive_vote(node, term, index, entry, True)


class SleepsThroughQuestions(SmallGroup):
    """Without waking for the questions of a voter that the leader sleeps without."""

    def _take_back_in(self, broker_id: int) -> None:
        """It may ask as long as it likes."""

    def _receive_pre_vote(self, node: Any, term: int, *fields: Any) -> None:
        if not self.is_leader:
            super()._receive_pre_vote(node, term, *fields)
