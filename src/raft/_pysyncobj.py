"""PySyncObj, tamed: the only file that imports it, and every private name of it that we touch.

The library decides who leads a group and what is committed.  Everything around that is ours and is
put in its place from outside: journal, transport, clock, chance, snapshots, membership.  What
stands here holds for one version only, so the version and the names are checked at import.

The library is loaded as a private copy: what is changed in it (no pickle, no pipe, our clock) is
not seen by a host program that uses PySyncObj too.  Its modules that are not used here are never
run: they load much of the standard library at each start of a broker, and their import changes
`socket` and `pickle` for the whole process.
"""

import contextlib
import importlib
import math
import operator
import queue
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, NoReturn

PINNED_VERSION = "0.3.17"
MAX_COMMAND_BYTES = 4 * 1024 * 1024
"""Of one command: a larger one would reach the library's pickled path for big entries."""

FOLLOWER, CANDIDATE, LEADER = range(3)
SUCCESS, QUEUE_FULL, REFUSED = 0, 1, 6

HEARTBEAT_S = 0.25
LEADER_FALLBACK_S = 1.5
MIN_ELECTION_TIMEOUT_S = 1.0
MAX_ELECTION_TIMEOUT_S = 2.0
MAX_QUEUED_COMMANDS = 4096

# Private names this file relies on: methods of the class, and fields that __init__ sets.
METHODS = (
    "_SyncObj__callErrCallback",
    "_SyncObj__doApplyCommand",
    "_SyncObj__generateRaftTimeout",
    "_SyncObj__onMessageReceived",
    "_SyncObj__onLeaderChanged",
    "_SyncObj__onSetCodeVersion",
    "_SyncObj__parseChangeClusterRequest",
    "_SyncObj__sendAppendEntries",
    "_SyncObj__setCurrentTerm",
    "_SyncObj__setState",
    "_SyncObj__tryLogCompaction",
    "_applyCommand",
    "_onTick",
    "transferLeadership",
)
FIELDS = (
    "_SyncObj__commandsQueue",
    "_SyncObj__commandsWaitingCommit",
    "_SyncObj__connectedNodes",
    "_SyncObj__lastResponseTime",
    "_SyncObj__noopIDx",
    "_SyncObj__otherNodes",
    "_SyncObj__properies",
    "_SyncObj__raftCommitIndex",
    "_SyncObj__raftCurrentTerm",
    "_SyncObj__raftElectionDeadline",
    "_SyncObj__raftLastApplied",
    "_SyncObj__raftLeader",
    "_SyncObj__raftLog",
    "_SyncObj__raftMatchIndex",
    "_SyncObj__raftNextIndex",
    "_SyncObj__raftState",
    "_SyncObj__serializer",
    "_SyncObj__transferInProgress",
    "_SyncObj__votedForNodeId",
    "_poller",
)
# Fields that never change here, because what they are for is not used: a value for all groups,
# where the library keeps an object, or room for one, in each.
CONSTANTS: dict[str, Any] = {
    "_SyncObj__changeClusterIDx": None,
    "_SyncObj__commandsLocalCounter": 0,
    "_SyncObj__commandsWaitingReply": {},
    "_SyncObj__consumers": (),
    "_SyncObj__currentVersionFuncNames": {},
    "_SyncObj__destroying": False,
    "_SyncObj__enabledCodeVersion": 0,
    "_SyncObj__encryptor": None,
    "_SyncObj__forceLogCompaction": False,
    "_SyncObj__initialised": None,
    "_SyncObj__lastInitTryTime": 0,
    "_SyncObj__lastReadonlyCheck": 0,
    "_SyncObj__lastSerializedEntry": None,
    "_SyncObj__lastSerializedTime": 0,
    "_SyncObj__mainThread": None,
    "_SyncObj__nodeClass": None,
    "_SyncObj__readonlyNodes": frozenset(),
    "_SyncObj__recvTransmission": "",
    "_SyncObj__selfCodeVersion": 0,
    "_SyncObj__thread": None,
    "_idToConsumer": {},
    "_idToMethod": {},
    "_methodToID": {},
}
# The same for fields that every tick reads: each group has them, and the value is one for all.
SHARED: dict[str, Any] = {
    "_SyncObj__needLoadDumpFile": False,
    "_SyncObj__numOneSecondDumps": 0,
    "_SyncObj__onReadyCalled": True,
    "_SyncObj__onTickCallbacks": (),
    "_SyncObj__onTickCallbacksLock": contextlib.nullcontext(),
    "_SyncObj__startTime": math.inf,  # no second of it has passed: its journal is told of none
}


