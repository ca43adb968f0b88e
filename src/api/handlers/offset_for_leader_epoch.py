"""OffsetForLeaderEpoch (API key 23), versions 2-4.

Behaviour: for each partition the end offset of the epoch asked for: the newest epoch not above it
    and where the next one begins, or the log's end for the newest; (-1, -1) where none is known.
    A consumer that sees an end below its position learns that the log was truncated (KIP-320).
Versions: 2 current_leader_epoch; 3 replica_id; 4 is flexible.
"""

from typing import TYPE_CHECKING, Any

from ..wire.error_codes import ErrorCode
from .context import RequestContext
from .error_mapping import error_code_of

if TYPE_CHECKING:
    from ..broker import Broker

Body = dict[str, Any]


def handle_offset_for_leader_epoch(
    broker: "Broker", context: RequestContext, request: Body
) -> Body:
    """The end of each partition's epoch."""
    return {
        "topics": [
            {
                "topic": topic["topic"],
                "partitions": [
                    _find_end_offset(broker, topic["topic"], asked) for asked in topic["partitions"]
                ],
            }
            for topic in request["topics"]
        ]
    }


def _find_end_offset(broker: "Broker", name: str, asked: Body) -> Body:
    answer = {"partition": asked["partition"], "error_code": int(ErrorCode.NONE)}
    try:
        partition = broker.replicas.partition(name, asked["partition"])
        epoch, end_offset = partition.end_offset_for_epoch(
            current_leader_epoch=asked["current_leader_epoch"], leader_epoch=asked["leader_epoch"]
        )
    except Exception as error:
        answer["error_code"] = error_code_of(error)
        epoch, end_offset = -1, -1
    return answer | {"leader_epoch": epoch, "end_offset": end_offset}
