"""Who is in sync, whether they are enough, and what may change: pure functions."""

from collections.abc import Callable, Collection

from .partition_state import IsrMember

DEFAULT_REPLICA_LAG_MS = 30_000
"""replica.lag.time.max.ms as Kafka ships it."""


def is_under_min_isr(*, isr_size: int, min_insync_replicas: int, replica_count: int) -> bool:
    """Whether acks=all must be refused.

    As in Kafka, a topic never asks for more in-sync replicas than it has replicas.
    """
    return isr_size < min(min_insync_replicas, replica_count)


def maximal_isr(isr: Collection[IsrMember], pending: Collection[IsrMember]) -> frozenset[IsrMember]:
    """The members whose log ends hold the high watermark back.

    Until a change is known to be decided or refused, both the old isr and the one asked for count.
    """
    return frozenset((*isr, *pending))


def shrunk_isr(
    isr: tuple[IsrMember, ...], stays: Callable[[IsrMember], bool]
) -> tuple[IsrMember, ...] | None:
    """The isr without the members that do not stay; None where all do."""
    kept = tuple(member for member in isr if stays(member))
    return kept if len(kept) < len(isr) else None


def grown_isr(isr: tuple[IsrMember, ...], member: IsrMember) -> tuple[IsrMember, ...]:
    """The isr with `member`, in the place of an earlier life of the same broker."""
    others = tuple(each for each in isr if each[0] != member[0])
    return (*others, member)


def may_join_isr(*, follower_end: int, high_watermark: int, epoch_start_offset: int) -> bool:
    """Whether a follower holds all that is committed, and what this leader began with."""
    return follower_end >= high_watermark and follower_end >= epoch_start_offset