class PickleRefusedError(RuntimeError):
    """PySyncObj reached for pickle: it must never, whatever arrived."""


def _refuse_pickle(*_arguments: object, **_options: object) -> NoReturn:
    raise PickleRefusedError("pickle is not used here")


def _refuse(*_arguments: object, **_options: object) -> NoReturn:
    raise NotImplementedError("a part of the library that is not used here")


# Modules that stand in for the library's own, with the names that its other modules import.
_UNUSED: dict[str, dict[str, Any]] = {
    "pysyncobj.atomic_replace": {"atomicReplace": _refuse},
    "pysyncobj.encryptor": {"HAS_CRYPTO": False, "getEncryptor": _refuse},
    "pysyncobj.journal": {"createJournal": lambda _path: None},
    "pysyncobj.pickle": dict.fromkeys(("load", "loads", "dump", "dumps"), _refuse_pickle),
    "pysyncobj.win_inet_pton": {},
}


def _load_private_copy() -> dict[str, ModuleType]:
    """The library's modules, loaded anew and known to nobody else."""
    kept = _take_library_out()
    try:
        for name, content in _UNUSED.items():
            sys.modules[name] = stand_in = ModuleType(name)
            vars(stand_in).update(content)
        importlib.import_module("pysyncobj")
    except Exception:
        _take_library_out()
        _refuse_other_version(_installed_version())
        raise
    else:
        copy = _take_library_out()
        _refuse_other_version(copy["pysyncobj.version"].VERSION)
        return copy
    finally:
        sys.modules.update(kept)


def _take_library_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "pysyncobj"]
    return {name: sys.modules.pop(name) for name in names}


def _installed_version() -> str:
    # Only where the library cannot be loaded: it takes longer to import than all of the library.
    from importlib.metadata import version

    return version("pysyncobj")


def _refuse_other_version(found: str) -> None:
    if found != PINNED_VERSION:
        raise ImportError(
            f"headrace needs pysyncobj=={PINNED_VERSION} and found {found}: "
            f"run `pip install pysyncobj=={PINNED_VERSION}`"
        )


def missing_names(library_class: Any) -> list[str]:
    """Which of the private names we rely on this PySyncObj does not have."""
    fields = library_class.__init__.__code__.co_names
    return [name for name in METHODS if not hasattr(library_class, name)] + [
        name for name in (*FIELDS, *CONSTANTS, *SHARED) if name not in fields
    ]


class _NothingToPoll:
    """Stands in for the library's poller and serializer, and its list of what not to serialize."""

    def add(self, _name: str) -> None:
        """Nothing of a group is serialized by the library."""

    def poll(self, _timeout: float) -> None:
        """The runtime's own loop waits; the library never does."""

    def cancelTransmisstion(self, _node: object) -> None:
        """No snapshot of the library's is ever under way."""


class _Commands(list[Any]):
    """The commands that wait for the next tick: the library's queue takes 0.8 KiB when empty."""

    __slots__ = ()

    def put_nowait(self, command: Any) -> None:
        if len(self) >= MAX_QUEUED_COMMANDS:
            raise queue.Full
        self.append(command)

    def get_nowait(self) -> Any:
        if not self:
            raise queue.Empty
        return self.pop(0)


MODULES = _load_private_copy()
_library: Any = MODULES["pysyncobj.syncobj"]
_missing = missing_names(_library.SyncObj)
if _missing:
    raise ImportError(f"pysyncobj {PINNED_VERSION} without {_missing}")
_nothing = _NothingToPoll()
_library.PIPE_NOTIFIER_ENABLED = False
_library.createPoller = lambda _kind: _nothing
_library.Serializer = lambda *_arguments: _nothing
_library.FastQueue = lambda _size: _Commands()

_now_s = 0.0


def _library_now() -> float:
    return _now_s


_library.monotonicTime = _library_now


def set_library_clock(now_s: float) -> None:
    """The time that the library sees from now on; the caller's clock, never its own."""
    global _now_s
    _now_s = now_s


_SyncObj: Any = _library.SyncObj
_Node: Any = MODULES["pysyncobj.node"].Node

