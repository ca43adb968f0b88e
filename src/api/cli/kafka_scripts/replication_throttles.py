"""The settings that hold back a reassignment's traffic, set before it and cleared after it."""

from collections.abc import Mapping

from .. import cluster_admin
from ..admin_client import BROKER_RESOURCE, TOPIC_RESOURCE, AdminClient
from ..cluster_admin import Place

LEADER_RATE = "leader.replication.throttled.rate"
FOLLOWER_RATE = "follower.replication.throttled.rate"
LOG_DIR_RATE = "replica.alter.log.dirs.io.max.bytes.per.second"
LEADER_REPLICAS = "leader.replication.throttled.replicas"
FOLLOWER_REPLICAS = "follower.replication.throttled.replicas"


def limit(
    client: AdminClient,
    current: Mapping[Place, list[int]],
    targets: Mapping[Place, list[int]],
    bytes_per_s: int,
) -> None:
    """Throttles what the move copies: from those that hold it now to those that are new."""
    leaders: dict[str, list[str]] = {}
    followers: dict[str, list[str]] = {}
    for (topic, partition), replicas in sorted(targets.items()):
        present = current[topic, partition]
        leaders.setdefault(topic, []).extend(f"{partition}:{broker}" for broker in present)
        followers.setdefault(topic, []).extend(
            f"{partition}:{broker}" for broker in replicas if broker not in present
        )
    for topic, listed in leaders.items():
        sets = {LEADER_REPLICAS: ",".join(listed), FOLLOWER_REPLICAS: ",".join(followers[topic])}
        client.alter_configs(TOPIC_RESOURCE, topic, sets=sets)
    brokers = {each for replicas in (*current.values(), *targets.values()) for each in replicas}
    for broker in sorted(brokers):
        rates = {LEADER_RATE: str(bytes_per_s), FOLLOWER_RATE: str(bytes_per_s)}
        client.alter_configs(BROKER_RESOURCE, str(broker), sets=rates)


def clear(client: AdminClient, targets: Mapping[Place, list[int]]) -> tuple[list[int], list[str]]:
    """Takes all throttles away; the brokers and topics they are taken from."""
    known = {row["broker_id"] for row in cluster_admin.describe_cluster(client)["brokers"]}
    brokers = sorted(known | {each for replicas in targets.values() for each in replicas})
    topics = sorted({topic for topic, _ in targets})
    for broker in brokers:
        rates = (LEADER_RATE, FOLLOWER_RATE, LOG_DIR_RATE)
        client.alter_configs(BROKER_RESOURCE, str(broker), sets={}, deletes=rates)
    for topic in topics:
        names = (LEADER_REPLICAS, FOLLOWER_REPLICAS)
        client.alter_configs(TOPIC_RESOURCE, topic, sets={}, deletes=names)
    return brokers, topics
