"""The commands that change the cluster's state, and their bytes in the write-ahead log.

    TAG  COMMAND               FIELDS (msgpack array, tag first)
      1  RegisterBroker        broker_id, incarnation, host, port, rack
      2  CreateTopic           name, topic_id, assignments, configs
      3  DeleteTopic           topic_id
      4  CreatePartitions      topic_id, assignments
      5  AlterConfigs          resource_type, resource_name, sets, deletes
      6  AllocateProducerIds   broker_id, count

A tag is never used again for something else; a new field means a new tag.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import CorruptCommandError
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

Assignments = tuple[tuple[int, ...], ...]
"""One tuple of broker ids a partition, the preferred leader first."""

RESOURCE_TOPIC = "topic"
RESOURCE_BROKER = "broker"
RESOURCE_GROUP = "group"


@dataclass(frozen=True, slots=True)
class RegisterBroker:
    """A broker says where it is reached; a new `incarnation` means that it was restarted."""

    broker_id: int
    incarnation: int
    host: str
    port: int
    rack: str | None = None


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


Command = (
    RegisterBroker
    | CreateTopic
    | DeleteTopic
    | CreatePartitions
    | AlterConfigs
    | AllocateProducerIds
)

_ASSIGNMENTS = tuple_of(tuple_of(read_int))
_TEXT_PAIRS = tuple_of(record_of(read_text, read_text))

_LAYOUTS: dict[int, tuple[type, tuple[FieldReader, ...]]] = {
    1: (RegisterBroker, (read_int, read_int, read_text, read_int, read_optional_text)),
    2: (CreateTopic, (read_text, read_uuid, _ASSIGNMENTS, _TEXT_PAIRS)),
    3: (DeleteTopic, (read_uuid,)),
    4: (CreatePartitions, (read_uuid, _ASSIGNMENTS)),
    5: (AlterConfigs, (read_text, read_text, _TEXT_PAIRS, tuple_of(read_text))),
    6: (AllocateProducerIds, (read_int, read_int)),
}


def encode_command(command: Command) -> bytes:
    """The bytes that `decode_command` turns back into an equal command."""
    match command:
        case RegisterBroker(broker_id, incarnation, host, port, rack):
            return pack_fields(1, (broker_id, incarnation, host, port, rack))
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
