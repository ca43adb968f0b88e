"""One seed, one history of a replicated partition: `run_history(seed, folder)`.

The seed chooses what happens next, out of all that can: a message arrives, a loop comes to its
mail, time passes, a producer appends, a link breaks, a broker dies, with or without its unsynced
records.  At the end everything heals, and the cluster has to become one again.
"""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from headrace.core.errors import HeadraceError
from tests.simulation.history_folder import history_folder
from tests.simulation.invariant_broken import InvariantBrokenError
from tests.simulation.replication_cluster import (
    MAX_LAG_MS,
    ReplicationCluster,
    SimulatedBroker,
)
from tests.simulation.replication_invariants import Invariants

STEPS = 700
MAX_HEALING_STEPS = 6000


class History:
    """Plays one seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.cluster = ReplicationCluster(folder, seed, min_in_sync=1 if seed % 3 else 2)
        self.invariants = Invariants(self.cluster)
        self.acknowledged: list[bytes] = []
        self._sent_count = 0
        self._deeds: list[tuple[int, Callable[[], object]]] = [
            (30, self._deliver_raft),
            (34, self._deliver_message),
            (14, self._take_mail),
            (7, self._pass_time),
            (9, self._append),
            (3, self._shrink),
            (1, self._break_or_mend_a_link),
            (1, self._kill_or_start),
            (1, self._sync_a_log),
        ]

    def play(self, steps: int = STEPS) -> None:
        deeds = [deed for _, deed in self._deeds]
        weights = [weight for weight, _ in self._deeds]
        try:
            for deed in self.random.choices(deeds, weights, k=steps):
                deed()
                self.cluster.run_due_timers()
                self.invariants.check()
            self._heal()
            self.invariants.check_at_the_end(self.acknowledged)
        finally:
            self.cluster.close()

    # -- what can happen

    def _running(self) -> list[SimulatedBroker]:
        return [broker for broker in self.cluster.brokers.values() if broker.is_running]

    def _deliver_raft(self) -> None:
        waiting = [pair for pair, queue in self.cluster.raft.queues.items() if queue]
        if waiting:
            self.cluster.raft.deliver(*self.random.choice(waiting), self.random.randrange(1, 4))

    def _deliver_message(self) -> None:
        waiting = [pair for pair, queue in self.cluster.queues.items() if queue]
        if waiting:
            self.cluster.deliver(*self.random.choice(waiting))

    def _take_mail(self) -> None:
        waiting = [broker for broker in self._running() if broker.posted]
        if waiting:
            # A leader may commit by one state and be deposed by the next.
            self.random.choice(waiting).take_posted(self.invariants.check)

    def _pass_time(self) -> None:
        self.cluster.pass_time(self.random.choice((10, 50, 50, 100)))
        for broker in self._running():
            broker.control()

    def _append(self) -> None:
        leaders = [broker for broker in self._running() if broker.partition.is_leader]
        if not leaders:
            return
        self._sent_count += 1
        value = b"%d" % self._sent_count

        def note(error: BaseException | None) -> None:
            if error is None:
                self.acknowledged.append(value)

        try:
            self.random.choice(leaders).append(value, note)
        except HeadraceError:
            return  # refused is refused: nothing was promised

    def _shrink(self) -> None:
        for broker in self._running():
            broker.partition.review_isr(self.cluster.clock.monotonic_ms(), MAX_LAG_MS)

    def _break_or_mend_a_link(self) -> None:
        raft = self.cluster.raft
        running = [broker.broker_id for broker in self._running()]
        if len(running) < 2:
            return
        a, b = self.random.sample(running, 2)
        if raft.is_linked(a, b):
            self.cluster.unlink(a, b)
        else:
            raft.link(a, b)

    def _kill_or_start(self) -> None:
        stopped = [broker for broker in self.cluster.brokers.values() if not broker.is_running]
        if stopped and (len(stopped) > 1 or self.random.random() < 0.8):
            self.cluster.restart(self.random.choice(stopped).broker_id)
            return
        broker = self.random.choice(self._running())
        if self.random.random() < 0.3:
            self.cluster.stop_cleanly(broker.broker_id)
            return
        keep_bytes = 1.0
        if self.random.random() < 0.4 and self._others_hold_all(broker):
            keep_bytes = self.random.random()
        self.cluster.crash(broker.broker_id, keep_bytes=keep_bytes)

    def _others_hold_all(self, broker: SimulatedBroker) -> bool:
        """Whether the isr has a member whose disk lost nothing: else a loss would be allowed.

        Nor may the isr be on its way to this broker alone.
        """
        cluster = self.cluster
        for each in cluster.brokers.values():
            member = (each.broker_id, each.incarnation)
            # A broker that is down stands in the isr for what it held before it lost it.
            if each.is_running and member in cluster.newest_state.isr:
                each.has_lost = False
        leaders = [each.partition for each in self._running() if each.partition.is_leader]
        if any(p._followers is not None and p._followers._pending for p in leaders):
            return False
        if any(queue for queue in cluster.raft.queues.values()) or self._may_yet_be_decided():
            return False
        others = [
            cluster.brokers[each]
            for each, _ in cluster.newest_state.isr
            if each != broker.broker_id
        ]
        return any(not each.has_lost for each in others)

    def _may_yet_be_decided(self) -> bool:
        """Whether a journal holds what nobody has applied: a later leader may commit it."""
        members = self.cluster.raft.members.values()
        applied = max(each.group.applied_index for each in members if each.is_running)
        ends = [each.group.last_index for each in members if each.is_running]
        ends += [image.last_index for each in members for image in each.disk.values()]
        return max(ends) > applied

    def _sync_a_log(self) -> None:
        self.random.choice(self._running()).log.flush()

    # -- the end

    def _heal(self) -> None:
        """Start and link all, and let fair time pass until they are one."""
        cluster = self.cluster
        for broker_id, broker in cluster.brokers.items():
            if not broker.is_running:
                cluster.restart(broker_id)
        cluster.raft.heal()
        for _ in range(MAX_HEALING_STEPS):
            for pair, queue in cluster.queues.items():
                for _ in range(len(queue)):
                    if queue is cluster.queues[pair] and queue:
                        cluster.deliver(*pair)
                        self.invariants.check()
            for pair in cluster.raft.queues:
                cluster.raft.deliver(*pair)
            for broker in self._running():
                broker.take_posted(self.invariants.check)
                broker.partition.review_isr(cluster.clock.monotonic_ms(), MAX_LAG_MS)
            self._pass_time()
            cluster.run_due_timers()
            self.invariants.check()
            if self._is_one():
                return
        raise InvariantBrokenError(
            "Recovers", f"not after {MAX_HEALING_STEPS} steps: {self._told()}"
        )

    def _is_one(self) -> bool:
        brokers = list(self.cluster.brokers.values())
        state = self.cluster.newest_state
        in_sync = {(broker.broker_id, broker.incarnation) for broker in brokers}
        ends = {broker.log.log_end_offset for broker in brokers}
        marks = {broker.partition.high_watermark for broker in brokers}
        return set(state.isr) == in_sync and len(ends) == 1 and marks == ends

    def _told(self) -> str:
        brokers = self.cluster.brokers.values()
        lines = [
            f"{b.partition!r} {b.log.log_end_offset} {b.partition.high_watermark}" for b in brokers
        ]
        return f"{self.cluster.newest_state} {lines}"


def run_history(seed: int, steps: int = STEPS) -> History:
    """Play the seed; raises InvariantBrokenError with the seed in its notes."""
    with history_folder("replication", seed) as folder:
        history = History(seed, folder)
        history.play(steps)
    return history


def run_replication_history(seed: int) -> Counter[str]:
    """The history of one seed; raises InvariantBrokenError, gives counts of what happened."""
    history = run_history(seed)
    return Counter(
        committed=len(history.invariants.committed),
        acknowledged=len(history.acknowledged),
        leader_epochs=history.cluster.newest_state.leader_epoch,
    )
