"""How a follower's log follows its leader's: what to store, and where to cut."""

from ..core.record_batch import RecordBatch
from .replica_log import ReplicaLog


def store_from_leader(log: ReplicaLog, records: memoryview, leader_start: int) -> None:
    """Append batches as they are and move the log's start to where the leader's is."""
    if records:
        if log.log_start_offset == log.log_end_offset:
            _begin_with_first_batch(log, records)
        log.append_as_follower(records)
    if log.log_start_offset < leader_start <= log.log_end_offset:
        log.increment_log_start_offset(leader_start)


def _begin_with_first_batch(log: ReplicaLog, records: memoryview) -> None:
    """An empty log whose leader's start lies within a batch takes the whole batch."""
    first_offset = RecordBatch(records).base_offset
    if first_offset < log.log_end_offset:
        log.truncate_fully_and_start_at(first_offset)


def truncation_offset(log: ReplicaLog, epoch: int, leader_end: int) -> int:
    """Where to cut a log that left its leader's, whose largest epoch up to ours ends there.

    Where our log does not know that epoch, what the leader says next decides the rest: the epoch
    below is asked for with the next fetch (KIP-101, KIP-595).
    """
    own_epoch, own_end = log.end_offset_for_epoch(epoch)
    if own_epoch < 0 or own_epoch == epoch:
        end = leader_end if own_epoch < 0 else min(own_end, leader_end)
    else:
        end = own_end
    return min(end, log.log_end_offset)


def cut_back(log: ReplicaLog, offset: int) -> None:
    """Cut a log that left its leader's at `offset`.

    Where ours begins behind that, it has nothing of what the leader has below its own beginning: it
    begins anew at 0, and then where the leader says that its log begins.
    """
    if offset < log.log_start_offset:
        log.truncate_fully_and_start_at(0)
    else:
        log.truncate_to(offset)
