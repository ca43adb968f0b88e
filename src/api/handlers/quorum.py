"""DescribeQuorum (API key 55), versions 0-2: who votes, who leads the vote, how far each is."""

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ...raft.cluster_group import CLUSTER_GROUP_ID
from ...raft.outcomes import settle
from ...raft.partition_group import partition_group_id
from ...raft.quorum_link import (
    GROUPS_A_MESSAGE,
    UNKNOWN,
    QuorumDescription,
    QuorumLink,
    VoterProgress,
    describe_alone,
)
from ...raft.topic_names import CLUSTER_METADATA_TOPIC
from ..wire.error_codes import ErrorCode
from .context import RequestContext

if TYPE_CHECKING:
    from ..broker import Broker

Body = dict[str, Any]
Place = tuple[str, int]
Groups = dict[Place, QuorumDescription]

MOST_ROUNDS = 4
"""This broker, whoever votes, the leader it names, and the one who leads by then."""


async def handle_describe_quorum(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """DescribeQuorum.

    Behaviour: of `__cluster_metadata`, partition 0, the group that agrees on the cluster; of any
    other partition, which Kafka does not have, the group that agrees on its leader and isr.  Any
    broker answers: it asks the group's Raft leader, who alone knows how far the voters are.  Where
    that one cannot be reached, a voter tells what it knows, and -1 for the others.  The log end
    offset is the last entry of the group's log that a voter is known to hold, the high watermark
    the last one that is committed.
    Versions: 1 tells when a voter was last heard of (KIP-836), 2 where it is (KIP-853).
    """
    groups = await describe_groups(
        broker,
        [
            (topic["topic_name"], part["partition_index"])
            for topic in request["topics"]
            for part in topic["partitions"]
        ],
    )
    topics = [
        {
            "topic_name": topic["topic_name"],
            "partitions": [
                _partition(broker, groups, topic["topic_name"], part["partition_index"])
                for part in topic["partitions"]
            ],
        }
        for topic in request["topics"]
    ]
    nodes = [
        {
            "node_id": each["node_id"],
            "listeners": [
                {"name": context.listener_name, "host": each["host"], "port": each["port"]}
            ],
        }
        for each in broker.describe_brokers(context.listener_name)
    ]
    return {"error_code": ErrorCode.NONE, "topics": topics, "nodes": nodes}


async def describe_groups(broker: "Broker", places: Iterable[Place]) -> Groups:
    """The groups of these places, each as its Raft leader sees it, or who votes in it."""
    base_ids = {base_id: place for place in places if (base_id := _base_id_of(broker, *place))}
    quorum = broker.membership.quorum
    if quorum is None:
        now_ms = broker.clock.now_ms()
        alone = filter(broker.membership.decides_alone, base_ids)
        return {base_ids[each]: describe_alone(each, broker.node_id, now_ms) for each in alone}
    found: dict[str, QuorumDescription] = {}
    asked: dict[str, set[int]] = {base_id: set() for base_id in base_ids}
    for _ in range(MOST_ROUNDS):
        questions: dict[int, list[str]] = {}
        for base_id, place in base_ids.items():
            target = _whom_to_ask(broker, place, found.get(base_id), asked[base_id])
            if target is not None:
                asked[base_id].add(target)
                questions.setdefault(target, []).append(base_id)
        answers = await asyncio.gather(
            *(
                _ask(quorum, target, wanted[start : start + GROUPS_A_MESSAGE])
                for target, wanted in questions.items()
                for start in range(0, len(wanted), GROUPS_A_MESSAGE)
            )
        )
        for told in itertools.chain(*answers):
            known = found.get(told.base_id)
            if known is None or (told.term, told.is_leaders) > (known.term, known.is_leaders):
                found[told.base_id] = told
        if not questions:
            break
    return {base_ids[base_id]: told for base_id, told in found.items()}


def _base_id_of(broker: "Broker", name: str, index: int) -> str | None:
    if (name, index) == (CLUSTER_METADATA_TOPIC, 0):
        return CLUSTER_GROUP_ID
    image = broker.cluster_state.topics.get(name)
    if image is None or not 0 <= index < image.partition_count:
        return None
    return partition_group_id(image.topic_id, index)


def _whom_to_ask(
    broker: "Broker", place: Place, known: QuorumDescription | None, asked: set[int]
) -> int | None:
    """This broker first; then the leader by what is known, else whoever votes."""
    if not asked:
        return broker.node_id
    live = broker.live_broker_ids()
    if known is not None:
        named = known.leader_id
        return named if named in live and named not in asked else None
    if place == (CLUSTER_METADATA_TOPIC, 0):
        voters: Iterable[int] = (broker.controller_id,)
    else:
        state = broker.partition_state(*place)
        voters = () if state is None else state.voters or state.replicas
    return next((voter for voter in voters if voter in live and voter not in asked), None)


async def _ask(
    quorum: QuorumLink, broker_id: int, base_ids: Sequence[str]
) -> Sequence[QuorumDescription]:
    described: asyncio.Future[Sequence[QuorumDescription]] = (
        asyncio.get_running_loop().create_future()
    )
    quorum.ask(broker_id, base_ids, partial(settle, described))
    return await described


def _partition(broker: "Broker", groups: Groups, name: str, index: int) -> Body:
    group = groups.get((name, index))
    if group is None:
        return {
            "partition_index": index,
            "error_code": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            "error_message": f"nobody who votes on {name}-{index} is known to be up",
            "leader_id": UNKNOWN,
            "leader_epoch": UNKNOWN,
            "high_watermark": UNKNOWN,
        }
    observers = []
    if name == CLUSTER_METADATA_TOPIC:
        live, now_ms = broker.live_broker_ids(), broker.clock.now_ms()
        voters = {voter.broker_id for voter in group.voters}
        observers = [
            _replica(VoterProgress(each, UNKNOWN, now_ms if each in live else UNKNOWN, UNKNOWN))
            for each in sorted(broker.cluster_state.brokers)
            if each not in voters
        ]
    return {
        "partition_index": index,
        "error_code": ErrorCode.NONE,
        "leader_id": group.leader_id,
        "leader_epoch": group.term,
        "high_watermark": group.commit_index,
        "current_voters": [_replica(voter) for voter in group.voters],
        "observers": observers,
    }


def _replica(progress: VoterProgress) -> Body:
    return {
        "replica_id": progress.broker_id,
        "log_end_offset": progress.last_index,
        "last_fetch_timestamp": progress.heard_ms,
        "last_caught_up_timestamp": progress.caught_up_ms,
    }
