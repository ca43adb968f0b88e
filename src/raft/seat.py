"""`Seat`: one group of a partition that this broker votes in, and its replica where it has one."""

from collections.abc import Collection, Iterable

from .partition import Partition
from .partition_controller import LogReport
from .partition_group import PartitionGroup
from .partition_news import Report
from .partition_state import NO_LEADER, IsrMember
from .raft_wal import GroupImage


class Seat:
    """See the module.

    `was_held`: this broker held the replica before this life of its process, so its log is in one
    of the log.dirs, or lost with one; it is not to begin anew while one of them cannot be read.
    `journaled_index`: the last command of the group that this broker had in its journal then.
    """

    __slots__ = (
        "forgettable",
        "group",
        "index",
        "is_controller",
        "is_deciding",
        "journaled_index",
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
        self.journaled_index = 0

    def note_held(self, broker_id: int, image: GroupImage) -> None:
        """The group comes from the journal of an earlier life: so does its replica, if any."""
        replicas = self.group.state.replicas
        self.was_held = not replicas or broker_id in replicas
        commands = [index for index, _, payload in image.entries if payload]
        self.journaled_index = max((image.snapshot_index, *commands))

    def note_applied(self, entry_index: int) -> bool:
        """Whether the state is, with this, for the first time none that this broker knew before."""
        is_first = 0 < self.journaled_index <= entry_index
        if is_first:
            self.journaled_index = 0
        return is_first

    def report_log(self, own: IsrMember, kept: Collection[int]) -> LogReport | None:
        """How far the log here reaches; None where it cannot be read, or there is none.

        `kept` are the incarnations of which nothing is gone that was not flushed.  Whether that
        holds for the one that was in sync is what counts, not for the last one.
        """
        log = None if self.partition is None else self.partition.log
        if log is None:
            return None
        state, (broker_id, incarnation) = self.group.state, own
        has_kept = any(each[0] == broker_id and each[1] in kept for each in state.holders)
        return LogReport(incarnation, log.latest_epoch, log.log_end_offset, has_kept)

    def may_lose_log(self, broker_id: int, session: int) -> bool:
        """Whether the replica may begin anew, or shorter than it was, and harm nothing.

        Not while it is in isr or elr: it would be elected, or counted on, for records that it has
        not.  So once another leads and took it out of both, or it was chosen to lead in this
        life although records are lost with it.  An old state of the journal's shows nothing.
        """
        state = self.group.state
        if not self.was_held or self.group.is_alone:
            return True
        if self.journaled_index or state.leader == NO_LEADER:
            return False
        if state.leader == broker_id:
            return state.is_recovering and state.leader_session == session
        return all(each[0] != broker_id for each in state.holders)


def reports_to(
    broker_ids: Iterable[int], seats: Iterable[Seat], *, own: IsrMember, kept: Collection[int]
) -> dict[tuple[int, bool], list[Report]]:
    """What each of these brokers, where it votes, is to hear of logs that are not in sync here.

    By the broker's id, and by whether the log has kept what was not flushed: see `report_log`.
    """
    reports: dict[tuple[int, bool], list[Report]] = {}
    told_ids = {broker_id for broker_id in broker_ids if broker_id != own[0]}
    if not told_ids:
        return reports
    for seat in seats:
        group, told = seat.group, seat.report_log(own, kept)
        if told is None or group.is_alone or own in group.state.isr:
            continue
        report = (group.base_id, told.incarnation, *told.reach)
        for broker_id in told_ids.intersection(group.voters):
            reports.setdefault((broker_id, told.has_kept_cache), []).append(report)
    return reports
