"""Raft groups whose leaders die between writing and sending: figure 8 of the Raft paper, by chance.

An entry of an old term may then come to a majority under a leader of a later term and be replaced
all the same, by a leader which no other had heard of when it died.  In the usual histories
(`raft_simulation.py`) that hardly ever comes together.
"""

from collections import Counter
from typing import Any

from tests.simulation.raft_simulation import RaftSimulation, SmallGroup
from tests.support.raft_cluster import Member


class EntryByEntry(SmallGroup):
    """A leader's own first entry seldom shares a message with what it has of older terms."""

    message_bytes = 6


class RestlessLeaders(RaftSimulation):
    """One such history."""

    sizes = (3,)
    generations_chance = 0.0

    def __init__(self, seed: int, *, group_class: type[Any] = EntryByEntry) -> None:
        super().__init__(seed, group_class=group_class)
        self._events = {
            self._deliver_some: 80,
            self._pass_time: 5,
            self._submit: 6,
            self._relink: 1,
            self._crash_a_leader: 1,
            self._restart_one: 8,
            self._campaign_without_asking: 6,
        }

    def _random_event(self) -> None:
        (event,) = self.random.choices(list(self._events), list(self._events.values()))
        event()

    def _draw_burst(self) -> int:
        """One message: what comes with it is no more than that."""
        return 1

    def _end_turn(self, member: Member) -> None:
        """A leader may die once its turn is on disk, before anything of it leaves."""
        if self.random.random() < 0.1 and any(g.is_leader for g in member.groups.values()):
            member.finish_ticks()
            member.write_disk()
            self._count("crash in a turn")
            self.crash(member.broker_id)
        else:
            member.finish_turn()

    def _crash_a_leader(self) -> None:
        found = self._groups(only_leaders=True)
        if found and self.random.random() < 0.7:
            self._count("crash")
            self.crash(self.random.choice(found)[0].broker_id)
        else:
            self._crash_one()


def run_restless_history(seed: int) -> Counter[str]:
    """The history of one seed; raises InvariantViolated, gives what happened in it."""
    simulation = RestlessLeaders(seed)
    simulation.run_history()
    return Counter(simulation.counts)
