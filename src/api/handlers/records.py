"""DeleteRecords (API key 21), versions 0-2.

Behaviour: per partition everything below an offset goes, the high watermark for -1.  Above the
    high watermark, or below -1: OFFSET_OUT_OF_RANGE.  The answer holds the new low watermark, -1
    on an error.  Topics whose cleanup.policy has no delete are refused: POLICY_VIOLATION.
Versions: 2 is flexible.
Not done: timeout_ms is not read, as no other replica has to follow.
"""

from typing import TYPE_CHECKING, Any

from ...core.errors import HeadraceError
from ..wire.error_codes import ErrorCode
from .context import RequestContext
from .error_mapping import error_code_of

if TYPE_CHECKING:
    from ..broker import Broker

Body = dict[str, Any]

FAILED_LOW_WATERMARK = -1
HIGH_WATERMARK_OFFSET = -1


def handle_delete_records(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """The low watermark of each partition after the deletion."""
    return {
        "topics": [
            {
                "name": topic["name"],
                "partitions": [
                    _delete_records(broker, topic["name"], asked) for asked in topic["partitions"]
                ],
            }
            for topic in request["topics"]
        ]
    }


def _delete_records(broker: "Broker", name: str, asked: Body) -> Body:
    answer = {"partition_index": asked["partition_index"], "low_watermark": FAILED_LOW_WATERMARK}
    try:
        partition = broker.replicas.partition(name, asked["partition_index"])
        if partition.log is not None and not partition.log.config.is_deleted:
            return {**answer, "error_code": ErrorCode.POLICY_VIOLATION}
        if asked["offset"] < HIGH_WATERMARK_OFFSET:
            return {**answer, "error_code": ErrorCode.OFFSET_OUT_OF_RANGE}
        low_watermark = partition.delete_records(asked["offset"])
    except HeadraceError as error:
        return {**answer, "error_code": error_code_of(error)}
    return {**answer, "low_watermark": low_watermark, "error_code": ErrorCode.NONE}
