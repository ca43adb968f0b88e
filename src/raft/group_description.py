"""What a broker tells of its groups and its Raft thread; for people, tests, DescribeQuorum."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .raft_group import RaftGroup


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """One group as its voter here sees it."""

    group_id: str
    term: int
    leader_id: int | None
    voters: tuple[int, ...]
    last_index: int
    commit_index: int
    is_controller: bool
    is_quiesced: bool
    match_indexes: Mapping[int, int]
    """On the Raft leader, the last entry that each other voter is known to hold; else empty."""


@dataclass(frozen=True, slots=True)
class RuntimeStatistics:
    """What the thread has done since it started; for tests and for `cluster status`."""

    turns: int = 0
    ticks: int = 0
    syncs: int = 0
    frames_sent: int = 0
    frames_received: int = 0
    groups: int = 0
    pending_seeds: int = 0


def describe_group(group: "RaftGroup") -> GroupDescription:
    """`group` as its voter here sees it."""
    return GroupDescription(
        group_id=group.group_id,
        term=group.term,
        leader_id=group.leader_id,
        voters=group.voters,
        last_index=group.last_index,
        commit_index=group.commit_index,
        is_controller=group.is_controller,
        is_quiesced=group.is_quiesced,
        match_indexes=(
            {node.id: index for node, index in group.match_index.items()} if group.is_leader else {}
        ),
    )
