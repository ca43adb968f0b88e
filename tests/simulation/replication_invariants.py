"""What must hold of a replicated partition after every event, by name."""

from typing import Any

from headrace.core.log import Log
from headrace.core.record_batch import iter_batches
from headrace.raft.partition_state import PartitionState
from tests.simulation.invariant_broken import InvariantBrokenError
from tests.simulation.replication_cluster import ReplicationCluster

Record = tuple[int, bytes]
"""(leader epoch, value)"""


def records_of(log: Log, start: int, end: int) -> list[Record]:
    """The records of a log from `start` up to `end`."""
    found: list[Record] = []
    while start + len(found) < end:
        records: Any = log.read_records(
            start_offset=start + len(found), max_bytes=1 << 30, upper_bound_offset=end
        )
        for batch in iter_batches(records):
            found += [(batch.leader_epoch, record.value or b"") for record in batch.records()]
    return found


class Invariants:
    """Looks at the cluster after every event and remembers what was committed."""

    def __init__(self, cluster: ReplicationCluster) -> None:
        self._cluster = cluster
        self.committed: list[Record] = []
        self._leader_of_epoch: dict[int, int] = {}
        self._high_watermarks: dict[tuple[int, int, int], int] = {}
        self._checked: dict[tuple[int, int], tuple[int, int]] = {}
        self._survived: tuple[int, ...] = ()

    def check(self) -> None:
        """Raise InvariantBrokenError where one does not hold."""
        running = [each for each in self._cluster.brokers.values() if each.is_running]
        newest = self._cluster.newest_state
        for broker in running:
            if broker.partition.is_leader:
                self._check_leader(broker.broker_id, broker.session, broker.partition)
        for broker in running:
            self._logs_match_below_high_watermark(broker.broker_id, broker)
        self._isr_members_hold_committed(newest)
        self._committed_records_survive(newest)

    def _check_leader(self, broker_id: int, session: int, partition: Any) -> None:
        epoch, high_watermark = partition.leader_epoch, partition.high_watermark
        first = self._leader_of_epoch.setdefault(epoch, broker_id)
        if first != broker_id:
            raise InvariantBrokenError(
                "SingleLeaderPerEpoch", f"brokers {first} and {broker_id} lead epoch {epoch}"
            )
        before = self._high_watermarks.get((broker_id, session, epoch), 0)
        if high_watermark < before:
            raise InvariantBrokenError(
                "MonotonicHighWatermark", f"{before} -> {high_watermark} in epoch {epoch}"
            )
        self._high_watermarks[broker_id, session, epoch] = high_watermark
        known = len(self.committed)
        if high_watermark > known:
            self.committed += records_of(partition.log, known, high_watermark)

    def _logs_match_below_high_watermark(self, broker_id: int, broker: Any) -> None:
        end = broker.partition.high_watermark
        life = (broker_id, broker.session)
        start, log_end = self._checked.get(life, (0, 0))
        if (start, log_end) == (end, broker.log.log_end_offset):
            return
        if broker.log.log_end_offset < log_end:
            start = 0  # it was cut: look at all of it again
        if end > len(self.committed):
            raise InvariantBrokenError(
                "LogsMatchBelowHighWatermark",
                f"broker {broker_id} has {end}, committed are {len(self.committed)}",
            )
        if records_of(broker.log, start, end) != self.committed[start:end]:
            raise InvariantBrokenError(
                "LogsMatchBelowHighWatermark", f"broker {broker_id} differs within {start}..{end}"
            )
        self._checked[life] = (max(start, end), broker.log.log_end_offset)

    def _isr_members_hold_committed(self, newest: PartitionState) -> None:
        """Nor does anybody of the elr lack any of it."""
        for broker_id, incarnation in (*newest.isr, *newest.elr):
            broker = self._cluster.brokers[broker_id]
            if not broker.is_running or broker.incarnation != incarnation:
                continue
            if broker.log.log_end_offset < len(self.committed):
                raise InvariantBrokenError(
                    "IsrMembersHoldCommitted",
                    f"broker {broker_id} ends at {broker.log.log_end_offset}, committed are "
                    f"{len(self.committed)}",
                )

    def _committed_records_survive(self, state: PartitionState) -> None:
        broker = self._cluster.brokers.get(state.leader)
        if broker is None or not broker.is_running or not broker.partition.is_leader:
            return
        if broker.partition.leader_epoch != state.leader_epoch:
            return
        known = len(self.committed)
        # Nobody cuts the log of a leader, so the same end is the same records.
        seen = (broker.session, state.leader_epoch, broker.log.log_end_offset, known)
        if seen == self._survived:
            return
        if (
            broker.log.log_end_offset < known
            or records_of(broker.log, max(0, known - 5), known)
            != self.committed[max(0, known - 5) :]
        ):
            raise InvariantBrokenError(
                "CommittedRecordsSurvive",
                f"leader {state.leader} of epoch {state.leader_epoch} lacks some of {known}",
            )
        self._survived = seen

    def check_at_the_end(self, acknowledged: list[bytes]) -> None:
        """All is healed: the logs are one, and hold each record that was acknowledged once."""
        ends = {b.log.log_end_offset for b in self._cluster.brokers.values()}
        logs = [records_of(b.log, 0, max(ends)) for b in self._cluster.brokers.values()]
        if any(log != logs[0] for log in logs):
            raise InvariantBrokenError("LogsMatchBelowHighWatermark", f"at the end: {ends}")
        values = [value for _, value in logs[0]]
        lost = [value for value in acknowledged if values.count(value) != 1]
        if lost:
            raise InvariantBrokenError("CommittedRecordsSurvive", f"acknowledged and gone: {lost}")
