"""`EndedMoves`: tells the cluster of partitions whose groups have moved, each once at a time.

The cluster may have no Controller for a while: what else the partitions need does not wait for it.
"""

from collections.abc import Callable
from typing import Any

from .cluster_commands import FinishReassignment
from .cluster_group import ClusterGroup
from .seat import Seat
from .topic_image import TopicImage


class EndedMoves:
    """See the module; `on_told(seat)`: the cluster decided on it, or did not."""

    def __init__(self, cluster_group: ClusterGroup, on_told: Callable[[Seat], None]) -> None:
        self._cluster_group = cluster_group
        self._on_told = on_told
        self._telling: set[Seat] = set()

    def tell(self, seat: Seat, topic: TopicImage) -> None:
        """The seat's group holds it where it says, wherever `topic` takes it to be."""
        if seat in self._telling:
            return
        self._telling.add(seat)

        def done(_result: Any) -> None:
            self._telling.discard(seat)
            self._on_told(seat)

        replicas, seen = seat.group.state.replicas, topic.assignments[seat.index]
        command = FinishReassignment(topic.topic_id, seat.index, replicas, seen)
        self._cluster_group.propose(command, done)
