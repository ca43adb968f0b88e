"""What a Fetch says of one partition: records and the offsets around them, or what refused it."""

from typing import TYPE_CHECKING, Any

from ...core.errors import OffsetOutOfRangeError, UnsupportedCompressionTypeError
from ...core.record_batch import iter_batches
from .context import RequestContext
from .error_mapping import error_code_of
from .leader_hints import MOVED, describe_endpoints, describe_leader

if TYPE_CHECKING:
    from ...raft.partition import FetchedRecords
    from ..broker import Broker

FIRST_VERSION_WITH_ZSTD = 10
FIRST_VERSION_WITH_LEADERS = 12
FIRST_VERSION_WITH_TOPIC_IDS = 13
FIRST_VERSION_WITH_REPLICA_STATE = 15
ZSTD = 4

Body = dict[str, Any]


def describe_fetched(index: int, fetched: "FetchedRecords", isolation_level: int) -> Body:
    """The answer for a partition that could be read."""
    answer = {
        "partition_index": index,
        "error_code": 0,
        "high_watermark": fetched.high_watermark,
        "last_stable_offset": fetched.last_stable_offset,
        "log_start_offset": fetched.log_start_offset,
        "records": fetched.records,
        "aborted_transactions": None,
    }
    if isolation_level:
        answer["aborted_transactions"] = [
            {"producer_id": producer_id, "first_offset": first_offset}
            for producer_id, first_offset in fetched.aborted_transactions or ()
        ]
    if fetched.diverging_epoch is not None:
        epoch, end_offset = fetched.diverging_epoch
        answer["diverging_epoch"] = {"epoch": epoch, "end_offset": end_offset}
    return answer


class FailedAnswers:
    """The answers of one request for partitions that refused, and the leaders they name."""

    def __init__(self, broker: "Broker", context: RequestContext) -> None:
        self._broker = broker
        self._context = context
        self._leader_ids: set[int] = set()

    def describe(self, topic: Any, index: int, error: Exception, *, is_replica: bool) -> Body:
        """The answer for one partition; `topic` is its name or its id.

        A replica outside of the log is told its bounds: log_start_offset, and the log's end as
        last_stable_offset.
        """
        code = error_code_of(error)
        answer: Body = {
            "partition_index": index,
            "error_code": code,
            "high_watermark": -1,
            "records": b"",
        }
        if is_replica:
            if isinstance(error, OffsetOutOfRangeError):
                answer["log_start_offset"] = error.log_start_offset
                answer["last_stable_offset"] = error.log_end_offset
        elif code in MOVED and self._context.api_version >= FIRST_VERSION_WITH_LEADERS:
            self._name_leader(answer, topic, index)
        return answer

    def _name_leader(self, answer: Body, topic: Any, index: int) -> None:
        name = topic
        if isinstance(topic, bytes):
            image = self._broker.cluster_state.topic_by_id(topic)
            name = "" if image is None else image.name
        leader = describe_leader(self._broker, name, index)
        if leader is not None:
            answer["current_leader"] = leader
            self._leader_ids.add(leader["leader_id"])

    def complete(self, body: Body) -> Body:
        """`body` with the addresses of the leaders that its answers name."""
        if self._leader_ids:
            body["node_endpoints"] = describe_endpoints(
                self._broker, self._context, self._leader_ids
            )
        return body


def refuse_zstd(records: memoryview) -> None:
    """Raise where a batch is compressed with what the request's version cannot read."""
    for batch in iter_batches(records):
        if batch.compression_id == ZSTD:
            raise UnsupportedCompressionTypeError("zstd is readable from Fetch version 10 on")