_settings = MODULES["pysyncobj.config"].SyncObjConf(
    autoTick=False,
    raftMinTimeout=MIN_ELECTION_TIMEOUT_S,
    raftMaxTimeout=MAX_ELECTION_TIMEOUT_S,
    appendEntriesPeriod=HEARTBEAT_S,
    # The group sends what is new once a turn itself; the library only sends heartbeats.
    appendEntriesUseBatch=True,
    leaderFallbackTimeout=LEADER_FALLBACK_S,
    commandsQueueSize=MAX_QUEUED_COMMANDS,
    commandsWaitLeader=False,
    appendEntriesBatchSizeBytes=MAX_COMMAND_BYTES + 1024,
    journalFile=None,
    fullDumpFile=None,
    useFork=False,
    dynamicMembershipChange=False,
)


class BrokerNode(_Node):  # type: ignore[misc]
    """A broker as the library sees it; one object a broker, so identity is equality."""

    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"broker {self.id}"


Nodes = frozenset[Any]

NO_NODES: Nodes = frozenset()
_nodes: dict[int, BrokerNode] = {}
_sets: dict[Nodes, Nodes] = {}
_others: dict[tuple[int, tuple[int, ...]], Mapping[int, Any]] = {}


def node_of(broker_id: int) -> Any:
    """The one node object of a broker."""
    node = _nodes.get(broker_id)
    return node if node is not None else _nodes.setdefault(broker_id, BrokerNode(broker_id))


def set_of(nodes: Iterable[Any]) -> Nodes:
    """The one set of these nodes: many groups have the same voters, and the same links."""
    wanted = frozenset(nodes)
    return _sets.setdefault(wanted, wanted)


def others_of(broker_id: int, voters: tuple[int, ...]) -> Mapping[int, Any]:
    """The one mapping from the other voters' ids to their nodes; not to be changed."""
    found = _others.get((broker_id, voters))
    if found is None:
        others = {voter: node_of(voter) for voter in voters if voter != broker_id}
        found = _others.setdefault((broker_id, voters), others)
    return found


class _OutwardOnly:
    """Stands in for the library's transport: it sends; receiving is our own call."""

    __slots__ = ("send",)
    ready = True

    def __init__(self, send: Any) -> None:
        self.send = send

    def _ignore(self, *_callback: object) -> None:
        """Links and messages come by `RaftGroup`'s own methods."""

    setOnNodeConnectedCallback = _ignore
    setOnNodeDisconnectedCallback = _ignore
    setOnMessageReceivedCallback = _ignore
    setOnReadonlyNodeConnectedCallback = _ignore
    setOnReadonlyNodeDisconnectedCallback = _ignore
    setOnUtilityMessageCallback = _ignore


def _field(name: str) -> Any:
    """A read-only property for one of the library's private fields."""
    return property(operator.attrgetter(f"_SyncObj__{name}"))


def _ignore_assignment(_self: object, _value: object) -> None:
    """What the library would put in place of an injected collaborator, or of a constant."""


def _constant(value: object) -> Any:
    return property(lambda _self: value, _ignore_assignment)


