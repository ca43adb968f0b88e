"""The commands that change the cluster's state, and their bytes in the write-ahead log.

    TAG  COMMAND               FIELDS (msgpack array, tag first)
      1  RegisterBroker        broker_id, incarnation, host, port, rack
      2  CreateTopic           name, topic_id, assignments, configs
      3  DeleteTopic           topic_id
      4  CreatePartitions      topic_id, assignments
      5  AlterConfigs          resource_type, resource_name, sets, deletes
      6  AllocateProducerIds   broker_id, count
      7  RegisterBroker        the same, then session, wal_id, listeners
      8  UnregisterBroker      broker_id
      9  ChangeVoters          expected_generation, voters
     10  ReassignPartitions    topic_id, targets
     11  FinishReassignment    topic_id, index, replicas
     12  ReassignPartitions    the same, then seen
     13  FinishReassignment    the same, then seen
     14  UnregisterBroker      broker_id, spares_targets

A tag is never used again for something else; a new field means a new tag.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import CorruptCommandError
from .packed_fields import (
    FieldReader,
    pack_fields,
    read_bool,
    read_fields,
    read_int,
    read_optional_text,
    read_text,
    read_uuid,
    record_of,
    tuple_of,
    unpack_fields,
)

Assignments = tuple[tuple[int, ...], ...]
"""One tuple of broker ids a partition, the preferred leader first."""

RESOURCE_TOPIC = "topic"
RESOURCE_BROKER = "broker"
RESOURCE_GROUP = "group"


@dataclass(frozen=True, slots=True)
class RegisterBroker:
    """A broker says where it is reached, and which life of it this is.

    `incarnation` is new after a stop that was not clean, `session` after every start, `wal_id`
    after the write-ahead log was lost.  `listeners` are (name, host, port) for clients.
    """

    broker_id: int
    incarnation: int
    host: str
    port: int
    rack: str | None = None
    session: int = 0
    wal_id: int = 0
    listeners: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class UnregisterBroker:
    """A broker left the cluster for good; no partition names it any more.

    `spares_targets`: nor is any to move there.  Older commands did not look at that.
    """

    broker_id: int
    spares_targets: bool = False


@dataclass(frozen=True, slots=True)
class CreateTopic:
    """A new topic; `configs` holds only what differs from the defaults."""

    name: str
    topic_id: bytes
    assignments: Assignments
    configs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteTopic:
    """A topic and all its records go."""

    topic_id: bytes


@dataclass(frozen=True, slots=True)
class CreatePartitions:
    """`assignments` are those of the added partitions alone."""

    topic_id: bytes
    assignments: Assignments


@dataclass(frozen=True, slots=True)
class AlterConfigs:
    """Overrides set and removed for one resource.

    `resource_type` is "topic" (by name), "broker" (by id; "" is the default of all brokers) or
    "group".
    """

    resource_type: str
    resource_name: str
    sets: Mapping[str, str] = field(default_factory=dict)
    deletes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AllocateProducerIds:
    """A block of `count` producer ids for one broker; no id is ever given out twice."""

    broker_id: int
    count: int


@dataclass(frozen=True, slots=True)
class ChangeVoters:
    """Other brokers agree on the cluster from now on: the last command of its generation."""

    expected_generation: int
    voters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReassignPartitions:
    """Partitions of one topic are to move: (index, replicas); no replicas call a move off.

    `seen` is (who holds it, where it moves already) of each, as the proposer knew them: another
    one decided meanwhile is not undone unawares.  Empty in older commands, which look at nothing.
    """

    topic_id: bytes
    targets: tuple[tuple[int, tuple[int, ...]], ...]
    seen: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class FinishReassignment:
    """A partition's group says that it moved: `replicas` hold it from now on.

    `seen` is who held it for the cluster until then; empty in older commands, which are not held
    against what the cluster knows by now.
    """

    topic_id: bytes
    index: int
    replicas: tuple[int, ...]
    seen: tuple[int, ...] = ()


Command = (
    RegisterBroker
    | UnregisterBroker
    | ChangeVoters
    | ReassignPartitions
    | FinishReassignment
    | CreateTopic
    | DeleteTopic
    | CreatePartitions
    | AlterConfigs
    | AllocateProducerIds
)

_IDS = tuple_of(read_int)
_ASSIGNMENTS = tuple_of(_IDS)
_TEXT_PAIRS = tuple_of(record_of(read_text, read_text))

_LAYOUTS: dict[int, tuple[type, tuple[FieldReader, ...]]] = {
    1: (RegisterBroker, (read_int, read_int, read_text, read_int, read_optional_text)),
    2: (CreateTopic, (read_text, read_uuid, _ASSIGNMENTS, _TEXT_PAIRS)),
    3: (DeleteTopic, (read_uuid,)),
    4: (CreatePartitions, (read_uuid, _ASSIGNMENTS)),
    5: (AlterConfigs, (read_text, read_text, _TEXT_PAIRS, tuple_of(read_text))),
    6: (AllocateProducerIds, (read_int, read_int)),
    7: (
        RegisterBroker,
        (
            read_int,
            read_int,
            read_text,
            read_int,
            read_optional_text,
            read_int,
            read_int,
            tuple_of(record_of(read_text, read_text, read_int)),
        ),
    ),
    8: (UnregisterBroker, (read_int,)),
    9: (ChangeVoters, (read_int, _IDS)),
    10: (ReassignPartitions, (read_uuid, tuple_of(record_of(read_int, _IDS)))),
    11: (FinishReassignment, (read_uuid, read_int, _IDS)),
    12: (
        ReassignPartitions,
        (
            read_uuid,
            tuple_of(record_of(read_int, _IDS)),
            tuple_of(record_of(_IDS, _IDS)),
        ),
    ),
    13: (FinishReassignment, (read_uuid, read_int, _IDS, _IDS)),
    14: (UnregisterBroker, (read_int, read_bool)),
}


def encode_command(command: Command) -> bytes:
    """The bytes that `decode_command` turns back into an equal command."""
    match command:
        case RegisterBroker(broker_id, incarnation, host, port, rack, session, wal_id, listeners):
            return pack_fields(
                7, (broker_id, incarnation, host, port, rack, session, wal_id, listeners)
            )
        case UnregisterBroker(broker_id, spares_targets):
            return pack_fields(14, (broker_id, spares_targets))
        case ChangeVoters(expected_generation, voters):
            return pack_fields(9, (expected_generation, voters))
        case ReassignPartitions(topic_id, targets, seen):
            return pack_fields(12, (topic_id, targets, seen))
        case FinishReassignment(topic_id, index, replicas, seen):
            return pack_fields(13, (topic_id, index, replicas, seen))
        case CreateTopic(name, topic_id, assignments, configs):
            return pack_fields(2, (name, topic_id, assignments, configs))
        case DeleteTopic(topic_id):
            return pack_fields(3, (topic_id,))
        case CreatePartitions(topic_id, assignments):
            return pack_fields(4, (topic_id, assignments))
        case AlterConfigs(resource_type, resource_name, sets, deletes):
            return pack_fields(
                5, (resource_type, resource_name, sorted(dict(sets).items()), deletes)
            )
        case AllocateProducerIds(broker_id, count):
            return pack_fields(6, (broker_id, count))


def decode_command(data: bytes) -> Command:
    """The command of these bytes; raises CorruptCommandError."""
    tag, fields = unpack_fields(data)
    layout = _LAYOUTS.get(tag)
    if layout is None:
        raise CorruptCommandError(
            f"cluster command {tag} is unknown to this version of headrace; a newer one wrote it"
        )
    kind, readers = layout
    values = read_fields(readers, fields, kind.__name__)
    if kind is AlterConfigs:
        values[2] = dict(values[2])
    command: Command = kind(*values)
    return command
