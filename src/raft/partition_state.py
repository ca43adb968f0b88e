"""The replicated state of one partition: who holds it, who leads it, who is in sync.

Pure, and it never raises on a well-formed command: one that comes too late, or that a rule forbids,
gives the same `Outcome` on every broker and leaves the state as it was.  Every command names the
partition_epoch that its proposer saw; every accepted one raises it by one.

    TAG  COMMAND   FIELDS
      1  Elect     expected_partition_epoch, leader, incarnation, kind, min_leader_epoch
      2  AlterIsr  expected_partition_epoch, leader_epoch, isr
      3  Reassign  expected_partition_epoch, replicas, voters
      4  Form      expected_partition_epoch, replicas, voters
      5  Elect     the same, then session, lost
      6  Reassign  the same, then wal_ids
      7  Elect     the same as 5, then min_in_sync, unfit
      8  AlterIsr  the same, then min_in_sync, unfit

The eligible leader replicas (elr, KIP-966) are worked out here, so that no proposer can place
anyone.  Where a change leaves fewer in the isr than min.insync.replicas asks for, whoever was in
isr or elr and is not in the new isr makes up the elr; where enough are left, it is empty.  No
leader commits anything while an elr stands, whatever it takes min.insync.replicas to be (that is
decided elsewhere, and each broker hears of it in its own time): so each of them holds what is
committed, in the incarnation in which it was in sync, and may lead without a loss.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

from .errors import CorruptCommandError
from .packed_fields import (
    FieldReader,
    pack_fields,
    read_bool,
    read_fields,
    read_int,
    record_of,
    tuple_of,
    unpack_fields,
)

NO_LEADER = -1
_SNAPSHOT_TAG = 3
_SECOND_SNAPSHOT_TAG = 2  # the elr was of broker ids, and always empty
_FIRST_SNAPSHOT_TAG = 1  # before partitions had more than one voter

IsrMember = tuple[int, int]
"""(broker id, incarnation): a broker that restarted is another member until it is added again."""


class ElectKind(IntEnum):
    """By which right a broker is to lead."""

    CLEAN = 0
    """It is in the isr, or in the elr, with this very incarnation."""
    RESTARTED = 1
    """All of isr and elr restarted; this one, known by id, has the largest (epoch, log end)."""
    UNCLEAN = 2
    """Any replica, because the topic allows to lose records; sets `is_recovering`."""


class Outcome(IntEnum):
    """What became of a command."""

    APPLIED = 0
    STALE_PARTITION_EPOCH = 1
    STALE_LEADER_EPOCH = 2
    NOT_ELIGIBLE = 3
    """The named leader is none of those that may lead by this right."""
    NOT_A_REPLICA = 4
    EMPTY_ISR = 5
    """The isr would be empty, lose its leader, or be cut off from the new replicas."""


@dataclass(frozen=True, slots=True)
class Elect:
    """`leader` leads from a new leader epoch on, which is at least `min_leader_epoch`.

    `session` is the life of its process that was elected: a later one must be elected anew.
    `lost` are brokers that leave the isr with this, so that the new leader waits for none of them.
    `min_in_sync`, `unfit`: see AlterIsr.
    """

    expected_partition_epoch: int
    leader: int
    incarnation: int
    kind: ElectKind = ElectKind.CLEAN
    min_leader_epoch: int = 0
    session: int = 0
    lost: tuple[int, ...] = ()
    min_in_sync: int = 0
    unfit: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class AlterIsr:
    """The leader of `leader_epoch` asks for another isr.

    `min_in_sync` is the topic's min.insync.replicas as the proposer knows it; 0: it does not, and
    nobody enters the elr.  `unfit` are brokers that may have lost records since they were in sync.
    """

    expected_partition_epoch: int
    leader_epoch: int
    isr: tuple[IsrMember, ...]
    min_in_sync: int = 0
    unfit: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reassign:
    """Other brokers hold the partition from now on; one step of a reassignment.

    It is the last command of its generation: the new voters begin the next one.
    """

    expected_partition_epoch: int
    replicas: tuple[int, ...]
    voters: tuple[int, ...]
    wal_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """The first command of every partition: which brokers hold it, and which vote."""

    expected_partition_epoch: int
    replicas: tuple[int, ...]
    voters: tuple[int, ...]


PartitionCommand = Elect | AlterIsr | Reassign | Form


@dataclass(frozen=True, slots=True)
class PartitionState:
    """See the module.  `elr`: in the order of their ids.

    `wal_ids` are the voters' write-ahead logs, in the voters' order: who lost its log, votes no
    more.
    """

    replicas: tuple[int, ...] = ()
    voters: tuple[int, ...] = ()
    leader: int = NO_LEADER
    leader_epoch: int = -1
    partition_epoch: int = 0
    isr: tuple[IsrMember, ...] = ()
    elr: tuple[IsrMember, ...] = ()
    is_recovering: bool = False
    leader_session: int = 0
    generation: int = 0
    wal_ids: tuple[int, ...] = ()

    @property
    def holders(self) -> tuple[IsrMember, ...]:
        """Isr and elr: all that is committed is in the log of each, in this incarnation."""
        return (*self.isr, *self.elr)

    def apply(self, command: PartitionCommand) -> tuple["PartitionState", Outcome]:
        """The state after `command`, and what became of it."""
        if command.expected_partition_epoch != self.partition_epoch:
            return self, Outcome.STALE_PARTITION_EPOCH
        match command:
            case Elect():
                return self._elect(command)
            case AlterIsr():
                return self._alter_isr(command)
            case Reassign():
                return self._reassign(command)
            case Form():
                return self._form(command)

    def _form(self, command: Form) -> tuple["PartitionState", Outcome]:
        if self.replicas or not command.replicas:
            return self, Outcome.NOT_A_REPLICA
        formed = replace(
            self,
            replicas=command.replicas,
            voters=command.voters,
            partition_epoch=self.partition_epoch + 1,
        )
        return formed, Outcome.APPLIED

    def _elect(self, command: Elect) -> tuple["PartitionState", Outcome]:
        member = (command.leader, command.incarnation)
        if command.leader not in self.replicas:
            return self, Outcome.NOT_A_REPLICA
        if command.kind == ElectKind.CLEAN and member not in self.holders:
            return self, Outcome.NOT_ELIGIBLE
        if command.kind == ElectKind.RESTARTED and not self._held_all(command.leader):
            return self, Outcome.NOT_ELIGIBLE
        isr: tuple[IsrMember, ...] = (member,)
        if member in self.isr and command.kind == ElectKind.CLEAN:
            isr = tuple(m for m in self.isr if m == member or m[0] not in command.lost)
        elected = replace(
            self,
            leader=command.leader,
            leader_epoch=max(self.leader_epoch + 1, command.min_leader_epoch),
            partition_epoch=self.partition_epoch + 1,
            isr=isr,
            elr=() if command.kind == ElectKind.UNCLEAN else self._elr_beside(isr, command),
            is_recovering=command.kind == ElectKind.UNCLEAN,
            leader_session=command.session,
        )
        return elected, Outcome.APPLIED

    def _held_all(self, broker_id: int) -> bool:
        """Whether this broker was in sync, by id alone; an unused partition has no isr yet."""
        if not self.isr:
            return True
        return any(member[0] == broker_id for member in self.holders)

    def _elr_beside(
        self, isr: tuple[IsrMember, ...], command: Elect | AlterIsr
    ) -> tuple[IsrMember, ...]:
        """Who holds all that is committed besides `isr`, and has to be remembered; see above."""
        former = self.elr
        if command.min_in_sync > 0:
            if len(isr) >= min(command.min_in_sync, len(self.replicas)):
                return ()
            former = self.holders
        others = {*self.replicas} - {*command.unfit} - {broker_id for broker_id, _ in isr}
        return tuple(sorted(member for member in former if member[0] in others))

    def _alter_isr(self, command: AlterIsr) -> tuple["PartitionState", Outcome]:
        if command.leader_epoch != self.leader_epoch:
            return self, Outcome.STALE_LEADER_EPOCH
        members = {broker_id for broker_id, _ in command.isr}
        if self.leader not in members or len(members) != len(command.isr):
            return self, Outcome.EMPTY_ISR
        if not members.issubset(self.replicas):
            return self, Outcome.NOT_A_REPLICA
        altered = replace(
            self,
            isr=command.isr,
            elr=self._elr_beside(command.isr, command),
            is_recovering=False,
            partition_epoch=self.partition_epoch + 1,
        )
        return altered, Outcome.APPLIED

    def _reassign(self, command: Reassign) -> tuple["PartitionState", Outcome]:
        isr = tuple(member for member in self.isr if member[0] in command.replicas)
        if not command.replicas or (self.isr and not isr):
            return self, Outcome.EMPTY_ISR
        reassigned = replace(
            self,
            replicas=command.replicas,
            voters=command.voters,
            wal_ids=command.wal_ids,
            generation=self.generation + 1,
            # As in Kafka: who left deletes its log, and if it is back within the epoch, what it had
            # fetched before would still count for the one that begins anew.
            leader_epoch=self.leader_epoch + (not set(self.replicas).issubset(command.replicas)),
            leader=self.leader if self.leader in command.replicas else NO_LEADER,
            isr=isr,
            elr=tuple(member for member in self.elr if member[0] in command.replicas),
            partition_epoch=self.partition_epoch + 1,
        )
        return reassigned, Outcome.APPLIED

    def to_bytes(self) -> bytes:
        """The state as one packed value."""
        return pack_fields(
            _SNAPSHOT_TAG,
            (
                self.replicas,
                self.voters,
                self.leader,
                self.leader_epoch,
                self.partition_epoch,
                self.isr,
                self.elr,
                self.is_recovering,
                self.leader_session,
                self.generation,
                self.wal_ids,
            ),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "PartitionState":
        """The state that `to_bytes` described; raises CorruptCommandError."""
        tag, fields = unpack_fields(data)
        readers = _SNAPSHOT_READERS.get(tag)
        if readers is None:
            raise CorruptCommandError(f"partition snapshot version {tag} is unknown")
        return cls(*read_fields(readers, fields, "a partition snapshot"))


_IDS = tuple_of(read_int)
_ISR = tuple_of(record_of(read_int, read_int))
_LATER_READERS = (read_int, read_int, _IDS)


def _read_no_elr(value: object) -> tuple[IsrMember, ...]:
    """The elr before its members had incarnations: nobody ever entered it."""
    if _IDS(value):
        raise CorruptCommandError(f"an elr without incarnations: {value!r:.60}")
    return ()


_FIRST_READERS = (_IDS, _IDS, read_int, read_int, read_int, _ISR, _read_no_elr, read_bool)
_SNAPSHOT_READERS: dict[int, tuple[FieldReader, ...]] = {
    _FIRST_SNAPSHOT_TAG: _FIRST_READERS,
    _SECOND_SNAPSHOT_TAG: (*_FIRST_READERS, *_LATER_READERS),
    _SNAPSHOT_TAG: (*_FIRST_READERS[:6], _ISR, read_bool, *_LATER_READERS),
}


def _read_kind(value: object) -> ElectKind:
    try:
        return ElectKind(read_int(value))
    except ValueError as error:
        raise CorruptCommandError(f"unknown kind of election {value!r}") from error


_ELECT = (read_int, read_int, read_int, _read_kind, read_int)
_LAYOUTS: dict[int, tuple[type, tuple[FieldReader, ...]]] = {
    1: (Elect, _ELECT),
    2: (AlterIsr, (read_int, read_int, _ISR)),
    3: (Reassign, (read_int, _IDS, _IDS)),
    4: (Form, (read_int, _IDS, _IDS)),
    5: (Elect, (*_ELECT, read_int, _IDS)),
    6: (Reassign, (read_int, _IDS, _IDS, _IDS)),
    7: (Elect, (*_ELECT, read_int, _IDS, read_int, _IDS)),
    8: (AlterIsr, (read_int, read_int, _ISR, read_int, _IDS)),
}


def encode_partition_command(command: PartitionCommand) -> bytes:
    """The bytes that `decode_partition_command` turns back into an equal command."""
    match command:
        case Elect():
            fields = [getattr(command, name) for name in Elect.__slots__]
            return pack_fields(7, [int(f) if isinstance(f, ElectKind) else f for f in fields])
        case AlterIsr(expected, leader_epoch, isr, min_in_sync, unfit):
            return pack_fields(8, (expected, leader_epoch, isr, min_in_sync, unfit))
        case Reassign(expected, replicas, voters, wal_ids):
            return pack_fields(6, (expected, replicas, voters, wal_ids))
        case Form(expected, replicas, voters):
            return pack_fields(4, (expected, replicas, voters))


def decode_partition_command(data: bytes) -> PartitionCommand:
    """The command of these bytes; raises CorruptCommandError."""
    tag, fields = unpack_fields(data)
    layout = _LAYOUTS.get(tag)
    if layout is None:
        raise CorruptCommandError(f"partition command {tag} is unknown to this headrace")
    kind, readers = layout
    command: PartitionCommand = kind(*read_fields(readers, fields, kind.__name__))
    return command