class LibraryGroup(_SyncObj):  # type: ignore[misc]
    """One group as the library plays it, under readable names; `RaftGroup` builds on it.

    A subclass sets `journal` before it calls `__init__`, and keeps its own fields in slots: up to
    30 fields beside them share their names with all groups, which is most of a group's memory.
    """

    __slots__ = ("_is_built", "_other_nodes", "journal")

    journal: Any

    def __init__(self, broker_id: int, others: Iterable[Any], send: Any) -> None:
        self._other_nodes = set_of(others)
        super().__init__(node_of(broker_id), (), _settings, transport=_OutwardOnly(send))
        self._SyncObj__connectedNodes = NO_NODES  # type: ignore[misc]
        for name, value in SHARED.items():
            setattr(self, name, value)
        self._is_built = True

    def __dir__(self) -> Iterable[str]:
        # The library looks through every attribute for replicated methods; there are none.
        return super().__dir__() if hasattr(self, "_is_built") else ()

    # -- collaborators: a property of the class wins over what the library assigns

    _SyncObj__raftLog = property(operator.attrgetter("journal"), _ignore_assignment)
    _SyncObj__otherNodes = property(operator.attrgetter("_other_nodes"), _ignore_assignment)
    _SyncObj__serializer = _SyncObj__properies = _poller = _constant(_nothing)

    def _SyncObj__onLeaderChanged(self) -> None:
        """Commands are never forwarded, so none waits for a leader's reply."""

    def _SyncObj__onSetCodeVersion(self, _version: int) -> None:
        """Versions of code are not replicated here."""

    def _SyncObj__tryLogCompaction(self) -> None:
        """The group cuts its journal itself."""

    def _SyncObj__parseChangeClusterRequest(self, _command: bytes) -> None:
        """Membership never changes inside a group, and nothing is unpickled."""

    def _SyncObj__generateRaftTimeout(self) -> float:
        return self.draw_election_timeout()

    def _SyncObj__doApplyCommand(self, command: bytes) -> object:
        return self.apply_command(command)

    def _SyncObj__setState(self, state: int) -> None:
        old_state = self.raft_state
        self.__dict__["_SyncObj__raftState"] = state
        if old_state != state:
            self.state_changed(old_state, state)

    def _SyncObj__sendAppendEntries(self) -> None:
        self.before_appends()
        _SyncObj._SyncObj__sendAppendEntries(self)

    # -- what a subclass provides

    def draw_election_timeout(self) -> float:
        """Seconds until a silent leader is given up."""
        raise NotImplementedError

    def apply_command(self, command: bytes) -> object:
        """Carry out the committed `command`, which stands one behind `applied_index`."""
        raise NotImplementedError

    def state_changed(self, old_state: int, new_state: int) -> None:
        """The library went from one of FOLLOWER, CANDIDATE, LEADER to another."""
        raise NotImplementedError

    def before_appends(self) -> None:
        """Entries are about to be sent to all followers."""
        raise NotImplementedError

    # -- the library's fields and deeds by readable names

    raft_state: int = _field("raftState")
    raft_term: int = _field("raftCurrentTerm")
    applied_index: int = _field("raftLastApplied")
    committed_index: int = _field("raftCommitIndex")
    leader_node: Any = _field("raftLeader")
    connected_nodes: Any = _field("connectedNodes")
    match_index: Any = _field("raftMatchIndex")
    next_index: Any = _field("raftNextIndex")
    response_times: Any = _field("lastResponseTime")
    no_op_index: Any = _field("noopIDx")
    waiting_commands: Any = _field("commandsWaitingCommit")
    is_transfer_due: Any = _field("transferInProgress")
    election_deadline_s: Any = property(
        operator.attrgetter("_SyncObj__raftElectionDeadline"),
        lambda self, value: setattr(self, "_SyncObj__raftElectionDeadline", value),
    )

    def run_tick(self) -> None:
        """Let time pass: elections that are due, commits, applies, heartbeats, commands."""
        _SyncObj._onTick(self, 0.0)

    def deliver(self, node: Any, message: dict[str, Any]) -> None:
        """Hand a message to the library in its own words."""
        _SyncObj._SyncObj__onMessageReceived(self, node, message)

    def connect(self, node: Any) -> None:
        self._SyncObj__connectedNodes = set_of((*self.connected_nodes, node))  # type: ignore[misc]

    def disconnect(self, node: Any) -> None:
        self._SyncObj__connectedNodes = set_of(self.connected_nodes - {node})  # type: ignore[misc]

    def send_appends(self) -> None:
        self._SyncObj__sendAppendEntries()

    def queue_command(self, payload: bytes, callback: Any) -> None:
        """Propose at the next tick; `callback(result, reason)`."""
        self._applyCommand(payload, callback, 0)

    def drain_commands(self) -> list[Any]:
        """The callbacks of commands that were queued and are in no journal."""
        commands = self._SyncObj__commandsQueue
        callbacks = [callback for _, callback in commands]
        commands.clear()
        return callbacks

    def follow_term(self, term: int) -> None:
        """Become a follower without a leader in a newer term."""
        self._SyncObj__setCurrentTerm(term, None)
        self.forget_leader()
        self._SyncObj__setState(FOLLOWER)

    def forget_leader(self) -> None:
        self._SyncObj__raftLeader = None  # type: ignore[misc]

    def note_responses(self, now_s: float) -> None:
        """As if every follower had answered just now."""
        times = self._SyncObj__lastResponseTime
        for node in times:
            times[node] = now_s

    def start_at(self, applied_index: int) -> None:
        """All up to `applied_index` is applied: by a snapshot."""
        self.__dict__["_SyncObj__raftLastApplied"] = applied_index
        if self.committed_index < applied_index:
            self.__dict__["_SyncObj__raftCommitIndex"] = applied_index


for _name, _value in CONSTANTS.items():
    setattr(LibraryGroup, _name, _constant(_value))
