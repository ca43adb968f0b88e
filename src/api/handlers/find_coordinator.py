"""FindCoordinator (API key 10), versions 0-6.

Behaviour: the first one creates __consumer_offsets and waits for it.  A group's coordinator leads
    the group's partition of it; where nobody does, COORDINATOR_NOT_AVAILABLE, and clients ask anew.
    Where that broker was lost just now, who asks is answered when another one leads, a moment at
    most, as by Metadata (leader_wait.py): librdkafka asks once in half a second only.
Versions: 1 key types, 4 many keys (KIP-699).
Not done: coordinators of transactions (TRANSACTIONAL_ID_AUTHORIZATION_FAILED, as InitProducerId
    answers, and a line in the log, since clients ask here first) and of share groups
    (INVALID_REQUEST).
"""

import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from ...core.errors import HeadraceError
from ..coordinator.offsets_topic import OFFSETS_TOPIC
from ..wire.error_codes import ErrorCode
from .context import RequestContext
from .later_answer import LaterAnswer
from .leader_wait import LeaderWait
from .producers import warn_of_transactions

if TYPE_CHECKING:
    from ..broker import Broker

logger = logging.getLogger(__name__)

Body = dict[str, Any]

GROUP_KEY_TYPE = 0
TRANSACTION_KEY_TYPE = 1
FIND_MANY_KEYS_VERSION = 4


def handle_find_coordinator(
    broker: "Broker", context: RequestContext, request: Body
) -> Body | Awaitable[Body] | LaterAnswer:
    """Who coordinates each key; waits only for __consumer_offsets and for leaders to come."""
    key_type = request.get("key_type", GROUP_KEY_TYPE)
    if key_type != GROUP_KEY_TYPE:
        if key_type == TRANSACTION_KEY_TYPE:
            for key in _keys(context, request)[:1]:  # one line, however many are asked for
                warn_of_transactions(context, key)
        return _answer(broker, context, request)
    if not broker.groups.is_hosted:
        return _create_and_answer(broker, context, request)
    image = broker.cluster_state.topics.get(OFFSETS_TOPIC)
    if image is not None:
        wait = LeaderWait(broker, lambda: _answer(broker, context, request))
        indexes = {broker.groups.partition_index(key) for key in _keys(context, request)}
        if wait.begin_for_some(image, indexes):
            return wait
    return _answer(broker, context, request)


def _keys(context: RequestContext, request: Body) -> list[str]:
    if context.api_version < FIND_MANY_KEYS_VERSION:
        return [request["key"]]
    keys: list[str] = request["coordinator_keys"]
    return keys


async def _create_and_answer(broker: "Broker", context: RequestContext, request: Body) -> Body:
    try:
        await broker.groups.ensure_offsets_topic()
    except HeadraceError as error:
        logger.warning("__consumer_offsets cannot be created: %s", error)
        refusal = _refusal(ErrorCode.COORDINATOR_NOT_AVAILABLE, str(error))
        if context.api_version < FIND_MANY_KEYS_VERSION:
            return refusal
        return {"coordinators": [{"key": key, **refusal} for key in request["coordinator_keys"]]}
    return _answer(broker, context, request)


def _answer(broker: "Broker", context: RequestContext, request: Body) -> Body:
    key_type = request.get("key_type", GROUP_KEY_TYPE)
    if context.api_version < FIND_MANY_KEYS_VERSION:
        return _coordinator_of(broker, context, request["key"], key_type)
    return {
        "coordinators": [
            {"key": key, **_coordinator_of(broker, context, key, key_type)}
            for key in request["coordinator_keys"]
        ]
    }


def _coordinator_of(broker: "Broker", context: RequestContext, key: str, key_type: int) -> Body:
    """The broker that leads the group's partition of __consumer_offsets."""
    if key_type != GROUP_KEY_TYPE:
        # Of all codes only this one makes every client give up on transactions at once.
        is_transaction = key_type == TRANSACTION_KEY_TYPE
        refused = ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        return _refusal(
            refused if is_transaction else ErrorCode.INVALID_REQUEST,
            "this broker coordinates groups only, no transactions or share groups",
        )
    leader = broker.replicas.leader_of(OFFSETS_TOPIC, broker.groups.partition_index(key))
    for node in broker.describe_brokers(context.listener_name):
        if leader is not None and node["node_id"] == leader[0]:
            return {
                "node_id": node["node_id"],
                "host": node["host"],
                "port": node["port"],
                "error_code": ErrorCode.NONE,
                "error_message": None,
            }
    return _refusal(
        ErrorCode.COORDINATOR_NOT_AVAILABLE, "nobody leads the group's partition at present"
    )


def _refusal(error_code: ErrorCode, message: str) -> Body:
    return {
        "node_id": -1,
        "host": "",
        "port": -1,
        "error_code": error_code,
        "error_message": message,
    }
