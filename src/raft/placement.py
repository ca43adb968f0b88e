"""Which brokers hold a new partition, and which of them only vote.  Pure: chance is an argument."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from .cluster_commands import Assignments
from .errors import (
    InvalidPartitionsError,
    InvalidReplicationFactorError,
)

if TYPE_CHECKING:
    from .topic_image import BrokerRegistration

VOTER_COUNT = 3


def place_partitions(
    brokers: Collection["BrokerRegistration"],
    *,
    partition_count: int,
    replication_factor: int,
    first_partition: int = 0,
    start_index: int = 0,
    missing: Collection["BrokerRegistration"] = (),
) -> Assignments:
    """Assignments of `partition_count` partitions, numbered from `first_partition` on.

    Leaders go round the brokers from `start_index` (any number: callers draw it); followers stand
    behind their leader, one step further each round, in other racks as long as there are any.
    Of `missing`, who are registered and down, stand as many behind them as the factor needs, as in
    Kafka: they fetch what they lack once they are back.
    """
    if partition_count < 1:
        raise InvalidPartitionsError(f"{partition_count} partitions: at least one is needed")
    most = len(brokers) + len(missing)
    if not 1 <= replication_factor <= most:
        raise InvalidReplicationFactorError(
            f"replication factor {replication_factor}: this cluster can hold 1 to {most} "
            "copies, one a broker"
        )
    ring = _alternate_racks(brokers)
    live_count = min(replication_factor, len(ring))
    absent = [broker.broker_id for broker in _alternate_racks(missing)]
    absent_count = replication_factor - live_count
    return tuple(
        _replicas_of(ring, number, start_index, live_count)
        + tuple(_turned(absent, start_index + number)[:absent_count])
        for number in range(first_partition, first_partition + partition_count)
    )


def grown_assignments(
    assignments: Assignments, brokers: Collection["BrokerRegistration"], replication_factor: int
) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """(index, replicas) of the partitions that get more copies; who holds them now stays.

    As many copies as brokers allow, up to `replication_factor`; new ones go round the brokers, in
    other racks as long as there are any.
    """
    rack_of = {broker.broker_id: broker.rack for broker in brokers}
    grown = []
    for index, replicas in enumerate(assignments):
        spare = sorted(broker_id for broker_id in rack_of if broker_id not in replicas)
        turned = _turned(spare, index)
        chosen = list(replicas)
        while turned and len(chosen) < replication_factor:
            used = {rack_of.get(broker_id) for broker_id in chosen} - {None}
            best = next((each for each in turned if rack_of[each] not in used), turned[0])
            chosen.append(best)
            turned.remove(best)
        if len(chosen) > len(replicas):
            grown.append((index, tuple(chosen)))
    return tuple(grown)


def choose_voters(replicas: Sequence[int], brokers: Collection[int]) -> tuple[int, ...]:
    """The replicas, and witnesses up to three voters where the cluster has the brokers for it."""
    spare = sorted(broker_id for broker_id in brokers if broker_id not in replicas)
    missing_count = max(0, VOTER_COUNT - len(replicas))
    if len(replicas) == 1 or missing_count > len(spare):
        return tuple(replicas)
    return (*replicas, *_turned(spare, sum(replicas))[:missing_count])


def _alternate_racks(brokers: Collection["BrokerRegistration"]) -> list["BrokerRegistration"]:
    """All brokers in a ring whose neighbours stand in different racks as far as possible."""
    racks: dict[str | None, list[BrokerRegistration]] = {}
    for broker in sorted(brokers, key=lambda broker: broker.broker_id):
        racks.setdefault(broker.rack, []).append(broker)
    columns: Mapping[str | None, list[BrokerRegistration]] = dict(
        sorted(racks.items(), key=lambda item: item[0] or "")
    )
    longest = max((len(column) for column in columns.values()), default=0)
    return [
        column[place]
        for place in range(longest)
        for column in columns.values()
        if place < len(column)
    ]


def _replicas_of(
    ring: Sequence["BrokerRegistration"], number: int, start_index: int, replication_factor: int
) -> tuple[int, ...]:
    count = len(ring)
    leader_place = (start_index + number) % count
    chosen = [ring[leader_place]]
    step = number // count
    candidates = [
        ring[(leader_place + 1 + (step + further) % (count - 1)) % count]
        for further in range(count - 1)
    ]
    while len(chosen) < replication_factor:
        used_racks = {broker.rack for broker in chosen}
        candidate = next(
            (broker for broker in candidates if broker.rack not in used_racks), candidates[0]
        )
        chosen.append(candidate)
        candidates.remove(candidate)
    return tuple(broker.broker_id for broker in chosen)


def _turned(broker_ids: list[int], by: int) -> list[int]:
    """The same in their order, from number `by` on, counted round and round."""
    first = by % max(len(broker_ids), 1)
    return broker_ids[first:] + broker_ids[:first]
