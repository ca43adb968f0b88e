"""From one cluster state to a later one as commands, for who follows the cluster by commands.

A state that comes whole (a snapshot, a seed) is told to listeners in the same words as decisions
that come one by one.  Pure.
"""

from collections.abc import Iterator
from typing import Any

from .cluster_commands import (
    RESOURCE_BROKER,
    RESOURCE_GROUP,
    RESOURCE_TOPIC,
    AlterConfigs,
    Command,
    CreatePartitions,
    CreateTopic,
    DeleteTopic,
    FinishReassignment,
    ReassignPartitions,
    RegisterBroker,
    UnregisterBroker,
)
from .cluster_state import ClusterState
from .topic_image import BrokerRegistration, TopicImage

Decided = tuple[Command, Any]
"""(command, result)"""


def commands_between(old: ClusterState, new: ClusterState) -> Iterator[Decided]:
    """What could have led from `old` to `new`; results are those of `new`."""
    for topic in list(old.topics.values()):
        if new.topic_by_id(topic.topic_id) is None:
            yield DeleteTopic(topic.topic_id), topic
    for broker_id, registration in old.brokers.items():
        if broker_id not in new.brokers:
            yield UnregisterBroker(broker_id), registration
    for broker_id, registration in new.brokers.items():
        if old.brokers.get(broker_id) != registration:
            yield _registering(registration), registration
    for kind in (RESOURCE_BROKER, RESOURCE_GROUP):
        yield from _altered_configs(old, new, kind)
    for topic in new.topics.values():
        yield from _topic_commands(old.topic_by_id(topic.topic_id), topic)


def _registering(registration: BrokerRegistration) -> RegisterBroker:
    return RegisterBroker(
        registration.broker_id,
        registration.incarnation,
        registration.host,
        registration.port,
        registration.rack,
        registration.session,
        registration.wal_id,
        registration.listeners,
    )


def _altered_configs(old: ClusterState, new: ClusterState, kind: str) -> Iterator[Decided]:
    read = ClusterState.broker_configs if kind == RESOURCE_BROKER else ClusterState.group_configs
    names = dict.fromkeys([*old.config_resources(kind), *new.config_resources(kind)])
    for name in names:
        before, after = read(old, name), read(new, name)
        if before != after:
            gone = tuple(key for key in before if key not in after)
            yield AlterConfigs(kind, name, dict(after), gone), after


def _topic_commands(before: TopicImage | None, topic: TopicImage) -> Iterator[Decided]:
    if before is None:
        configs = tuple(topic.configs.items())
        yield CreateTopic(topic.name, topic.topic_id, topic.assignments, configs), topic
    else:
        added = topic.assignments[before.partition_count :]
        if added:
            yield CreatePartitions(topic.topic_id, added), topic
        if before.configs != topic.configs:
            yield AlterConfigs(RESOURCE_TOPIC, topic.name, dict(topic.configs)), topic.configs
        for index, held in enumerate(before.assignments):
            has_ended = index in before.targets and index not in topic.targets
            if has_ended or held != topic.assignments[index]:
                yield FinishReassignment(topic.topic_id, index, topic.assignments[index]), topic
    if topic.targets and (before is None or before.targets != topic.targets):
        yield ReassignPartitions(topic.topic_id, tuple(topic.targets.items())), topic
