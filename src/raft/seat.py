"""`Seat`: one group of a partition that this broker votes in, and its replica where it has one."""

from .partition import Partition
from .partition_group import PartitionGroup


class Seat:
    """See the module.

    `was_held`: this broker held the replica before this life of its process, so its log is in one
    of the log.dirs, or lost with one; it is not to begin anew while one of them cannot be read.
    """

    __slots__ = (
        "forgettable",
        "group",
        "index",
        "is_controller",
        "is_deciding",
        "partition",
        "topic",
        "was_held",
    )

    def __init__(self, topic: str, index: int, group: PartitionGroup) -> None:
        self.topic = topic
        self.index = index
        self.group = group
        self.partition: Partition | None = None
        self.is_controller = group.is_alone
        self.is_deciding = False
        self.forgettable = ""  # the group that this broker decided alone in before this one
        self.was_held = False

    def note_held(self, broker_id: int) -> None:
        """The group comes from the journal of an earlier life: so does its replica, if any."""
        replicas = self.group.state.replicas
        self.was_held = not replicas or broker_id in replicas
