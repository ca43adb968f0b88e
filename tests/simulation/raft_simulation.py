"""Raft groups on an imagined network, clock and disk, driven by one seed: one seed, one history.

Brokers crash in the middle of a turn and lose what was not synced, links tear and lose what was
under way, messages are late, snapshots overtake entries, groups sleep, leadership is moved, and
groups get new generations with other voters.  Named invariants are checked after every event:

    ElectionSafety        no term has two leaders
    StateMachineSafety    an entry that was applied is the same wherever it is applied
    LeaderCompleteness    a new leader has every entry that older terms applied anywhere
    DurableAcknowledgement  a leader counts only entries that a follower would have after a crash
    OutcomesAreTrue       a proposal has one outcome, and it is what happened
    SeedsAgree            a sealed generation hands the same state on, whoever sends it

and at the end, when all links stand again: one leader a group, equal states, everybody asleep.
"""

import copy
import functools
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

from headrace.raft._pysyncobj import _settings
from headrace.raft.errors import GroupSealedError, NotControllerError, UnknownOutcomeError
from headrace.raft.message_codec import GroupMessage
from headrace.raft.raft_group import RaftGroup
from headrace.raft.wal_replay import GroupImage
from tests.support.raft_cluster import GROUP_ID, Member, RaftCluster, generation_of

STEPS = 1500
SEED_WINDOW_S = 12.0


class InvariantViolated(AssertionError):
    """What the checker saw, with the invariant's name first."""


class SmallGroup(RaftGroup):
    """A group whose journal is cut so early that followers often need snapshots."""

    max_entries = 8
    kept_entries = 3
    message_bytes = 24
    """What is behind is sent in several messages, so that a crash may come between them."""

    def __init__(self, *names: Any, **options: Any) -> None:
        super().__init__(*names, **options)
        self._SyncObj__conf = _settings_of(self.message_bytes)


@functools.cache
def _settings_of(message_bytes: int) -> Any:
    settings = copy.copy(_settings)
    settings.appendEntriesBatchSizeBytes = message_bytes
    return settings


@dataclass
class Submission:
    """One proposal and what its proposer was told."""

    payload: bytes
    deadline_s: float
    outcomes: list[object]


