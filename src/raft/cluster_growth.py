"""Who should vote on the cluster: it grows 1 -> 3 -> 5 as brokers come, and never shrinks alone.

Pure.  One change at a time; each begins a new generation of the cluster's group.
"""

from collections.abc import Collection

from .cluster_commands import ChangeVoters
from .cluster_state import ClusterState

VOTER_STEPS = (5, 3)


def next_voters(state: ClusterState, live: Collection[int], own_id: int) -> ChangeVoters | None:
    """The change of voters that is due, or None.

    A voter whose write-ahead log was lost votes again from the next generation on.
    """
    voters = state.voters or (own_id,)
    wanted = max((n for n in VOTER_STEPS if n <= _fit_count(state, live, voters)), default=0)
    if wanted > len(voters):
        spare = sorted(b for b in live if b in state.brokers and b not in voters)
        grown = (*voters, *spare[: wanted - len(voters)])
        return ChangeVoters(state.generation, grown)
    if any(_lost_its_log(state, live, broker_id) for broker_id in state.voters):
        return ChangeVoters(state.generation, voters)
    return None


def _fit_count(state: ClusterState, live: Collection[int], voters: tuple[int, ...]) -> int:
    return len({*voters, *(broker_id for broker_id in live if broker_id in state.brokers)})


def _lost_its_log(state: ClusterState, live: Collection[int], broker_id: int) -> bool:
    voted_with = dict(zip(state.voters, state.voter_wal_ids, strict=False)).get(broker_id, 0)
    registration = state.brokers.get(broker_id)
    if broker_id not in live or registration is None or not voted_with:
        return False
    return registration.wal_id not in (0, voted_with)
