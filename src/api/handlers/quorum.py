"""DescribeQuorum (API key 55), versions 0-2: who votes, who leads the vote, how far each is."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from ...raft.cluster_group import CLUSTER_GROUP_ID
from ...raft.group_machines import split_group_id
from ...raft.partition_group import parse_partition_group_id
from ...raft.raft_runtime import GroupDescription
from ...raft.topic_names import CLUSTER_METADATA_TOPIC
from ..wire.error_codes import ErrorCode
from .context import RequestContext

if TYPE_CHECKING:
    from ..broker import Broker

Body = dict[str, Any]
Groups = dict[tuple[str, int], GroupDescription]

UNKNOWN = -1


async def handle_describe_quorum(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """DescribeQuorum.

    Behaviour: of `__cluster_metadata`, partition 0, the group that agrees on the cluster; of any
    other partition, which Kafka does not have, the group that agrees on its leader and isr.  A
    group in which this broker has no vote: UNKNOWN_TOPIC_OR_PARTITION.  The log end offset is the
    last entry of the group's log that a voter is known to hold, -1 where only the leader knows.
    Versions: 1 tells when a voter was last heard of (KIP-836), 2 where it is (KIP-853).
    """
    groups = await describe_groups(broker)
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


async def describe_groups(broker: "Broker") -> Groups:
    """The groups in which this broker votes, by topic and partition."""
    found: Groups = {(CLUSTER_METADATA_TOPIC, 0): _alone(broker, CLUSTER_GROUP_ID)}
    for seat in broker.replicas.seats.seats():
        if seat.group.is_alone:
            found[seat.topic, seat.index] = _alone(broker, seat.group.group_id)
    if broker.runtime is None:
        return found
    described: asyncio.Future[list[GroupDescription]] = asyncio.get_running_loop().create_future()
    broker.runtime.describe_groups(partial(_settle, described))
    for group in await described:
        base_id, _ = split_group_id(group.group_id)
        place = _place_of(broker, base_id)
        if place is not None:
            found[place] = group
    return found


def _settle(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _place_of(broker: "Broker", base_id: str) -> tuple[str, int] | None:
    if base_id == CLUSTER_GROUP_ID:
        return CLUSTER_METADATA_TOPIC, 0
    key = parse_partition_group_id(base_id)
    image = None if key is None else broker.cluster_state.topic_by_id(key[0])
    return None if key is None or image is None else (image.name, key[1])


def _alone(broker: "Broker", group_id: str) -> GroupDescription:
    """A group that this broker decides by itself has no terms and no votes to tell of."""
    return GroupDescription(
        group_id=group_id,
        term=0,
        leader_id=broker.node_id,
        voters=(broker.node_id,),
        last_index=0,
        is_controller=True,
        is_quiesced=True,
        match_indexes={},
    )


def _partition(broker: "Broker", groups: Groups, name: str, index: int) -> Body:
    group = groups.get((name, index))
    if group is None:
        return {
            "partition_index": index,
            "error_code": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            "error_message": f"broker {broker.node_id} has no vote on {name}-{index}",
            "leader_id": UNKNOWN,
            "leader_epoch": UNKNOWN,
            "high_watermark": UNKNOWN,
        }
    live = broker.live_broker_ids()
    now_ms = broker.clock.now_ms()
    observers = []
    if name == CLUSTER_METADATA_TOPIC:
        observers = [
            _replica(each, UNKNOWN, now_ms if each in live else UNKNOWN, UNKNOWN)
            for each in sorted(broker.cluster_state.brokers)
            if each not in group.voters
        ]
    return {
        "partition_index": index,
        "error_code": ErrorCode.NONE,
        "leader_id": UNKNOWN if group.leader_id is None else group.leader_id,
        "leader_epoch": group.term,
        "high_watermark": group.last_index,
        "current_voters": [
            _voter(broker, group, voter, voter in live, now_ms) for voter in group.voters
        ],
        "observers": observers,
    }


def _voter(broker: "Broker", group: GroupDescription, voter: int, is_up: bool, now_ms: int) -> Body:
    end = group.last_index if voter == broker.node_id else group.match_indexes.get(voter, UNKNOWN)
    is_caught_up = is_up and end >= group.last_index
    return _replica(voter, end, now_ms if is_up else UNKNOWN, now_ms if is_caught_up else UNKNOWN)


def _replica(broker_id: int, end: int, fetched_ms: int, caught_up_ms: int) -> Body:
    return {
        "replica_id": broker_id,
        "log_end_offset": end,
        "last_fetch_timestamp": fetched_ms,
        "last_caught_up_timestamp": caught_up_ms,
    }
