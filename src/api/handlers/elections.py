"""ElectLeaders (API key 43), versions 0-2: leaders by order of a person."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.errors import HeadraceError
from ...raft.errors import (
    GroupSealedError,
    ReplicationError,
    UnknownOutcomeError,
    UnknownTopicOrPartitionError,
)
from ...raft.outcomes import settle
from ...raft.partition_state import Outcome
from ..wire.error_codes import ErrorCode
from .context import RequestContext
from .error_mapping import error_code_of

if TYPE_CHECKING:
    from ..broker import Broker

Body = dict[str, Any]

PREFERRED, UNCLEAN = 0, 1
TRIES = 5
KNOWN_WITHIN_S = 0.5


async def handle_elect_leaders(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """ElectLeaders.

    Behaviour: preferred (type 0): the first replica leads, if it is in sync and up, else
    PREFERRED_LEADER_NOT_AVAILABLE; unclean (type 1): any replica leads, where there is no leader,
    and records may be lost.  ELECTION_NOT_NEEDED where the right one leads; those are told only to
    who named them.  Null topics: every partition.
    Any broker takes the order, and has the partition's controller decide it.
    Versions: 0 is preferred only, 1 names the type (KIP-460), 2 is flexible.
    """
    election_type = request["election_type"]
    if election_type not in (PREFERRED, UNCLEAN):
        return {"error_code": ErrorCode.INVALID_REQUEST, "replica_election_results": []}
    is_for_all = request["topic_partitions"] is None
    asked: list[tuple[str, Any]] = (
        [(image.name, range(image.partition_count)) for image in _topics(broker)]
        if is_for_all
        else [(each["topic"], each["partitions"]) for each in request["topic_partitions"]]
    )
    results = []
    for name, indexes in asked:
        rows = await asyncio.gather(
            *(_elect(broker, name, index, election_type == UNCLEAN) for index in indexes)
        )
        if is_for_all:
            rows = [row for row in rows if row["error_code"] != ErrorCode.ELECTION_NOT_NEEDED]
        if rows:
            results.append({"topic": name, "partition_result": rows})
    return {"error_code": ErrorCode.NONE, "replica_election_results": results}


def _topics(broker: "Broker") -> list[Any]:
    return list(broker.cluster_state.topics.values())


async def _elect(broker: "Broker", name: str, index: int, is_unclean: bool) -> Body:
    row: Body = {"partition_id": index, "error_code": ErrorCode.NONE, "error_message": None}
    try:
        await _have_elected(broker, name, index, is_unclean)
    except HeadraceError as error:
        row |= {"error_code": error_code_of(error), "error_message": str(error)}
    return row


async def _have_elected(broker: "Broker", topic: str, index: int, is_unclean: bool) -> None:
    """Elect a partition's preferred leader, or where nobody leads it whoever is there.

    Raises UnknownTopicOrPartitionError, ElectionNotNeededError, PreferredLeaderNotAvailableError,
    EligibleLeadersNotAvailableError, or what left it undecided.
    """
    image = broker.cluster_state.topics.get(topic)
    if image is None or not 0 <= index < image.partition_count:
        raise UnknownTopicOrPartitionError(f"no partition {topic}-{index}", topic, index)
    for _ in range(TRIES):
        seen = broker.partition_state(topic, index)
        decided: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        broker.replicas.seats.elect_by_hand(
            image, index, is_unclean=is_unclean, on_done=partial(settle, decided)
        )
        outcome = await decided
        if isinstance(outcome, ReplicationError) and not isinstance(outcome, GroupSealedError):
            raise outcome
        if outcome is Outcome.APPLIED:
            return
        # What this broker knew of the partition is old; the news is on its way.
        is_known = partial(_differs, broker, topic, index, seen)
        await broker.changes.until(is_known, within_s=KNOWN_WITHIN_S)
    raise UnknownOutcomeError(f"{topic}-{index} changes too fast; try again")


def _differs(broker: "Broker", topic: str, index: int, seen: object) -> bool:
    return topic not in broker.cluster_state.topics or broker.partition_state(topic, index) != seen
