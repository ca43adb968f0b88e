"""The settings that hold back a reassignment's traffic, set before it and cleared after it.

Topics list who is throttled: at the source every copy that is there, at the target every new one.
Brokers have the rate, each at its own address: no broker takes another one's settings.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..wire.error_codes import ErrorCode
from . import cluster_admin
from .admin_client import BROKER_RESOURCE, TOPIC_RESOURCE, AdminClient, AdminError
from .broker_connection import BrokerUnreachableError
from .cluster_admin import Moving, Place

LEADER_RATE = "leader.replication.throttled.rate"
FOLLOWER_RATE = "follower.replication.throttled.rate"
LOG_DIR_RATE = "replica.alter.log.dirs.io.max.bytes.per.second"
LEADER_REPLICAS = "leader.replication.throttled.replicas"
FOLLOWER_REPLICAS = "follower.replication.throttled.replicas"
TOPIC_SOURCE = 1  # of a setting: DYNAMIC_TOPIC_CONFIG


class Move(NamedTuple):
    """Who sends and who receives one partition."""

    sources: frozenset[int]
    destinations: frozenset[int]


def moves_of(
    under_way: Iterable[Moving],
    current: Mapping[Place, Sequence[int]],
    targets: Mapping[Place, Sequence[int]],
) -> dict[Place, Move]:
    """Every move that will be under way once `targets` are asked for: theirs beside the others."""
    moves = {}
    for moving in under_way:
        adding = frozenset(moving.adding)
        sources = frozenset(moving.replicas) - adding
        moves[moving.topic, moving.partition] = Move(sources, adding)
    for place, replicas in targets.items():
        sources = moves[place].sources if place in moves else frozenset(current[place])
        moves[place] = Move(sources, frozenset(replicas) - sources)
    return moves


def brokers_of(moves: Mapping[Place, Move]) -> set[int]:
    """Everyone who sends or receives in one of the moves."""
    return set().union(*(move.sources | move.destinations for move in moves.values()))


def limit(client: AdminClient, moves: Mapping[Place, Move], bytes_per_s: int) -> list[int]:
    """Throttles what the moves copy, on every broker that takes part in one; who is down."""
    for topic in sorted({topic for topic, _ in moves}):
        own = {index: move for (name, index), move in moves.items() if name == topic}
        sets = {
            LEADER_REPLICAS: _listed((index, own[index].sources) for index in own),
            FOLLOWER_REPLICAS: _listed((index, own[index].destinations) for index in own),
        }
        client.alter_configs(TOPIC_RESOURCE, topic, sets=sets)
    rates = {LEADER_RATE: str(bytes_per_s), FOLLOWER_RATE: str(bytes_per_s)}
    return _alter_each(client, brokers_of(moves), sets=rates)


def limit_log_dirs(client: AdminClient, brokers: Iterable[int], bytes_per_s: int) -> None:
    """Throttles what brokers copy from one of their log directories to another."""
    for broker in sorted(brokers):
        client.alter_configs(BROKER_RESOURCE, str(broker), sets={LOG_DIR_RATE: str(bytes_per_s)})


def _listed(brokers: Iterable[tuple[int, frozenset[int]]]) -> str:
    """`partition:broker` pairs in the order of their text, as Kafka's tool writes them."""
    return ",".join(sorted(f"{index}:{broker}" for index, held in brokers for broker in held))


def clear_brokers(client: AdminClient, brokers: Iterable[int]) -> list[int]:
    """Takes the rates from brokers; those are left that are down, and keep theirs."""
    return _alter_each(client, brokers, deletes=(LEADER_RATE, FOLLOWER_RATE, LOG_DIR_RATE))


def not_throttled(brokers: Sequence[int]) -> str:
    """What to tell of brokers that `limit` left."""
    return f"not throttled, since they do not answer: {_named(brokers)}"


def still_throttled(brokers: Sequence[int]) -> str:
    """What to tell of brokers that `clear_brokers` left."""
    return (
        f"still throttled, since they do not answer: {_named(brokers)}. For each, once it is up: "
        f"headrace configs unset --broker {brokers[0]} {LEADER_RATE} {FOLLOWER_RATE}"
    )


def _named(brokers: Sequence[int]) -> str:
    return ", ".join(f"broker {broker}" for broker in brokers)


def _alter_each(
    client: AdminClient,
    brokers: Iterable[int],
    *,
    sets: Mapping[str, str] | None = None,
    deletes: Sequence[str] = (),
) -> list[int]:
    """Changes every broker's settings, whoever of them is down: their ids."""
    down = []
    for broker in sorted(brokers):
        try:
            client.alter_configs(BROKER_RESOURCE, str(broker), sets=sets or {}, deletes=deletes)
        except BrokerUnreachableError:
            down.append(broker)
        except AdminError as error:
            if error.code != ErrorCode.BROKER_NOT_AVAILABLE:
                raise
            down.append(broker)
    return down


def clear_topics(client: AdminClient, topics: Iterable[str]) -> None:
    """Takes the lists of throttled replicas from topics."""
    for topic in topics:
        names = (LEADER_REPLICAS, FOLLOWER_REPLICAS)
        client.alter_configs(TOPIC_RESOURCE, topic, sets={}, deletes=names)


def left_behind(client: AdminClient, topics: Iterable[str]) -> dict[str, set[int]]:
    """Topics whose lists an earlier move left, and the brokers in them.

    A command that is killed leaves them, and they hold back whatever moves next.  A list of `*` was
    set by a person, for every copy that there will ever be.
    """
    found = {}
    for topic in sorted(topics):
        lists = [
            entry.value
            for entry in client.configs(TOPIC_RESOURCE, topic)
            if entry.name in (LEADER_REPLICAS, FOLLOWER_REPLICAS)
            and entry.source == TOPIC_SOURCE
            and entry.value not in (None, "*")
        ]
        if lists:
            pairs = [pair.partition(":") for text in lists for pair in str(text).split(",")]
            found[topic] = {int(broker) for _, _, broker in pairs if broker.isdecimal()}
    return found


def lift_left_behind(
    client: AdminClient, topics: Iterable[str], under_way: Iterable[Moving]
) -> tuple[list[str], list[int]]:
    """Takes what earlier moves left from topics none of whose partitions moves (`under_way`).

    Gives these topics, and the brokers that keep their rates because they are down.
    """
    still = list(under_way)
    moving = {each.topic for each in still}
    found = left_behind(client, {*topics} - moving)
    clear_topics(client, found)
    brokers = {broker for named in found.values() for broker in named}
    in_use = {broker for each in still for broker in each.replicas}
    return sorted(found), clear_brokers(client, brokers - in_use)


def throttled_brokers(client: AdminClient, targets: Iterable[Sequence[int]]) -> list[int]:
    """Whose rates may have been set: as in Kafka everyone who is up, and whoever is a target."""
    named = {broker for replicas in targets for broker in replicas}
    return sorted(cluster_admin.live_brokers(client) | named)
