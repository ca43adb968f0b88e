"""InitProducerId and DescribeProducers: who may produce idempotently, and who does."""

import logging
from typing import TYPE_CHECKING, Any

from ...core.errors import HeadraceError
from ...raft.errors import NotControllerError, NotLeaderOrFollowerError, UnknownOutcomeError
from ..wire.error_codes import ErrorCode
from .context import RequestContext
from .error_mapping import error_code_of

if TYPE_CHECKING:
    from ..broker import Broker

logger = logging.getLogger(__name__)

Body = dict[str, Any]

NO_PRODUCER_ID = -1
NO_PRODUCER_EPOCH = -1


async def handle_init_producer_id(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """InitProducerId (API key 22), versions 0-5.

    Behaviour: a producer without a transactional id gets a new id at epoch 0, every time it asks.
    Versions: 2 is flexible; 3 may name the id the producer had (KIP-360), which changes nothing for
    one that has no transactional id.
    Not done: transactions.  A transactional id is answered with
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED, as FindCoordinator does, since that is the one code that
    every client takes as final; the log says it in words.
    """
    if request["transactional_id"] == "":
        return _refused(ErrorCode.INVALID_REQUEST)
    if request["transactional_id"] is not None:
        warn_of_transactions(context, request["transactional_id"])
        return _refused(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    try:
        producer_id = await broker.producer_ids.next_producer_id()
    except (NotControllerError, UnknownOutcomeError):
        return _refused(ErrorCode.COORDINATOR_NOT_AVAILABLE)  # which every client tries again
    except HeadraceError as error:
        return _refused(error_code_of(error))
    return {"error_code": ErrorCode.NONE, "producer_id": producer_id, "producer_epoch": 0}


def warn_of_transactions(context: RequestContext, transactional_id: str) -> None:
    """Say in words what a client can only be told by a code that speaks of authorization."""
    logger.warning(
        "client %s at %s asks for transactions (transactional.id=%s), which are not supported; "
        "leave transactional.id out: enable.idempotence works without it",
        context.client_id,
        context.client_host,
        transactional_id,
    )


def _refused(code: ErrorCode) -> Body:
    return {
        "error_code": code,
        "producer_id": NO_PRODUCER_ID,
        "producer_epoch": NO_PRODUCER_EPOCH,
    }


def handle_describe_producers(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """DescribeProducers (API key 61), version 0 (KIP-664).

    Behaviour: the idempotent producers whose last sequences a partition remembers.
    """
    return {
        "topics": [
            {
                "name": topic["name"],
                "partitions": [
                    _describe_partition(broker, topic["name"], index)
                    for index in topic["partition_indexes"]
                ],
            }
            for topic in request["topics"]
        ]
    }


def _describe_partition(broker: "Broker", name: str, index: int) -> Body:
    try:
        broker.replicas.partition(name, index)  # or the reason why there is none
        log = broker.log_manager.get_log(name, index)
        if log is None:
            raise NotLeaderOrFollowerError(f"{name}-{index} is offline")
        producers = log.active_producers()
    except HeadraceError as error:
        return {
            "partition_index": index,
            "error_code": error_code_of(error),
            "error_message": str(error),
            "active_producers": [],
        }
    return {
        "partition_index": index,
        "error_code": ErrorCode.NONE,
        "active_producers": [
            {
                "producer_id": each.producer_id,
                "producer_epoch": each.producer_epoch,
                "last_sequence": each.last_sequence,
                "last_timestamp": each.last_timestamp,
                "coordinator_epoch": each.coordinator_epoch,
                "current_txn_start_offset": each.current_txn_start_offset,
            }
            for each in producers
        ],
    }
