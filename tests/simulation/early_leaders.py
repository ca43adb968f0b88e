"""Raft groups whose brokers die between sending and writing, and whose disks fill up.

What leaves before the batch is on disk (`early_appends.py`) arrives here and there, and the broker
that sent it forgets it.  A full disk keeps back whole turns, while answers still come in.
"""

from collections import Counter

from headrace.raft.early_appends import EARLY_MESSAGES
from headrace.raft.message_codec import GroupMessage
from tests.simulation.restless_leaders import RestlessLeaders
from tests.support.raft_cluster import Member


class EarlyLeaders(RestlessLeaders):
    """One such history."""

    full_disk_chance = 0.1

    def _end_turn(self, member: Member) -> None:
        dice = self.random.random()
        if dice < 0.03:
            member.finish_ticks()
            self._send_early(member)
            self._count("crash before the disk")
            self.crash(member.broker_id)
        elif dice > 1 - self.full_disk_chance:
            self._count("full disk")
            member.hold()
        else:
            member.finish_turn()


class RepliesAtOnce(EarlyLeaders):
    """Without waiting for the disk before an entry is acknowledged."""

    early_messages = EARLY_MESSAGES | {GroupMessage.APPEND_REPLY}


def run_early_history(seed: int) -> Counter[str]:
    """The history of one seed; raises InvariantViolated, gives what happened in it."""
    simulation = EarlyLeaders(seed)
    simulation.run_history()
    return Counter(simulation.counts)
