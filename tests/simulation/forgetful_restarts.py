"""Brokers that come back hear at first of one other only: of a leader that was replaced, perhaps.

A leader that lost its links to some of the voters, and not to most, does not notice when the others
elect another one.  Who restarts then, and meets it before anybody else, has forgotten what was
decided since its journal's last checkpoint; so the two could go on together, and what they commit
is lost with the next leader.  In the usual histories (`broker_simulation.py`) that hardly ever
comes together.
"""

from collections import Counter
from pathlib import Path

from headrace.raft.partition import Partition
from tests.simulation.broker_simulation import BrokerHistory
from tests.simulation.history_folder import history_folder
from tests.simulation.whole_cluster import CLEAN, TOPIC_IDS, WholeBroker

ACTS = 4
PEACE = 15
"""Rounds in which everything that waits goes on, until all is as it should be, mostly."""
MEETING_STEPS = 60


class ForgetfulRestarts(BrokerHistory):
    """One such history, of the clean topic."""

    def __init__(self, seed: int, folder: Path) -> None:
        super().__init__(seed, folder)
        self.cluster.copy_counts = (3,)

    def _do_deeds(self, count: int) -> None:
        for _ in range(count):
            self._act()

    def _act(self) -> None:
        """One replica falls out of the isr and comes back, but to the next leader; the last leader
        does not hear of that one, and meets who restarts."""
        self._mend()
        self._have_another_decide()
        self._end_a_follower()
        self._in_peace(self.random.randrange(3, 8))
        self._append_everywhere()
        self._start_all()
        self._in_peace(self.random.randrange(3))
        self._part_a_leader()
        self._in_peace(self.random.randrange(4, 12))
        if self.random.random() < 0.2:
            self._append_everywhere()
        self._meet()
        self._in_peace(self.random.randrange(10))

    def _mend(self) -> None:
        self._start_all()
        self.cluster.link_all()
        self._in_peace(PEACE)

    def _start_all(self) -> None:
        for broker in self.cluster.brokers.values():
            if not broker.is_running:
                self.cluster.restart(broker.broker_id)
                self._after_event()

    def _have_another_decide(self) -> None:
        """Than the leader: so it is once that has restarted, and leads again."""
        leaders = self._leaders()
        if leaders and self._decides(leaders[-1][0].broker_id):
            self.cluster.stop(leaders[-1][0].broker_id, clean=self.random.random() < 0.5)
            self._in_peace(5)
            self._start_all()
            self._in_peace(PEACE)
            for broker in self.cluster.running():
                broker.attempt(broker.replicas.seats.balance)
            self._in_peace(5)

    def _in_peace(self, rounds: int) -> None:
        for _ in range(rounds):
            self._heal_a_little()

    def _leaders(self) -> list[tuple[WholeBroker, Partition]]:
        """Who believes to lead, the one of the latest epoch last."""
        found = [each for each in self.cluster.replicas_of(CLEAN) if each[1].is_leader]
        return sorted(found, key=lambda each: each[1].leader_epoch)

    def _part_a_leader(self) -> None:
        """It hears no more of who decides about its partition, or of another one."""
        leaders = self._leaders()
        if not leaders:
            return
        leader = leaders[-1][0].broker_id
        others = [b.broker_id for b in self.cluster.running() if b.broker_id != leader]
        deciding = [each for each in others if self._decides(each)]
        for other in deciding or others[:1]:
            self.cluster.unlink(leader, other)
        self.counts["leader parted"] += 1
        self.counts["leader parted from controller"] += len(deciding)

    def _decides(self, broker_id: int) -> bool:
        seat = self.cluster.brokers[broker_id].replicas.seats.seat_of(TOPIC_IDS[CLEAN], 0)
        return seat is not None and seat.is_controller

    def _end_a_follower(self) -> None:
        """So that the isr is smaller for a while; mostly one that does not decide."""
        leaders = {broker for broker, _ in self._leaders()}
        followers = [b.broker_id for b, _ in self.cluster.replicas_of(CLEAN) if b not in leaders]
        if self.random.random() < 0.8:
            followers = [each for each in followers if not self._decides(each)]
        if followers:
            self.cluster.stop(self.random.choice(followers), clean=False)
            self.counts["kill"] += 1

    def _append_everywhere(self) -> None:
        for broker, partition in self._leaders():
            self._append_to(broker, partition)
            self._after_event()  # who is alone in the isr has committed it

    def _meet(self) -> None:
        """One restarts, and hears for a while only of who leads by an older epoch, if anybody."""
        leaders = self._leaders()
        newest = self.invariants.of_topic[CLEAN].newest
        if not leaders:
            return
        other, led = leaders[0]
        candidates = [
            broker
            for broker, _ in self.cluster.replicas_of(CLEAN)
            if broker is not other and (broker.broker_id, broker.incarnation) in newest.isr
        ]
        if not candidates:
            return
        counted = {broker_id for broker_id, _ in led.group.state.isr}
        both = [each for each in candidates if each.broker_id in counted]
        broker = self.random.choice(both or candidates)
        is_clean = self.random.random() < 0.5
        self.cluster.stop(broker.broker_id, clean=is_clean)
        self._restart_alone(broker, other)
        self.counts["meeting"] += 1
        if led.leader_epoch < newest.leader_epoch:
            how = "stopped" if is_clean else "killed"
            self.counts[f"{how}, meets a replaced leader"] += 1
        self._append_to(other, led)
        self._after_event()
        self._let_them_talk(broker, other)
        if self.random.random() < 0.5:
            self.cluster.link_all()

    def _restart_alone(self, broker: WholeBroker, other: WholeBroker) -> None:
        self.cluster.restart(broker.broker_id)
        for each in self.cluster.running():
            if each not in (broker, other):
                self.cluster.unlink(broker.broker_id, each.broker_id)

    def _let_them_talk(self, broker: WholeBroker, other: WholeBroker) -> None:
        cluster, pair = self.cluster, (broker.broker_id, other.broker_id)
        for _ in range(MEETING_STEPS):
            for way in (pair, pair[::-1]):
                if cluster.wires.queues[way] and self.random.random() < 0.5:
                    cluster.deliver_frames(*way, 1)
                    self._after_event()
                if cluster.queues[way]:
                    cluster.deliver_message(*way)
                    self._after_event()
            for each in (broker, other):
                if each.runtime.is_due:
                    each.runtime.turn()
                    self._after_event()
                if each.loop:
                    each.attempt(each.loop.popleft())
                    self._after_event()


def run_forgetful_history(seed: int, steps: int = ACTS) -> Counter[str]:
    """The history of one seed; raises InvariantBrokenError, gives counts of what happened."""
    with history_folder("forgetful", seed) as folder:
        history = ForgetfulRestarts(seed, folder)
        history.play(steps)
    return history.counts
