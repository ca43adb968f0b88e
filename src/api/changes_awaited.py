"""`ChangesAwaited`: who waits until something holds that decisions, or brokers that come, bring.

Whoever waits looks once it begins, and again after each turn of the loop in which the cluster or a
partition decided something, or other brokers were up.  Loop thread only.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from ..raft.cluster_commands import Command
from ..raft.cluster_group import ClusterGroup
from ..raft.group_seats import GroupSeats


class ChangesAwaited:
    """See the module."""

    def __init__(self, cluster_group: ClusterGroup, seats: GroupSeats) -> None:
        self._waiting: set[asyncio.Event] = set()
        cluster_group.add_listener(self._decided)
        seats.on_state.append(self._state_taken)

    def _state_taken(self, _base_id: str) -> None:
        self.note()

    def _decided(self, _command: Command, _result: Any) -> None:
        self.note()

    def peers_changed(self, _peers: Mapping[int, Any]) -> None:
        """Other brokers are up than before."""
        self.note()

    def note(self) -> None:
        """Something changed."""
        for changed in self._waiting:
            changed.set()

    async def until(self, holds: Callable[[], bool], *, within_s: float) -> bool:
        """Whether it came to hold in that time; what `holds` raises goes to the caller."""
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            async with asyncio.timeout(within_s):
                while not holds():
                    await changed.wait()
                    changed.clear()
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(changed)
        return True
