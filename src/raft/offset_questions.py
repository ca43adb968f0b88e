"""What a leader answers about offsets: by timestamp, by epoch, and where another log left ours."""

from typing import NamedTuple

from ..core.errors import OffsetOutOfRangeError
from ..core.record_batch import iter_batches
from .errors import InvalidRequestError
from .replica_log import ReplicaLog

LATEST_TIMESTAMP = -1
EARLIEST_TIMESTAMP = -2
MAX_TIMESTAMP = -3
EARLIEST_LOCAL_TIMESTAMP = -4
LATEST_TIERED_TIMESTAMP = -5
EARLIEST_PENDING_UPLOAD_TIMESTAMP = -6


class ListedOffset(NamedTuple):
    """The answer to a timestamp; all three are -1 where there is none."""

    timestamp: int
    offset: int
    leader_epoch: int


def list_offset(log: ReplicaLog, timestamp: int, *, end: int, current_epoch: int) -> ListedOffset:
    """The earliest record below `end` at or after `timestamp`, or a special one, -1 to -6."""
    if timestamp == LATEST_TIMESTAMP:
        return ListedOffset(-1, end, current_epoch)
    if timestamp in (EARLIEST_TIMESTAMP, EARLIEST_LOCAL_TIMESTAMP):
        start = log.log_start_offset
        epoch = current_epoch if start >= log.log_end_offset else log.epoch_at(start)
        return ListedOffset(-1, start, epoch)
    if timestamp in (LATEST_TIERED_TIMESTAMP, EARLIEST_PENDING_UPLOAD_TIMESTAMP):
        return ListedOffset(-1, -1, -1)
    if timestamp < EARLIEST_PENDING_UPLOAD_TIMESTAMP:
        raise InvalidRequestError(f"timestamp {timestamp} has no meaning")
    found = (
        log.find_max_timestamp()
        if timestamp == MAX_TIMESTAMP
        else log.find_offset_by_timestamp(timestamp)
    )
    if found is None or found.offset >= end:
        return ListedOffset(-1, -1, -1)
    return ListedOffset(found.timestamp, found.offset, found.leader_epoch)


def end_of_epoch(log: ReplicaLog, leader_epoch: int, *, current_epoch: int) -> tuple[int, int]:
    """(epoch, end offset) of the largest epoch up to `leader_epoch`; (-1, -1) if unknown."""
    if leader_epoch == current_epoch:
        return leader_epoch, log.log_end_offset
    if leader_epoch > current_epoch or leader_epoch < 0:
        return -1, -1
    # The log learns an epoch with its first batch; epochs without one end where the log does.
    latest_epoch = log.latest_epoch
    if leader_epoch >= latest_epoch:
        return (leader_epoch if latest_epoch < 0 else latest_epoch), log.log_end_offset
    return log.end_offset_for_epoch(leader_epoch)


def find_divergence(
    log: ReplicaLog, fetch_offset: int, last_fetched_epoch: int, *, current_epoch: int
) -> tuple[int, int] | None:
    """(epoch, end offset) where a log that ends so left ours, None where it did not.

    Raises OffsetOutOfRangeError where our log knows no epoch that old.
    """
    epoch, end_offset = end_of_epoch(log, last_fetched_epoch, current_epoch=current_epoch)
    if epoch < 0:
        raise OffsetOutOfRangeError(fetch_offset, log.log_start_offset, log.log_end_offset)
    if epoch < last_fetched_epoch or end_offset < fetch_offset:
        return epoch, end_offset
    return None


def aborted_in(
    log: ReplicaLog, records: memoryview, fetch_offset: int, upper_bound: int
) -> list[tuple[int, int]]:
    """(producer_id, first_offset) of the aborted transactions that overlap `records`."""
    if not records:
        return []
    found = log.aborted_transactions(fetch_offset, upper_bound)
    if not found:
        return []
    end_offset = max(batch.next_offset for batch in iter_batches(records))
    return [
        (each.producer_id, each.first_offset) for each in found if each.first_offset < end_offset
    ]
