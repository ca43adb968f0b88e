"""Whole brokers move replicas, elect out of the isr, lose their disks: one seed, one history.

The seed chooses what happens next: a frame or a message arrives, a Raft thread or a loop goes on,
time passes, a producer appends, a partition is to move, or not after all, links break, processes
and machines die, a sync fails.  At the end everything heals: each move has to finish and the
copies have to be one.
"""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from headrace.api.handlers.reassignments import _targets as targets_of
from headrace.core.errors import HeadraceError
from headrace.raft.cluster_commands import RESOURCE_TOPIC, AlterConfigs, ReassignPartitions
from headrace.raft.partition import Partition
from tests.simulation.broker_invariants import BrokerInvariants
from tests.simulation.history_folder import history_folder
from tests.simulation.invariant_broken import InvariantBrokenError
from tests.simulation.whole_cluster import (
    BROKER_IDS,
    CLEAN,
    TOPIC_IDS,
    UNCLEAN,
    WholeBroker,
    WholeCluster,
)

STEPS = 400
MAX_HEALING_ROUNDS = 1500
MAX_LAG_MS = 400
MIN_CHANGES = 1
ACKS_1 = 0.2
RECORDS_TOGETHER = 3
"""What a producer appends at a time, since most leaders that it finds cannot commit just then."""


