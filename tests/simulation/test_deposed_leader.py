"""A broker restarts, and the first that it meets is a leader which was deposed and does not know.

It has forgotten what was decided since its journal's last checkpoint, so it takes that one for the
leader, too.  Nothing that was acknowledged meanwhile may be cut from its log for that.
"""

import random
from pathlib import Path

import pytest

from headrace.raft.leader_doubts import LeaderDoubts
from headrace.raft.partition import Partition
from tests.simulation.broker_invariants import BrokerInvariants, TopicInvariants
from tests.simulation.broker_simulation import BrokerHistory
from tests.simulation.invariant_broken import InvariantBrokenError
from tests.simulation.whole_cluster import BROKER_IDS, CLEAN

SEEDS = (2, 8)
"""Of those whose clean topic has two copies and acknowledges what one of them has."""


class Meeting(BrokerHistory):
    """The history."""

    def play_meeting(self) -> None:
        with self.cluster.watching():
            try:
                self.cluster.begin()
                self.invariants = BrokerInvariants(self.cluster)
                self._depose_the_leader()
                self._meet()
                self._heal()
                topic = self.invariants.of_topic[CLEAN]
                topic.check_at_the_end(self.acknowledged[CLEAN], may_lose=False)
            finally:
                self.cluster.close()

    def _in_peace(self, rounds: int) -> None:
        for _ in range(rounds):
            self._heal_a_little()

    def _depose_the_leader(self) -> None:
        self._in_peace(60)
        self.old, self.new = self.invariants.of_topic[CLEAN].newest.replicas
        for other in BROKER_IDS:
            if other != self.old:
                self.cluster.unlink(self.old, other)
        self._in_peace(60)
        assert self.invariants.of_topic[CLEAN].newest.leader == self.new
        self._append_to(self.cluster.brokers[self.new], self._copy())
        self._in_peace(5)
        assert self.acknowledged[CLEAN]

    def _copy(self) -> Partition:
        copies = dict(self.cluster.replicas_of(CLEAN))
        return copies[self.cluster.brokers[self.new]]

    def _meet(self) -> None:
        """The new leader is killed and comes back; only these two hear of each other for long."""
        self.cluster.stop(self.new, clean=False)
        self.cluster.restart(self.new)
        chance, cluster = random.Random(0), self.cluster
        for _ in range(200):
            for pair in ((self.old, self.new), (self.new, self.old)):
                if cluster.wires.queues[pair] and chance.random() < 0.5:
                    cluster.deliver_frames(*pair, 1)
                if cluster.queues[pair]:
                    cluster.deliver_message(*pair)
            for broker in (cluster.brokers[self.old], cluster.brokers[self.new]):
                if broker.runtime.is_due:
                    broker.runtime.turn()
                if broker.loop:
                    broker.attempt(broker.loop.popleft())
            self._after_event()
        assert self._copy().leader_epoch == 0


@pytest.fixture(autouse=True)
def unnoticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old leader was cut off and did not notice, as one that was paused meanwhile.

    Who noticed would have to prove first that it still leads.
    """
    monkeypatch.setattr(LeaderDoubts, "must_prove", lambda self, group: False)
    monkeypatch.setattr(TopicInvariants, "_check_return", lambda self, broker, partition: None)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_deposed_leader_cuts_nothing_that_was_acknowledged(seed: int, tmp_path: Path) -> None:
    Meeting(seed, tmp_path).play_meeting()


def test_the_checker_sees_that_the_rule_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Partition, "_has_forgotten_epochs", lambda self, leader_epoch: False)
    with pytest.raises(InvariantBrokenError, match="IsrMembersHoldCommitted"):
        Meeting(SEEDS[0], tmp_path).play_meeting()
