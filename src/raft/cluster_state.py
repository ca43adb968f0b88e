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
    ChangeVoters,
    Command,
    CreatePartitions,
    CreateTopic,
    DeleteTopic,
    FinishReassignment,
    ReassignPartitions,
    RegisterBroker,
    UnregisterBroker,
)
from .errors import (
    BrokerIdNotRegisteredError,
    CorruptCommandError,
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidRequestError,
    InvalidTopicError,
    ReassignmentChangedError,
    TopicExistsError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
)
from .packed_fields import (
    FieldReader,
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
from .topic_image import Birth, BirthMember, BrokerRegistration, TopicImage
from .topic_names import collision_key, validate_topic_name

MAX_PARTITIONS_PER_TOPIC = 10_000
MAX_PRODUCER_ID = (1 << 63) - 1
_SNAPSHOT_TAG = 2
_FIRST_SNAPSHOT_TAG = 1  # before there was more than one broker
_ZERO_ID = bytes(16)


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
        self.generation = 0
        self.voters: tuple[int, ...] = ()
        """Who agrees on all this; nobody named: the one broker that began alone."""
        self.voter_wal_ids: tuple[int, ...] = ()
        """The write-ahead logs with which `voters` vote, in their order; 0: not known."""
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

        RegisterBroker, UnregisterBroker -> BrokerRegistration; DeleteTopic -> the removed
        TopicImage; what else changes a topic -> the new TopicImage; AlterConfigs -> the overrides
        now in force; AllocateProducerIds -> ProducerIdBlock; ChangeVoters -> the new generation.
        """
        match command:
            case RegisterBroker():
                return self._register_broker(command)
            case UnregisterBroker():
                return self._unregister_broker(command)
            case ChangeVoters():
                return self._change_voters(command)
            case ReassignPartitions():
                return self._reassign_partitions(command)
            case FinishReassignment():
                return self._finish_reassignment(command)
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
            command.broker_id,
            command.incarnation,
            command.host,
            command.port,
            command.rack,
            command.session,
            command.wal_id,
            command.listeners,
        )
        self.brokers[command.broker_id] = registration
        return registration

    def _unregister_broker(self, command: UnregisterBroker) -> BrokerRegistration:
        if command.broker_id not in self.brokers:
            raise BrokerIdNotRegisteredError(f"broker {command.broker_id} is not registered")
        if command.broker_id in self.voters:
            raise InvalidRequestError(f"broker {command.broker_id} still votes on the cluster")
        for topic in self.topics.values():
            if any(command.broker_id in replicas for replicas in topic.assignments):
                raise InvalidRequestError(
                    f"broker {command.broker_id} still holds partitions of {topic.name}"
                )
            is_target = any(command.broker_id in replicas for replicas in topic.targets.values())
            if is_target and command.spares_targets:
                raise InvalidRequestError(
                    f"partitions of {topic.name} are to move to broker {command.broker_id}"
                )
        return self.brokers.pop(command.broker_id)

    def _change_voters(self, command: ChangeVoters) -> int:
        if command.expected_generation != self.generation:
            raise InvalidRequestError(
                f"generation {command.expected_generation} is over, this is {self.generation}"
            )
        if not command.voters or len(set(command.voters)) != len(command.voters):
            raise InvalidRequestError(f"{command.voters} cannot vote on the cluster")
        self.voters = command.voters
        self.voter_wal_ids = tuple(
            self.brokers[voter].wal_id if voter in self.brokers else 0 for voter in command.voters
        )
        self.generation += 1
        return self.generation

    def _reassign_partitions(self, command: ReassignPartitions) -> TopicImage:
        topic = self._known_topic(command.topic_id)
        targets = dict(topic.targets)
        if command.seen:
            self._check_seen(topic, command)
        for index, replicas in command.targets:
            if not 0 <= index < topic.partition_count:
                raise UnknownTopicOrPartitionError(
                    f"no partition {topic.name}-{index}", topic.name, index
                )
            if not replicas:
                targets.pop(index, None)
                continue
            _check_assignments((replicas,))
            targets[index] = replicas
        moving = replace(topic, targets=MappingProxyType(targets))
        self._put_topic(moving)
        return moving

    def _check_seen(self, topic: TopicImage, command: ReassignPartitions) -> None:
        """Whether the partitions are as the proposer saw them, and the new brokers are there."""
        if len(command.seen) != len(command.targets):
            raise InvalidRequestError(f"{len(command.seen)} states seen of other partitions")
        for (index, replicas), seen in zip(command.targets, command.seen, strict=True):
            if not 0 <= index < topic.partition_count:
                continue  # refused as what it is
            present = topic.assignments[index]
            if (present, topic.targets.get(index, ())) != seen:
                raise ReassignmentChangedError(f"{topic.name}-{index} has changed meanwhile")
            unknown = [each for each in replicas if each not in {*self.brokers, *present}]
            if unknown:
                raise InvalidReplicaAssignmentError(f"there is no broker {unknown[0]}")

    def _finish_reassignment(self, command: FinishReassignment) -> TopicImage:
        topic = self._known_topic(command.topic_id)
        if not 0 <= command.index < topic.partition_count:
            raise UnknownTopicOrPartitionError(
                f"no partition {topic.name}-{command.index}", topic.name, command.index
            )
        _check_assignments((command.replicas,))
        present = topic.assignments[command.index]
        if command.seen not in ((), present):
            return topic  # told before, or by who had not heard of a later move
        targets = dict(topic.targets)
        if targets.get(command.index, command.replicas) == command.replicas:
            targets.pop(command.index, None)
        elif not command.seen or set(present).issubset(command.replicas):
            return topic  # it is to be elsewhere by now, so it has not arrived
        # Else who held it has left already: it did move there, and goes on from there.
        assignments = list(topic.assignments)
        assignments[command.index] = command.replicas
        moved = replace(topic, assignments=tuple(assignments), targets=MappingProxyType(targets))
        self._put_topic(moved)
        return moved

    def _birth(self, first_partition: int, assignments: Assignments) -> tuple[Birth, ...]:
        """The registrations as they are now, for partitions that are made now."""
        if not self.brokers:
            return ()
        members = tuple(
            BirthMember(b.broker_id, b.incarnation, b.session, b.wal_id)
            for b in sorted(self.brokers.values(), key=lambda broker: broker.broker_id)
        )
        return (Birth(first_partition, assignments, members),)

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
            self._birth(0, command.assignments),
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
        grown = replace(
            topic,
            assignments=topic.assignments + command.assignments,
            births=topic.births + self._birth(topic.partition_count, command.assignments),
        )
        self._put_topic(grown)
        return grown

    def _alter_configs(self, command: AlterConfigs) -> Mapping[str, str]:
        if command.resource_type == RESOURCE_TOPIC:
            topic = self.topics.get(command.resource_name)
            if topic is None:
                raise UnknownTopicOrPartitionError(
                    f"no topic {command.resource_name!r}", command.resource_name
                )
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
        brokers = [_astuple(broker) for broker in self.brokers.values()]
        topics = [
            (
                t.name,
                t.topic_id,
                t.assignments,
                list(t.configs.items()),
                [
                    (b.first_partition, b.assignments, [_astuple(m) for m in b.members])
                    for b in t.births
                ],
                list(t.targets.items()),
            )
            for t in self.topics.values()
        ]
        configs = [(kind, name, list(c.items())) for (kind, name), c in self._configs.items()]
        return pack_fields(
            _SNAPSHOT_TAG,
            (
                brokers,
                topics,
                configs,
                self.next_producer_id,
                self.generation,
                self.voters,
                self.voter_wal_ids,
            ),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "ClusterState":
        """The state that `to_bytes` described; raises CorruptCommandError."""
        tag, fields = unpack_fields(data)
        readers = _SNAPSHOT_READERS.get(tag)
        if readers is None:
            raise CorruptCommandError(f"cluster snapshot version {tag} is unknown to this headrace")
        values = read_fields(readers, fields, "a cluster snapshot")
        brokers, topics, configs, next_producer_id = values[:4]
        state = cls()
        for broker in brokers:
            state.brokers[broker[0]] = BrokerRegistration(*broker)
        for topic in topics:
            state._load_topic(*topic)
        for kind, name, overrides in configs:
            state._configs[(kind, name)] = MappingProxyType(dict(overrides))
        state.next_producer_id = next_producer_id
        if tag != _FIRST_SNAPSHOT_TAG:
            state.generation, state.voters, state.voter_wal_ids = values[4:]
        return state

    def _load_topic(
        self,
        name: str,
        topic_id: bytes,
        assignments: Assignments,
        overrides: Any,
        births: Any = (),
        targets: Any = (),
    ) -> None:
        topic = TopicImage(
            name,
            topic_id,
            assignments,
            MappingProxyType(dict(overrides)),
            tuple(
                Birth(first, placed, tuple(BirthMember(*member) for member in members))
                for first, placed, members in births
            ),
            MappingProxyType(dict(targets)),
        )
        self._put_topic(topic)
        self._names_by_collision_key[collision_key(name)] = name


_TEXT_PAIRS = tuple_of(record_of(read_text, read_text))
_IDS = tuple_of(read_int)
_BROKER_V1 = (read_int, read_int, read_text, read_int, read_optional_text)
_LISTENERS = tuple_of(record_of(read_text, read_text, read_int))
_MEMBERS = tuple_of(record_of(read_int, read_int, read_int, read_int))
_BIRTHS = tuple_of(record_of(read_int, tuple_of(_IDS), _MEMBERS))
_TARGETS = tuple_of(record_of(read_int, _IDS))
_TOPIC_V1 = (read_text, read_uuid, tuple_of(_IDS), _TEXT_PAIRS)
_CONFIGS = tuple_of(record_of(read_text, read_text, _TEXT_PAIRS))
_SNAPSHOT_READERS: dict[int, tuple[FieldReader, ...]] = {
    _FIRST_SNAPSHOT_TAG: (
        tuple_of(record_of(*_BROKER_V1)),
        tuple_of(record_of(*_TOPIC_V1)),
        _CONFIGS,
        read_int,
    ),
    _SNAPSHOT_TAG: (
        tuple_of(record_of(*_BROKER_V1, read_int, read_int, _LISTENERS)),
        tuple_of(record_of(*_TOPIC_V1, _BIRTHS, _TARGETS)),
        _CONFIGS,
        read_int,
        read_int,
        _IDS,
        _IDS,
    ),
}


def _astuple(value: BrokerRegistration | BirthMember) -> tuple[Any, ...]:
    return tuple(getattr(value, name) for name in value.__slots__)


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
