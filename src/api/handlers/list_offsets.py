"""ListOffsets (API key 2), versions 1-11.

Behaviour: per partition the offset a timestamp stands for: -1 the end that the isolation level may
    see, -2 the log's start, -3 the record with the newest timestamp, -4 the start of what is local,
    -5 the end of what is tiered (none: -1), -6 where tiering would begin; a time: the earliest
    record not before it, and offset -1, timestamp -1 where there is none.  A partition named twice
    is answered with INVALID_REQUEST.
Versions: 2 isolation_level; 4 leader epochs (KIP-320); 7 -3 (KIP-734); 8 -4 (KIP-405); 9 -5
    (KIP-1005); 11 -6 (KIP-1023).  A special timestamp in a version before its own is refused.
Not done: tiered storage, so nothing ever has to be waited for (timeout_ms, version 10).
"""

from typing import TYPE_CHECKING, Any

from ..wire.error_codes import ErrorCode
from .context import RequestContext
from .error_mapping import error_code_of

if TYPE_CHECKING:
    from ..broker import Broker

FIRST_VERSION_OF_TIMESTAMP = {-1: 0, -2: 0, -3: 7, -4: 8, -5: 9, -6: 11}
NEVER = 32767

Body = dict[str, Any]


def handle_list_offsets(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """The offset for each partition's timestamp."""
    repeated = _repeated_partitions(request["topics"])
    return {
        "topics": [
            {
                "name": topic["name"],
                "partitions": [
                    {"partition_index": asked["partition_index"]}
                    | (
                        {"error_code": ErrorCode.INVALID_REQUEST}
                        if (topic["name"], asked["partition_index"]) in repeated
                        else _find_offset(broker, context, request, topic["name"], asked)
                    )
                    for asked in topic["partitions"]
                ],
            }
            for topic in request["topics"]
        ]
    }


def _find_offset(
    broker: "Broker", context: RequestContext, request: Body, name: str, asked: Body
) -> Body:
    timestamp: int = asked["timestamp"]
    if timestamp < 0 and context.api_version < FIRST_VERSION_OF_TIMESTAMP.get(timestamp, NEVER):
        return {"error_code": ErrorCode.UNSUPPORTED_VERSION}
    try:
        found = broker.replicas.partition(name, asked["partition_index"]).offset_for_timestamp(
            timestamp,
            isolation_level=request["isolation_level"],
            current_leader_epoch=asked["current_leader_epoch"],
        )
    except Exception as error:
        return {"error_code": error_code_of(error)}
    if found is None:
        return {"error_code": ErrorCode.NONE}
    return {
        "error_code": ErrorCode.NONE,
        "timestamp": found.timestamp,
        "offset": found.offset,
        "leader_epoch": found.leader_epoch,
    }


def _repeated_partitions(topics: list[Body]) -> set[tuple[str, int]]:
    seen: set[tuple[str, int]] = set()
    repeated: set[tuple[str, int]] = set()
    for topic in topics:
        for asked in topic["partitions"]:
            key = (topic["name"], asked["partition_index"])
            (repeated if key in seen else seen).add(key)
    return repeated
