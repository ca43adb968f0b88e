"""AlterPartitionReassignments and ListPartitionReassignments: replicas that move between brokers.

The cluster remembers where a partition is to go (`TopicImage.targets`); the partition's own group
goes there step by step, new replicas in sync before old ones leave.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.errors import HeadraceError
from ...raft.cluster_commands import ChangeVoters, ReassignPartitions, UnregisterBroker
from ...raft.errors import (
    BrokerIdNotRegisteredError,
    InvalidReplicaAssignmentError,
    InvalidReplicationFactorError,
    InvalidRequestError,
    NoReassignmentInProgressError,
    NotControllerError,
    ReassignmentChangedError,
    ReplicationError,
    UnknownOutcomeError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
)
from ...raft.topic_image import TopicImage
from ..wire.error_codes import ErrorCode
from .context import RequestContext
from .error_mapping import error_code_of

if TYPE_CHECKING:
    from ..broker import Broker

# Nobody waits longer for a move that is called off; it is undone all the same.
UNDONE_WITHIN_S = 5.0
# How often a partition's move may be replaced by others while this one is decided.
TRIES = 5
# Clients wait 30 s by default.
FORGET_WITHIN_S = 20.0
# At the latest: a Controller that lost its majority, and has it again, is no news.
FORGET_AGAIN_S = 1.0

Body = dict[str, Any]
Targets = tuple[int, ...]


async def handle_alter_partition_reassignments(
    broker: "Broker", context: RequestContext, request: Body
) -> Body:
    """AlterPartitionReassignments (API key 45), versions 0-1 (KIP-455).

    Behaviour: each partition by itself: other replicas to move to, or null to call a move off.
    What is decided is decided on the partition as it is by then: a move that ended before it was
    called off stays where it went.
    A partition that is there already answers NONE; null where nothing moves:
    NO_REASSIGNMENT_IN_PROGRESS; brokers that are not there, or twice: INVALID_REPLICA_ASSIGNMENT.
    The answer comes once the cluster agreed to move, not once it has moved; but where a move is
    called off, once that is undone, as Kafka undoes it at once: for up to timeout_ms, or 5 s.
    Versions: 1 may forbid another number of replicas than it has, or is to have once it has moved
    (KIP-860): INVALID_REPLICATION_FACTOR.
    """
    may_change_count = request["allow_replication_factor_change"]
    responses = []
    for topic in request["topics"]:
        rows = [
            await _alter(broker, topic["name"], part, may_change_count=may_change_count)
            for part in topic["partitions"]
        ]
        responses.append({"name": topic["name"], "partitions": rows})
    await _wait_undone(broker, request)
    return {
        "error_code": ErrorCode.NONE,
        "error_message": None,
        "allow_replication_factor_change": may_change_count,
        "responses": responses,
    }


async def _alter(broker: "Broker", name: str, part: Body, *, may_change_count: bool) -> Body:
    index = part["partition_index"]
    try:
        await _reassign(broker, name, part, may_change_count=may_change_count)
    except HeadraceError as error:
        return _row(index, error_code_of(error), str(error))
    return _row(index, ErrorCode.NONE, None)


async def _reassign(broker: "Broker", name: str, part: Body, *, may_change_count: bool) -> None:
    """Have the cluster decide on one partition, as it is; raises why it does not."""
    index = part["partition_index"]
    for _ in range(TRIES):
        image = _image_of(broker, name, index)
        targets = _targets(broker, image, part, may_change_count=may_change_count)
        if targets is None:
            return
        seen = image.assignments[index], image.targets.get(index, ())
        try:
            await broker.propose(ReassignPartitions(image.topic_id, ((index, targets),), (seen,)))
        except ReassignmentChangedError:
            continue
        except UnknownTopicIdError:
            continue  # deleted meanwhile, and perhaps made anew
        return
    raise UnknownOutcomeError(f"{name}-{index} is moved by others again and again; try again")


async def _wait_undone(broker: "Broker", request: Body) -> None:
    """Until the moves that this request called off are, or time is up."""
    called_off = {
        (topic["name"], part["partition_index"])
        for topic in request["topics"]
        for part in topic["partitions"]
        if part["replicas"] is None
    }

    def are_undone() -> bool:
        for name, index in list(called_off):
            image = broker.cluster_state.topics.get(name)
            # One that moves elsewhere by now is another's.
            if image is None or index not in image.targets or _moves(image, index):
                called_off.discard((name, index))
        return not called_off

    # Where time is up it is decided even so, and listed until it is done.
    within_s = min(max(request["timeout_ms"], 0) / 1000, UNDONE_WITHIN_S)
    await broker.changes.until(are_undone, within_s=within_s)


def _image_of(broker: "Broker", name: str, index: int) -> TopicImage:
    image = broker.cluster_state.topics.get(name)
    if image is None or not 0 <= index < image.partition_count:
        raise UnknownTopicOrPartitionError(f"there is no partition {name}-{index}", name, index)
    return image


def _targets(
    broker: "Broker", image: TopicImage, part: Body, *, may_change_count: bool
) -> Targets | None:
    """What to propose: brokers to move to, to call a move off who has it now, None if all is well.

    Who was added by then has to go again, so a move that is called off is a move, too.
    """
    index, asked = part["partition_index"], part["replicas"]
    present = image.assignments[index]
    if asked is None:
        if not _moves(image, index):
            raise NoReassignmentInProgressError(f"{image.name}-{index} does not move")
        return present
    replicas = tuple(asked)
    known = broker.cluster_state.brokers
    if not replicas or len(set(replicas)) < len(replicas):
        raise InvalidReplicaAssignmentError(f"{list(replicas)}: name different brokers")
    unknown = [each for each in replicas if each not in known]
    if unknown:
        raise InvalidReplicaAssignmentError(f"there is no broker {unknown[0]}")
    count = len(image.targets.get(index, present))
    if not may_change_count and len(replicas) != count:
        raise InvalidReplicationFactorError(
            f"The replication factor is changed from {count} to {len(replicas)}"
        )
    if replicas == present:
        return present if _moves(image, index) else None
    return replicas


def _moves(image: TopicImage, index: int) -> bool:
    """Whether a partition is on its way elsewhere; not one whose move was called off."""
    return image.targets.get(index, image.assignments[index]) != image.assignments[index]


def _row(index: int, code: ErrorCode, message: str | None) -> Body:
    return {"partition_index": index, "error_code": code, "error_message": message}


def handle_list_partition_reassignments(
    broker: "Broker", context: RequestContext, request: Body
) -> Body:
    """ListPartitionReassignments (API key 46), version 0 (KIP-455).

    Behaviour: the partitions that move, of those named or (null) of all; the others are left out.
    One whose move was called off moves until who was added has gone, as Metadata tells it.
    """
    asked: dict[str, set[int] | None] = dict.fromkeys(broker.cluster_state.topics)
    if request["topics"] is not None:
        asked = {topic["name"]: set(topic["partition_indexes"]) for topic in request["topics"]}
    topics = []
    for name, indexes in asked.items():
        image = broker.cluster_state.topics.get(name)
        if image is None:
            continue
        rows = [
            row
            for index in sorted(image.targets)
            if (indexes is None or index in indexes)
            and (row := _moving(broker, image, index)) is not None
        ]
        if rows:
            topics.append({"name": name, "partitions": rows})
    return {"error_code": ErrorCode.NONE, "error_message": None, "topics": topics}


def _moving(broker: "Broker", image: TopicImage, index: int) -> Body | None:
    """One partition on its way: everybody who holds it or shall, the target's order first."""
    present, target = image.assignments[index], image.targets[index]
    if not _moves(image, index):
        state = broker.replicas.state_of(image.name, index)
        if state is None or set(state.replicas) == set(target):
            return None
        present = state.replicas
    removing = [broker_id for broker_id in present if broker_id not in target]
    return {
        "partition_index": index,
        "replicas": [*target, *removing],
        "adding_replicas": [broker_id for broker_id in target if broker_id not in present],
        "removing_replicas": removing,
    }


