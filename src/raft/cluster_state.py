"""The replicated state of the cluster: brokers, topics, configs, producer ids.

Pure: a command in, a result or a `ClusterStateError` out, the same on every broker and at every
replay. A refused command changes nothing.  Only `ClusterGroup` may call `apply`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from .cluster_commands import (
    RESOURCE_BROKER,
    RESOURCE_GROUP,
    RESOURCE_TOPIC,
    AllocateProducerIds,
    AlterConfigs,
    Assignments,
    Command,
    CreatePartitions,
    CreateTopic,
    DeleteTopic,
    RegisterBroker,
)
from .errors import (
    CorruptCommandError,
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidRequestError,
    InvalidTopicError,
    TopicExistsError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
)
from .packed_fields import (
    pack_fields,
    read_fields,
    read_int,
    read_optional_text,
    read_text,
    read_uuid,
    record_of,
    tuple_of,
    unpack_fields,
)
from .topic_names import collision_key, is_internal_topic, validate_topic_name

MAX_PARTITIONS_PER_TOPIC = 10_000
MAX_PRODUCER_ID = (1 << 63) - 1
_SNAPSHOT_TAG = 1
_ZERO_ID = bytes(16)


@dataclass(frozen=True, slots=True)
class BrokerRegistration:
    """Where a broker is reached, and which life of its process this is."""

    broker_id: int
    incarnation: int
    host: str
    port: int
    rack: str | None


@dataclass(frozen=True, slots=True)
class TopicImage:
    """One topic as the cluster agreed on it; replaced, never changed."""

    name: str
    topic_id: bytes
    assignments: Assignments
    configs: Mapping[str, str]

    @property
    def is_internal(self) -> bool:
        return is_internal_topic(self.name)

    @property
    def partition_count(self) -> int:
        return len(self.assignments)


@dataclass(frozen=True, slots=True)
class ProducerIdBlock:
    """`count` producer ids from `first_producer_id` on, for one broker alone."""

    first_producer_id: int
    count: int


class ClusterState:
    """What every broker knows alike; see the module."""

    def __init__(self) -> None:
        self.brokers: dict[int, BrokerRegistration] = {}
        self.topics: dict[str, TopicImage] = {}
        self.next_producer_id = 0
        self._topics_by_id: dict[bytes, TopicImage] = {}
        self._names_by_collision_key: dict[str, str] = {}
        self._configs: dict[tuple[str, str], Mapping[str, str]] = {}

    # -- reads

    def topic_by_id(self, topic_id: bytes) -> TopicImage | None:
        """The topic with this id, or None."""
        return self._topics_by_id.get(topic_id)

    def colliding_topic(self, name: str) -> str | None:
        """The topic that a new topic `name` would collide with ('.' against '_'), or None."""
        return self._names_by_collision_key.get(collision_key(name))

    def broker_configs(self, broker_id: int | str) -> Mapping[str, str]:
        """Dynamic overrides of one broker; "" gives the default of all brokers."""
        return self._configs.get((RESOURCE_BROKER, str(broker_id)), MappingProxyType({}))

    def group_configs(self, group_id: str) -> Mapping[str, str]:
        """Overrides of one consumer group."""
        return self._configs.get((RESOURCE_GROUP, group_id), MappingProxyType({}))

    def config_resources(self, resource_type: str) -> list[str]:
        """Names of the resources of this type that have an override."""
        if resource_type == RESOURCE_TOPIC:
            return [topic.name for topic in self.topics.values() if topic.configs]
        return [name for kind, name in self._configs if kind == resource_type]

    # -- commands

    def apply(self, command: Command) -> Any:
        """Carry out `command`; gives its result or raises a ClusterStateError, having done nothing.

        RegisterBroker -> BrokerRegistration; CreateTopic, CreatePartitions -> the new TopicImage;
        DeleteTopic -> the removed TopicImage; AlterConfigs -> the overrides now in force;
        AllocateProducerIds -> ProducerIdBlock.
        """
        match command:
            case RegisterBroker():
                return self._register_broker(command)
            case CreateTopic():
                return self._create_topic(command)
            case DeleteTopic():
                return self._delete_topic(command)
            case CreatePartitions():
                return self._create_partitions(command)
            case AlterConfigs():
                return self._alter_configs(command)
            case AllocateProducerIds():
                return self._allocate_producer_ids(command)

    def _register_broker(self, command: RegisterBroker) -> BrokerRegistration:
        if command.broker_id < 0:
            raise InvalidRequestError(f"broker id {command.broker_id} is negative")
        registration = BrokerRegistration(
            command.broker_id, command.incarnation, command.host, command.port, command.rack
        )
        self.brokers[command.broker_id] = registration
        return registration

    def _create_topic(self, command: CreateTopic) -> TopicImage:
        validate_topic_name(command.name)
        if command.name in self.topics:
            raise TopicExistsError(f"topic {command.name!r} exists already")
        collides_with = self.colliding_topic(command.name)
        if collides_with is not None:
            raise InvalidTopicError(
                f"topic {command.name!r} collides with {collides_with!r}: "
                "'.' and '_' count as the same character"
            )
        if command.topic_id == _ZERO_ID or command.topic_id in self._topics_by_id:
            raise InvalidRequestError(f"topic id {command.topic_id.hex()} is zero or taken")
        _check_assignments(command.assignments)
        _check_partition_count(len(command.assignments))
        topic = TopicImage(
            command.name,
            command.topic_id,
            command.assignments,
            MappingProxyType(dict(command.configs)),
        )
        self._put_topic(topic)
        self._names_by_collision_key[collision_key(topic.name)] = topic.name
        return topic

    def _delete_topic(self, command: DeleteTopic) -> TopicImage:
        topic = self._known_topic(command.topic_id)
        del self.topics[topic.name]
        del self._topics_by_id[topic.topic_id]
        del self._names_by_collision_key[collision_key(topic.name)]
        return topic

    def _create_partitions(self, command: CreatePartitions) -> TopicImage:
        topic = self._known_topic(command.topic_id)
        _check_assignments(command.assignments)
        _check_partition_count(topic.partition_count + len(command.assignments))
        grown = replace(topic, assignments=topic.assignments + command.assignments)
        self._put_topic(grown)
        return grown

    def _alter_configs(self, command: AlterConfigs) -> Mapping[str, str]:
        if command.resource_type == RESOURCE_TOPIC:
            topic = self.topics.get(command.resource_name)
            if topic is None:
                raise UnknownTopicOrPartitionError(f"no topic {command.resource_name!r}")
            configs = _altered(topic.configs, command)
            self._put_topic(replace(topic, configs=configs))
            return configs
        if command.resource_type not in (RESOURCE_BROKER, RESOURCE_GROUP):
            raise InvalidRequestError(f"no configs exist for a {command.resource_type!r}")
        key = (command.resource_type, command.resource_name)
        configs = _altered(self._configs.get(key, {}), command)
        if configs:
            self._configs[key] = configs
        else:
            self._configs.pop(key, None)
        return configs

    def _allocate_producer_ids(self, command: AllocateProducerIds) -> ProducerIdBlock:
        first = self.next_producer_id
        if not 0 < command.count <= MAX_PRODUCER_ID - first:
            raise InvalidRequestError(f"cannot give out {command.count} producer ids from {first}")
        self.next_producer_id = first + command.count
        return ProducerIdBlock(first, command.count)

    def _known_topic(self, topic_id: bytes) -> TopicImage:
        topic = self._topics_by_id.get(topic_id)
        if topic is None:
            raise UnknownTopicIdError(f"no topic has the id {topic_id.hex()}")
        return topic

    def _put_topic(self, topic: TopicImage) -> None:
        self.topics[topic.name] = topic
        self._topics_by_id[topic.topic_id] = topic

    # -- snapshot

    def to_bytes(self) -> bytes:
        """The whole state as one packed value (layout: `_SNAPSHOT_READERS`)."""
        brokers = [
            (b.broker_id, b.incarnation, b.host, b.port, b.rack) for b in self.brokers.values()
        ]
        topics = [
            (t.name, t.topic_id, t.assignments, list(t.configs.items()))
            for t in self.topics.values()
        ]
        configs = [(kind, name, list(c.items())) for (kind, name), c in self._configs.items()]
        return pack_fields(_SNAPSHOT_TAG, (brokers, topics, configs, self.next_producer_id))

    @classmethod
    def from_bytes(cls, data: bytes) -> "ClusterState":
        """The state that `to_bytes` described; raises CorruptCommandError."""
        tag, fields = unpack_fields(data)
        if tag != _SNAPSHOT_TAG:
            raise CorruptCommandError(f"cluster snapshot version {tag} is unknown to this headrace")
        brokers, topics, configs, next_producer_id = read_fields(
            _SNAPSHOT_READERS, fields, "a cluster snapshot"
        )
        state = cls()
        for broker in brokers:
            state.brokers[broker[0]] = BrokerRegistration(*broker)
        for name, topic_id, assignments, overrides in topics:
            topic = TopicImage(name, topic_id, assignments, MappingProxyType(dict(overrides)))
            state._put_topic(topic)
            state._names_by_collision_key[collision_key(name)] = name
        for kind, name, overrides in configs:
            state._configs[(kind, name)] = MappingProxyType(dict(overrides))
        state.next_producer_id = next_producer_id
        return state


_TEXT_PAIRS = tuple_of(record_of(read_text, read_text))
_SNAPSHOT_READERS = (
    tuple_of(record_of(read_int, read_int, read_text, read_int, read_optional_text)),
    tuple_of(record_of(read_text, read_uuid, tuple_of(tuple_of(read_int)), _TEXT_PAIRS)),
    tuple_of(record_of(read_text, read_text, _TEXT_PAIRS)),
    read_int,
)


def _check_assignments(assignments: Assignments) -> None:
    if not assignments:
        raise InvalidPartitionsError("at least one partition must be asked for")
    for index, replicas in enumerate(assignments):
        if not replicas:
            raise InvalidReplicaAssignmentError(f"assignment {index} names no broker")
        if len(set(replicas)) != len(replicas):
            raise InvalidReplicaAssignmentError(f"assignment {index} repeats a broker: {replicas}")
        if min(replicas) < 0:
            raise InvalidReplicaAssignmentError(f"assignment {index} has a negative id: {replicas}")


def _check_partition_count(count: int) -> None:
    if count > MAX_PARTITIONS_PER_TOPIC:
        raise InvalidPartitionsError(
            f"a topic may have {MAX_PARTITIONS_PER_TOPIC} partitions; {count} were asked for"
        )


def _altered(configs: Mapping[str, str], command: AlterConfigs) -> Mapping[str, str]:
    altered = {name: text for name, text in configs.items() if name not in command.deletes}
    altered.update(command.sets)
    return MappingProxyType(altered)
