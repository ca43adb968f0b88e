"""What the cluster agreed on about one broker and one topic; replaced, never changed.

A partition with several voters is born led: its first state follows from the topic's creation and
from who was registered then, so every voter begins with the same one and no election is needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .cluster_commands import Assignments
from .partition_state import NO_LEADER, PartitionState
from .placement import choose_voters
from .topic_names import is_internal_topic


@dataclass(frozen=True, slots=True)
class BrokerRegistration:
    """Where a broker is reached, and which life of its process this is; see `RegisterBroker`."""

    broker_id: int
    incarnation: int
    host: str
    port: int
    rack: str | None
    session: int = 0
    wal_id: int = 0
    listeners: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class BirthMember:
    """One broker as it was registered when partitions were born."""

    broker_id: int
    incarnation: int
    session: int
    wal_id: int


@dataclass(frozen=True, slots=True)
class Birth:
    """How the partitions from `first_partition` on were made: who held them, who was there."""

    first_partition: int
    assignments: Assignments
    members: tuple[BirthMember, ...]


@dataclass(frozen=True, slots=True)
class TopicImage:
    """One topic.  `assignments` are who holds it now, `targets` who is to hold what moves."""

    name: str
    topic_id: bytes
    assignments: Assignments
    configs: Mapping[str, str]
    births: tuple[Birth, ...] = ()
    targets: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def is_internal(self) -> bool:
        return is_internal_topic(self.name)

    @property
    def partition_count(self) -> int:
        return len(self.assignments)

    def holders_of(self, index: int, state: PartitionState | None) -> tuple[int, ...]:
        """Who holds a partition, as Kafka tells it: while it moves, who is to hold it in that order
        already, then who is to leave.

        Where it does not move the cluster knows: its own `state` may be heard later than that.
        """
        present, target = self.assignments[index], self.targets.get(index)
        if target is None:
            return present
        held = present if state is None else state.replicas
        return (*target, *(each for each in held if each not in target))

    def birth_of(self, index: int) -> tuple[PartitionState, Mapping[int, BirthMember]] | None:
        """(first state, who was registered) of a partition; None where nobody of it was there."""
        for birth in reversed(self.births):
            if birth.first_partition <= index:
                members = {member.broker_id: member for member in birth.members}
                replicas = birth.assignments[index - birth.first_partition]
                return _first_state(replicas, members), members
        return None


def _first_state(replicas: tuple[int, ...], members: Mapping[int, BirthMember]) -> PartitionState:
    voters = choose_voters(replicas, members)
    present = [members[broker_id] for broker_id in replicas if broker_id in members]
    return PartitionState(
        replicas=replicas,
        voters=voters,
        leader=present[0].broker_id if present else NO_LEADER,
        leader_epoch=0 if present else -1,
        partition_epoch=0,
        isr=tuple((member.broker_id, member.incarnation) for member in present),
        leader_session=present[0].session if present else 0,
        wal_ids=tuple(members[v].wal_id if v in members else 0 for v in voters),
    )