async def handle_unregister_broker(
    broker: "Broker", context: RequestContext, request: Body
) -> Body:
    """UnregisterBroker (API key 64), version 0: the cluster forgets a broker for good.

    Behaviour: BROKER_ID_NOT_REGISTERED for one it does not know; INVALID_REQUEST while it is up or
    holds partitions (Kafka forgets it even so): they are to be moved away before.  Where it votes
    on the cluster, other brokers take its place first, as far as there are any.  While links come
    and go, what could not be decided is asked for again; REQUEST_TIMED_OUT, with the reason, if
    that does not help either.
    """
    try:
        await _forget(broker, request["broker_id"])
    except HeadraceError as error:
        return {"error_code": error_code_of(error), "error_message": str(error)}
    return {"error_code": ErrorCode.NONE, "error_message": None}


async def _forget(broker: "Broker", broker_id: int) -> None:
    """Have the cluster forget it: each try begins with what is known by then."""
    state = broker.cluster_state
    last: Exception = NotControllerError("nobody decides on the cluster")
    tries = 0
    try:
        async with asyncio.timeout(FORGET_WITHIN_S):
            while tries == 0 or broker_id in broker.cluster_state.brokers:
                _check_may_go(broker, broker_id)
                tries += 1
                tried_with = _deciders(broker)
                try:
                    state = broker.cluster_state
                    if broker_id in state.voters:
                        voters = _voters_without(broker, broker_id)
                        await broker.propose(ChangeVoters(state.generation, voters))
                    await broker.propose(UnregisterBroker(broker_id, spares_targets=True))
                    return
                except ReplicationError as error:
                    last = error  # the voters changed meanwhile, or nobody decided
                await broker.changes.until(
                    partial(_has_news, broker, tried_with), within_s=FORGET_AGAIN_S
                )
    except TimeoutError:
        raise UnknownOutcomeError(
            f"broker {broker_id} is not forgotten after {tries} tries: {last}; {len(state.voters)} "
            f"brokers vote on the cluster, up are {sorted(broker.live_broker_ids())}"
        ) from last


