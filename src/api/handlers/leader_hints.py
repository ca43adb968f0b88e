"""Where a partition's leader is, for answers that send a client there (KIP-951).

A client that is told so moves at once, without a Metadata round trip.  So it is where the log
directory of the former leader failed: another replica leads by then.
"""

from typing import TYPE_CHECKING, Any

from ..wire.error_codes import ErrorCode
from .context import RequestContext

if TYPE_CHECKING:
    from ..broker import Broker

Body = dict[str, Any]

MOVED = frozenset(
    (
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.FENCED_LEADER_EPOCH,
        ErrorCode.KAFKA_STORAGE_ERROR,
    )
)


def describe_leader(broker: "Broker", topic: str, index: int) -> Body | None:
    """`current_leader` of an answer, None where nobody is known to lead."""
    found = broker.replicas.leader_of(topic, index)
    if found is None or found[0] < 0:
        return None
    return {"leader_id": found[0], "leader_epoch": found[1]}


def describe_endpoints(
    broker: "Broker", context: RequestContext, leader_ids: set[int]
) -> list[Body]:
    """`node_endpoints`: where each of these brokers is reached by the listener of this client."""
    if not leader_ids:
        return []
    brokers = broker.describe_brokers(context.listener_name)
    return [each for each in brokers if each["node_id"] in leader_ids]