class BrokerHistory:
    """Plays one seed; `cut_offs` is how often a leader loses all its links, of about 120 deeds.

    `min_changes` is how often min.insync.replicas becomes another; both topics begin with 2 then,
    and some records are appended with acks=1.
    """

    def __init__(self, seed: int, folder: Path, *, cut_offs: int = 0, min_changes: int = 0) -> None:
        self.random = random.Random(seed)
        self.cluster = WholeCluster(folder, seed, self.random)
        self.cluster.asks_for_two = min_changes > 0
        self.counts: Counter[str] = Counter()
        self.acknowledged: dict[str, list[bytes]] = {name: [] for name in TOPIC_IDS}
        self._sent_count = 0
        self._deeds: list[tuple[int, Callable[[], object]]] = [
            (30, self._deliver_frames),
            (26, self._deliver_message),
            (24, self._run_a_loop),
            (12, self._turn_a_runtime),
            (9, self._pass_time),
            (9, self._append),
            (4, self._take_a_decision),
            (2, self._move),
            (1, self._relink),
            (2, self._kill_or_start),
            (1, self._elect_by_hand),
            (1, self._break_a_disk),
            (cut_offs, self._cut_off_a_leader),
            (min_changes, self._alter_min_in_sync),
        ]

    def play(self, steps: int = STEPS) -> None:
        with self.cluster.watching():
            try:
                self.cluster.begin()
                self.invariants = BrokerInvariants(self.cluster)
                self._do_deeds(steps)
                self._heal()
                for name, topic in self.invariants.of_topic.items():
                    may_lose = topic.unclean_elections > 0
                    topic.check_at_the_end(self.acknowledged[name], may_lose=may_lose)
            finally:
                self.cluster.close()

    def _do_deeds(self, count: int) -> None:
        deeds, weights = zip(*((deed, weight) for weight, deed in self._deeds), strict=True)
        for deed in self.random.choices(deeds, weights, k=count):
            deed()
            self._after_event()

    def _after_event(self) -> None:
        self.cluster.run_due_timers()
        for broker in self.cluster.running():
            if broker.is_failing:
                self._end_failing(broker)
        self.invariants.check()

    # -- what goes on by itself

    def _deliver_frames(self) -> None:
        running = {broker.broker_id for broker in self.cluster.running()}
        queues = self.cluster.wires.queues
        waiting = [pair for pair, queue in queues.items() if queue and pair[1] in running]
        if waiting:
            self.cluster.deliver_frames(*self.random.choice(waiting), self.random.randrange(1, 4))

    def _deliver_message(self) -> None:
        waiting = [pair for pair, queue in self.cluster.queues.items() if queue]
        if waiting:
            self.cluster.deliver_message(*self.random.choice(waiting))

    def _run_a_loop(self) -> None:
        waiting = [broker for broker in self.cluster.running() if broker.loop]
        if waiting:
            broker = self.random.choice(waiting)
            broker.attempt(broker.loop.popleft())

    def _turn_a_runtime(self) -> None:
        due = [broker for broker in self.cluster.running() if broker.runtime.is_due]
        if due:
            self.random.choice(due).runtime.turn()

    def _pass_time(self) -> None:
        self.cluster.clock.advance(self.random.choice((10, 50, 50, 100, 300)))
        for broker in self.cluster.running():
            if self.random.random() < 0.7 and broker.runtime.is_due:
                broker.runtime.turn()
            if self.random.random() < 0.3:
                self._do_what_is_due(broker)

    def _do_what_is_due(self, broker: WholeBroker) -> None:
        """What the timetable of a broker has."""
        broker.attempt(lambda: broker.replicas.review_isrs(MAX_LAG_MS))
        broker.attempt(broker.check_disks)
        if self.random.random() < 0.1:
            broker.attempt(broker.replicas.seats.balance)

    def _take_a_decision(self) -> None:
        behind = [b for b in self.cluster.running() if b.cluster_group.is_behind]
        if behind:
            broker = self.random.choice(behind)
            broker.attempt(broker.cluster_group.take_next)

    # -- what people do

    def _append(self) -> None:
        leaders = [
            (broker, partition)
            for broker in self.cluster.running()
            for partition in broker.partitions()
            if partition.is_leader
        ]
        if leaders:
            broker, partition = self.random.choice(leaders)
            for _ in range(RECORDS_TOGETHER):
                self._append_to(broker, partition)

    def _append_to(self, broker: WholeBroker, partition: Partition) -> None:
        self._sent_count += 1
        value = b"%d" % self._sent_count
        topic = partition.topic
        offset, epoch = partition.log_end_offset, partition.leader_epoch

        def note(error: BaseException | None) -> None:
            if error is None:
                self.counts["acknowledged"] += 1
                self.acknowledged[topic].append(value)
                try:
                    self.invariants.of_topic[topic].acknowledged(broker, epoch, offset)
                except InvariantBrokenError as violation:
                    # A follower's fetch that released us would be answered with an error code.
                    self.cluster.violation = self.cluster.violation or violation

        try:
            if self.cluster.asks_for_two and self.random.random() < ACKS_1:
                broker.append_unseen(partition, value)
            else:
                broker.append(partition, value, note)
        except HeadraceError:
            self.counts["refused"] += 1  # refused is refused: nothing was promised

    def _move(self) -> None:
        """Have a partition elsewhere, or call that off: `ReassignPartitions`."""
        running = [b for b in self.cluster.running() if b.cluster_group.state.topics]
        if not running:
            return
        broker, name = self.random.choice(running), self.random.choice((CLEAN, UNCLEAN))
        state = broker.cluster_group.state
        topic = state.topics[name]
        asked = None
        if not topic.targets or self.random.random() < 0.6:
            asked = self._target_of(topic.assignments[0])
        part = {"partition_index": 0, "replicas": asked}
        try:
            target = targets_of(
                cast(Any, SimpleNamespace(cluster_state=state)), topic, part, may_change_count=True
            )
        except HeadraceError:
            return  # nothing moves
        if target is not None:
            self.counts["move" if asked else "move called off"] += 1
            seen = topic.assignments[0], topic.targets.get(0, ())
            command = ReassignPartitions(TOPIC_IDS[name], ((0, target),), (seen,))
            self.cluster.decisions.append(command)

    def _target_of(self, replicas: tuple[int, ...]) -> tuple[int, ...]:
        """Add some, remove some, both, or only another order."""
        others = [broker_id for broker_id in BROKER_IDS if broker_id not in replicas]
        kept = self.random.sample(replicas, self.random.randint(0, len(replicas)))
        added = self.random.sample(others, self.random.randint(0, len(others)))
        target = [*kept, *added] or list(replicas)
        self.random.shuffle(target)
        return tuple(target[:3])

    def _alter_min_in_sync(self) -> None:
        """Brokers hear of it one after the other, and of the isr in another order."""
        running = [b for b in self.cluster.running() if b.cluster_group.state.topics]
        if running:
            sets = {"min.insync.replicas": self.random.choice(("1", "2", "2", "3"))}
            name = self.random.choice((CLEAN, UNCLEAN))
            self.cluster.decisions.append(AlterConfigs(RESOURCE_TOPIC, name, sets))

    def _elect_by_hand(self) -> None:
        if not self.cluster.running():
            return
        broker = self.random.choice(self.cluster.running())
        topic = broker.cluster_group.state.topics.get(UNCLEAN)
        if topic is not None:
            is_unclean = self.random.random() < 0.7
            broker.attempt(
                lambda: broker.replicas.seats.elect_by_hand(
                    topic, 0, is_unclean=is_unclean, on_done=lambda outcome: None
                )
            )

    # -- what breaks

    def _relink(self) -> None:
        running = [broker.broker_id for broker in self.cluster.running()]
        if len(running) < 2:
            return
        a, b = self.random.sample(running, 2)
        if self.cluster.wires.is_linked(a, b):
            self.cluster.unlink(a, b)
        else:
            self.cluster.wires.link(a, b)

    def _cut_off_a_leader(self) -> None:
        """All links of one break, or stand again."""
        topic = self.invariants.of_topic[self.random.choice((CLEAN, UNCLEAN))]
        leader = topic.newest.leader
        running = [broker.broker_id for broker in self.cluster.running()]
        if leader not in running:
            return
        others = [broker_id for broker_id in running if broker_id != leader]
        linked = [other for other in others if self.cluster.wires.is_linked(leader, other)]
        for other in linked:
            self.cluster.unlink(leader, other)
        for other in () if linked else others:
            self.cluster.wires.link(leader, other)

    def _kill_or_start(self) -> None:
        stopped = [b for b in self.cluster.brokers.values() if not b.is_running]
        if stopped and (len(stopped) > 2 or self.random.random() < 0.6):
            self.cluster.restart(self.random.choice(stopped).broker_id)
            return
        broker = self._victim()
        dice = self.random.random()
        if broker.is_leaving or dice < 0.2:
            self.counts["clean stop"] += 1
            self.cluster.stop(broker.broker_id, clean=True)
        elif dice < 0.3:
            broker.is_leaving = True
            broker.attempt(broker.replicas.seats.stop_leading)
        elif dice < 0.6 and self.cluster.flushes:
            self.counts["power lost"] += 1
            for each in self.cluster.running():
                if each is broker or self.random.random() < 0.2:
                    self.cluster.lose_power(each.broker_id, self.random.random)
        else:
            self.counts["kill"] += 1
            self.cluster.stop(broker.broker_id, clean=False)

    def _victim(self) -> WholeBroker:
        """A broker that runs; often the one that leads, or all that is in sync."""
        running = self.cluster.running()
        unclean = self.invariants.of_topic[UNCLEAN].newest
        name = self.random.choice((CLEAN, UNCLEAN, UNCLEAN))
        leader = self.invariants.of_topic[name].newest.leader
        chance = 0.5
        if len(unclean.isr) == 1 and len(unclean.replicas) > 1:
            leader, chance = unclean.leader, 0.9  # only an unclean election helps then
        if self.random.random() < chance and self.cluster.brokers.get(leader) in running:
            return self.cluster.brokers[leader]
        return self.random.choice(running)

    def _break_a_disk(self) -> None:
        """Its next sync fails; of a log, one is asked for soon."""
        if not self.cluster.running():
            return
        broker = self.random.choice(self.cluster.running())
        kind = self.random.choice(("wal", "log", "log"))
        self.cluster.syncs.armed.add((broker.broker_id, kind))
        if kind == "log" and self.random.random() < 0.5:
            for log in broker.log_manager.logs():
                broker.attempt(log.flush)

    def _end_failing(self, broker: WholeBroker) -> None:
        """A broker that was told to stop by its disks stops, a moment later or at once."""
        self.counts["stopped by its disk"] += 1
        self._replace_failed(broker)

    def _replace_failed(self, broker: WholeBroker) -> None:
        self.cluster.drop_unsynced(
            broker.broker_id, keep_wal=self.random.random() < 0.5, keep=self.random.random()
        )

    # -- the end

    def _heal(self) -> None:
        """Start and link all, on disks that work, and let fair time pass until all is done."""
        cluster = self.cluster
        for broker in cluster.running():
            if cluster.has_failed_disk(broker.broker_id):
                self._replace_failed(broker)
            elif broker.is_leaving:
                cluster.stop(broker.broker_id, clean=True)
        cluster.syncs.armed.clear()
        for broker in cluster.brokers.values():
            if not broker.is_running:
                cluster.restart(broker.broker_id)
        cluster.link_all()
        for _ in range(MAX_HEALING_ROUNDS):
            self._heal_a_little()
            if self._is_one():
                return
        raise InvariantBrokenError(
            "Recovers", f"not in {MAX_HEALING_ROUNDS} rounds: {self._told()}"
        )

    def _heal_a_little(self) -> None:
        """Everything that waits goes on once, then time passes."""
        cluster = self.cluster
        for pair, queue in cluster.queues.items():
            for _ in range(len(queue)):
                cluster.deliver_message(*pair)
                self._after_event()
        for pair, wire in cluster.wires.queues.items():
            if wire:
                cluster.deliver_frames(*pair, len(wire))
        for broker in cluster.running():
            while broker.cluster_group.is_behind:
                broker.cluster_group.take_next()
            for _ in range(len(broker.loop)):
                broker.attempt(broker.loop.popleft())
                self._after_event()
            if broker.runtime.is_due:
                broker.runtime.turn()
        cluster.clock.advance(50)
        for broker in cluster.running():
            broker.attempt(lambda broker=broker: broker.replicas.review_isrs(MAX_LAG_MS))
        self._after_event()

    def _is_one(self) -> bool:
        return all(self._is_topic_one(name) for name in TOPIC_IDS) and not any(
            broker.runtime.has_seeds or broker.cluster_group.is_behind
            for broker in self.cluster.running()
        )

    def _is_topic_one(self, name: str) -> bool:
        state = self.invariants.of_topic[name].newest
        copies = self.cluster.replicas_of(name)
        holders = [broker.broker_id for broker, _ in copies]
        if sorted(holders) != sorted(state.replicas):
            return False
        if set(state.isr) != {(broker.broker_id, broker.incarnation) for broker, _ in copies}:
            return False
        for broker in self.cluster.running():
            topic = broker.cluster_group.state.topics[name]
            if topic.targets or topic.assignments[0] != state.replicas:
                return False
            seat = broker.replicas.seats.seat_of(TOPIC_IDS[name], 0)
            if (seat is not None) != (broker.broker_id in state.voters):
                return False
            if seat is not None and seat.group.state != state:
                return False
            logs = {log.topic for log in broker.log_manager.logs()}
            if (name in logs) != (broker.broker_id in state.replicas):
                return False
        ends = {partition.log.log_end_offset for _, partition in copies if partition.log}
        marks = {partition.high_watermark for _, partition in copies}
        is_led = [partition.is_leader for _, partition in copies].count(True) == 1
        return is_led and len(ends) == 1 and marks == ends and all(p.log for _, p in copies)

    def _told(self) -> str:
        lines = []
        for name, topic in self.invariants.of_topic.items():
            lines.append(f"{topic.newest}")
            for broker, partition in self.cluster.replicas_of(name):
                end = partition.log.log_end_offset if partition.log else None
                lines.append(
                    f"{broker.broker_id}: {partition!r} {end} {partition.high_watermark} "
                    f"leads={partition.is_leader} {partition.offline_reason}"
                )
            topics = [b.cluster_group.state.topics[name] for b in self.cluster.running()]
            lines.append(f"{[(each.assignments, dict(each.targets)) for each in topics]}")
        return "\n".join(lines)


def run_broker_history(
    seed: int, steps: int = STEPS, *, cut_offs: int = 0, min_changes: int = 0
) -> Counter[str]:
    """The history of one seed; raises InvariantBrokenError, gives counts of what happened."""
    with history_folder("brokers", seed) as folder:
        history = BrokerHistory(seed, folder, cut_offs=cut_offs, min_changes=min_changes)
        history.play(steps)
    counts = history.counts
    for name, topic in history.invariants.of_topic.items():
        counts["unclean elections"] += topic.unclean_elections
        counts["elections from the elr"] += topic.elr_elections
        counts["states with an elr"] += topic.elr_states
        counts["generations"] += topic.newest.generation
        counts["leader epochs"] += topic.newest.leader_epoch
        counts[f"committed, {name}"] += len(topic.committed)
    return counts


def run_eligible_history(seed: int) -> Counter[str]:
    """As `run_broker_history`, of topics that ask for two in sync, or three, or one after all."""
    return run_broker_history(seed, min_changes=MIN_CHANGES)