class RaftSimulation(RaftCluster):
    """One history; `run_history` raises InvariantViolated."""

    group_class = SmallGroup
    sizes = (3, 3, 5)
    generations_chance = 0.3

    def __init__(self, seed: int, *, group_class: type[Any] = SmallGroup) -> None:
        self.group_class = group_class
        self.applied: dict[str, dict[int, tuple[int, bytes]]] = {}
        self.committed_in: dict[tuple[str, int], int] = {}
        self.leaders_of: dict[tuple[str, int], int] = {}
        self.seeds: dict[str, tuple[tuple[int, ...], bytes]] = {}
        self.submissions: list[Submission] = []
        self.counts: Counter[str] = Counter()
        chance = random.Random(seed)
        self.size = chance.choice(self.sizes)
        self.with_generations = chance.random() < self.generations_chance
        super().__init__(5 if self.with_generations else self.size, seed=seed, is_started=False)
        self.brokers = self.voters
        self.voters = self.voters[: self.size]
        self.stalled: set[tuple[int, int]] = set()
        for broker_id in self.brokers:
            if broker_id in self.voters:
                self.members[broker_id].start()
            else:
                self.members[broker_id].is_running = True
        for a in self.brokers:
            for b in self.brokers:
                if a < b:
                    self.link(a, b)

    # -- what happens

    def run_history(self, steps: int = STEPS) -> None:
        """Random events, then peace."""
        for step in range(steps):
            if step % 60 == 0:
                self._change_stalls()
            self.now_s += 0.01
            self._random_event()
            self.check()
        self._make_peace()

    def _change_stalls(self) -> None:
        """Messages of a stalled direction wait, some for long."""
        for direction in self.queues:
            if self.random.random() < (0.4 if direction in self.stalled else 0.2):
                self.stalled ^= {direction}

    def carry(self, from_id: int, to_id: int, message: tuple[Any, ...]) -> None:
        """A vote may come twice: whoever counts must count voters."""
        super().carry(from_id, to_id, message)
        if message[1] == GroupMessage.VOTE_REPLY and self.random.random() < 0.2:
            super().carry(from_id, to_id, message)

    def _random_event(self) -> None:
        dice = self.random.random()
        for bound, event in (
            (0.64, self._deliver_some),
            (0.76, self._pass_time),
            (0.93, self._submit),
            (0.955, self._relink),
            (0.964, self._checkpoint_one),
            (0.967, self._crash_one),
            (0.985, self._restart_one),
            (0.989, self._move_leader),
            (0.994, self._campaign_without_asking),
            (1.0, self._hand_over),
        ):
            if dice < bound:
                event()
                return

    def _running(self) -> list[Member]:
        return [member for member in self.members.values() if member.is_running]

    def _count(self, what: str) -> None:
        self.counts[what] += 1

    def _deliver_some(self) -> None:
        waiting = [way for way, queue in self.queues.items() if queue and way not in self.stalled]
        if not waiting:
            self._pass_time()
            return
        from_id, to_id = self.random.choice(waiting)
        queue, member = self.queues[from_id, to_id], self.members[to_id]
        for _ in range(self._draw_burst()):
            if queue:
                message = queue.popleft()
                self._count(GroupMessage(message[1]).name)
                member.receive(from_id, message)
        self._end_turn(member)

    def _draw_burst(self) -> int:
        """So many messages come at once."""
        return self.random.choice((1, 1, 2, 5))

    def _end_turn(self, member: Member) -> None:
        """Sync and send; now and then the broker dies before the one or the other."""
        dice = self.random.random()
        if dice < 0.002:
            member.finish_ticks()
            if dice < 0.001:
                member.write_disk()
            elif dice < 0.0015:
                self._send_early(member)
            self._count("crash in a turn")
            self.crash(member.broker_id)
        else:
            member.finish_turn()

    def _send_early(self, member: Member) -> None:
        """What leaves before the disk has the turn arrives here and there, whatever comes next."""
        member.send_early()
        for to_id in self.brokers:
            way = (member.broker_id, to_id)
            if self.queues.get(way) and self.random.random() < 0.7:
                self.deliver(*way)

    def _pass_time(self) -> None:
        self.now_s += self.random.choice((0.02, 0.05, 0.05, 0.3))
        for member in self._running():
            if self.random.random() < 0.7:
                for group_id in sorted(member.awake):
                    member.groups[group_id].tick(self.now_s)
                self._end_turn(member)

    def _groups(self, *, only_leaders: bool = False) -> list[tuple[Member, Any]]:
        return [
            (member, group)
            for member in self._running()
            for group in member.groups.values()
            if group.is_leader or not only_leaders
        ]

    def _submit(self) -> None:
        found = self._groups(only_leaders=self.random.random() < 0.9)
        if not found:
            return
        member, group = self.random.choice(found)
        payload = b"%d" % len(self.submissions)
        if self.with_generations and self.random.random() < 0.03:
            voters = self.random.sample(self.brokers, self.random.choice((1, 3, 3, 5)))
            payload = b"seal:" + ",".join(map(str, voters)).encode()
        submission = Submission(payload, self.now_s + 5.0, [])
        self.submissions.append(submission)
        group.propose(payload, submission.outcomes.append, submission.deadline_s)
        if self.random.random() < 0.8:
            self._end_turn(member)

    def _relink(self) -> None:
        a, b = self.random.sample(self.brokers, 2)
        if not self.is_linked(a, b):
            if self.members[a].is_running and self.members[b].is_running:
                self.link(a, b)
        elif self.random.random() < 0.4:
            self._count("link torn")
            self.unlink(a, b)

    def _checkpoint_one(self) -> None:
        member = self.random.choice(list(self.members.values()))
        if member.is_running and not member.batch:
            member.checkpoint()

    def _crash_one(self) -> None:
        running = self._running()
        if running:
            self._count("crash")
            self.crash(self.random.choice(running).broker_id)

    def _restart_one(self) -> None:
        down = [member.broker_id for member in self.members.values() if not member.is_running]
        if down:
            self.restart(self.random.choice(down))

    def restart(self, broker_id: int) -> None:
        member = self.members[broker_id]
        if member.disk or broker_id in self.voters:
            member.start()
            member.finish_turn()
        else:
            member.is_running = True
        for other in self.brokers:
            if other != broker_id and self.members[other].is_running:
                self.link(broker_id, other, is_new_session=True)

    def _move_leader(self) -> None:
        found = self._groups(only_leaders=True)
        if found:
            member, group = self.random.choice(found)
            group.transfer_to(self.random.choice(group.voters))
            self._end_turn(member)

    def _campaign_without_asking(self) -> None:
        """Worse than any timer: elections without pre-vote while a leader lives, two at a time."""
        for _ in range(self.random.choice((1, 2, 2))):
            found = self._groups()
            if not found:
                return
            member, group = self.random.choice(found)
            if not group.is_leader:
                group._wake()
                group._campaign(self.now_s)
                self._end_turn(member)

    # -- generations

    def _hand_over(self) -> None:
        """A voter of the next generation gets its seed; whoever has it keeps sending it."""
        if self.seeds:
            next_id = self.random.choice(sorted(self.seeds))
            self._plant(next_id, self.members[self.random.choice(self.seeds[next_id][0])])

    def _plant(self, next_id: str, target: Member) -> None:
        voters, seed = self.seeds[next_id]
        known = [generation_of(group_id) for group_id in target.disk]
        if max(known, default=-1) >= generation_of(next_id) or not target.is_running:
            return
        target.finish_turn()
        target.disk[next_id] = GroupImage(1, 0, seed, [])
        self.voters_of[next_id] = voters
        target.open_group(next_id, voters)
        for old_id in [group_id for group_id in target.disk if group_id != next_id]:
            # It has the seed, which is all that the old generation can still say.
            target.disk.pop(old_id)
            old = target.groups.pop(old_id, None)
            if old is not None:
                old.close()
        target.finish_turn()
        self._count("generation begun")

    @property
    def voters_of(self) -> dict[str, tuple[int, ...]]:
        return self.__dict__.setdefault("_voters_of", {GROUP_ID: self.voters})

    def make_group(
        self, member: Member, group_id: str, voters: tuple[int, ...], image: GroupImage
    ) -> Any:
        return super().make_group(member, group_id, self.voters_of.get(group_id, voters), image)

    # -- what must hold

    def note_applied(
        self,
        member: Member,
        group: RaftGroup,
        entry_index: int,
        entry_term: int,
        payload: bytes | None,
    ) -> None:
        if payload is None:
            self._count("snapshot installed")
            return
        known = self.applied.setdefault(group.group_id, {})
        self.committed_in.setdefault((group.group_id, entry_index), group.term)
        entry = (entry_term, payload)
        if known.setdefault(entry_index, entry) != entry:
            raise InvariantViolated(
                f"StateMachineSafety: entry {entry_index} of {group.group_id} is {entry} on broker "
                f"{member.broker_id} and was {known[entry_index]}"
            )
        if group.machine.successor is not None:
            next_id = f"{GROUP_ID}@{generation_of(group.group_id) + 1}"
            seed = (group.machine.successor, group.machine.to_bytes())
            if self.seeds.setdefault(next_id, seed) != seed:
                raise InvariantViolated(f"SeedsAgree: {next_id} would begin in two ways")

    def check(self) -> None:
        """Every invariant that can be seen between two events."""
        for member, group in self._groups(only_leaders=True):
            key = (group.group_id, group.term)
            if key not in self.leaders_of:
                self.leaders_of[key] = member.broker_id
                self._count("leader")
                self._check_completeness(member, group)
            elif self.leaders_of[key] != member.broker_id:
                raise InvariantViolated(
                    f"ElectionSafety: brokers {self.leaders_of[key]} and {member.broker_id} lead "
                    f"{key[0]} in term {key[1]}"
                )
            self._check_acknowledgements(group)

    def _check_completeness(self, member: Member, group: Any) -> None:
        for entry_index, (term, _) in self.applied.get(group.group_id, {}).items():
            # A leader of an older term may hear of its last vote only now.
            is_newer = group.term > self.committed_in[group.group_id, entry_index]
            if entry_index <= group.journal.first_index or not is_newer:
                continue
            if group.journal.term_at(entry_index) != term:
                raise InvariantViolated(
                    f"LeaderCompleteness: broker {member.broker_id} leads term {group.term} "
                    f"without entry {entry_index} of term {term}"
                )

    def _check_acknowledgements(self, group: Any) -> None:
        for node, matched in group.match_index.items():
            image = self.members[node.id].disk.get(group.group_id)
            if image is None or not matched or image.term > group.term:
                continue
            is_held = matched <= image.snapshot_index or any(
                index == matched and term == group.journal.term_at(matched)
                for index, term, _ in image.entries
            )
            if not is_held and matched > group.journal.first_index:
                raise InvariantViolated(
                    f"DurableAcknowledgement: broker {node.id} counts for entry {matched} and "
                    f"its disk ends at {image.last_index}"
                )

    def _check_outcomes(self) -> None:
        applied = {
            (entry[1], index) for log in self.applied.values() for index, entry in log.items()
        }
        payloads = {payload for payload, _ in applied}
        for submission in self.submissions:
            payload, outcomes = submission.payload, submission.outcomes
            if payload.startswith(b"seal:") or not outcomes:
                continue  # not unique, or its proposer died
            outcome = outcomes[0]
            is_certain = isinstance(outcome, NotControllerError | GroupSealedError)
            if len(outcomes) > 1:
                raise InvariantViolated(f"OutcomesAreTrue: {payload!r} was told {outcomes}")
            if is_certain and payload in payloads:
                raise InvariantViolated(f"OutcomesAreTrue: {payload!r} was applied: {outcome!r}")
            if isinstance(outcome, tuple) and (payload, outcome[0]) not in applied:
                raise InvariantViolated(f"OutcomesAreTrue: {payload!r} was not applied {outcome}")
            is_known = is_certain or isinstance(outcome, tuple | UnknownOutcomeError)
            if not is_known:
                raise InvariantViolated(f"OutcomesAreTrue: {payload!r} was told {outcome!r}")

    # -- peace

    def _make_peace(self) -> None:
        """Everybody runs and is linked: all copies agree, and fall asleep."""
        self.stalled = set()
        for broker_id in self.brokers:
            if not self.members[broker_id].is_running:
                self.restart(broker_id)
        for a in self.brokers:
            for b in self.brokers:
                if a < b:
                    self.link(a, b)
        for member in self._running():
            member.finish_turn()
        end_s = self.now_s + SEED_WINDOW_S
        while self.now_s < end_s:
            self._run_in_peace(0.5)
            for next_id in sorted(self.seeds):
                for voter in self.seeds[next_id][0]:
                    self._plant(next_id, self.members[voter])
            self.check()
        self._check_outcomes()
        self._check_agreement()

    def _run_in_peace(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        self.settle()
        while self.now_s < end_s:
            self.now_s += 0.05
            for broker_id in self.brokers:
                self.tick(broker_id)
            self.settle()

    def _check_agreement(self) -> None:
        newest = max((group.group_id for _, group in self._groups()), key=generation_of)
        voters = self.voters_of[newest]
        copies = [self.members[voter].groups.get(newest) for voter in voters]
        leaders = [copy.broker_id for copy in copies if copy is not None and copy.is_controller]
        if len(leaders) != 1:
            raise InvariantViolated(f"Liveness: {newest} is led by {leaders}")
        states = {copy.machine.to_bytes() if copy is not None else b"" for copy in copies}
        if len(states) != 1:
            raise InvariantViolated(f"Liveness: {newest} has {len(states)} states")
        awake = [copy.broker_id for copy in copies if not copy.is_quiesced]
        if awake:
            raise InvariantViolated(f"Liveness: {newest} does not sleep on {awake}")


def run_raft_history(seed: int) -> Counter[str]:
    """The history of one seed; raises InvariantViolated, gives what happened in it."""
    simulation = RaftSimulation(seed)
    simulation.run_history()
    counts = Counter(simulation.counts)
    counts["entries applied"] = sum(len(log) for log in simulation.applied.values())
    counts["proposals"] = len(simulation.submissions)
    return counts