def _deciders(broker: "Broker") -> Any:
    """Who decides on the cluster, and who there is to do so."""
    state = broker.cluster_state
    return state.generation, state.voters, broker.controller_id, broker.live_broker_ids()


def _has_news(broker: "Broker", before: Any) -> bool:
    return bool(_deciders(broker) != before)


def _check_may_go(broker: "Broker", broker_id: int) -> None:
    state = broker.cluster_state
    if broker_id not in state.brokers:
        raise BrokerIdNotRegisteredError(f"broker {broker_id} is not registered")
    held = [
        f"{image.name}-{index}"
        for image in state.topics.values()
        for index, replicas in enumerate(image.assignments)
        if broker_id in replicas
    ]
    if held:
        raise InvalidRequestError(
            f"broker {broker_id} holds {len(held)} partitions, {held[0]} among them"
        )
    awaited = [
        f"{image.name}-{index}"
        for image in state.topics.values()
        for index, target in image.targets.items()
        if broker_id in target
    ]
    if awaited:
        raise InvalidRequestError(
            f"{len(awaited)} partitions are on the move to broker {broker_id}, {awaited[0]} among "
            "them"
        )
    if broker_id in broker.live_broker_ids():
        raise InvalidRequestError(f"broker {broker_id} is up; stop it, and ask again")


def _voters_without(broker: "Broker", broker_id: int) -> tuple[int, ...]:
    """The cluster's voters without that one, a live broker in its place where one is left over."""
    state = broker.cluster_state
    staying = [voter for voter in state.voters if voter != broker_id]
    live = broker.live_broker_ids()
    spare = sorted(each for each in state.brokers if each in live and each not in state.voters)
    return (*staying, *spare[:1])
