"""What one broker says to the others about the cluster's state; see `cluster_messages`.

The Controller announces itself to every broker that comes up, and feeds those that do not vote.
Who joins may have been told of another broker: that one sends the state as well, where the others'
addresses stand, so that it finds the Controller.
Loop thread only.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .cluster_commands import decode_command
from .cluster_messages import (
    Announce,
    Answer,
    Ask,
    Entry,
    Message,
    NeedState,
    Snapshot,
    decode_message,
    encode_message,
)
from .errors import (
    GroupSealedError,
    NotControllerError,
    ReplicationError,
    UnknownOutcomeError,
)
from .runtime_contract import Runtime

if TYPE_CHECKING:
    from .cluster_group import ClusterGroup

CHANNEL = "cluster"
ASK_TIMEOUT_MS = 5_000
# In place of an entry_index, where a command has none.
NOT_DECIDED = -1
UNKNOWN = 0

OnDecided = Callable[[Any], None]

logger = logging.getLogger(__name__)


class ClusterLink:
    """See the module."""

    def __init__(self, group: "ClusterGroup", runtime: Runtime) -> None:
        self._group = group
        self._runtime = runtime
        self._role: Announce | None = None
        self._heard = Announce(-1, 0)
        self._sessions: dict[int, int] = {}
        self._fed: set[int] = set()
        self._asked: dict[int, tuple[int, OnDecided]] = {}
        self._next_request_id = runtime.session  # not those of an earlier life
        runtime.on_message(CHANNEL, self._receive)

    # -- as the Controller

    def became_controller(self, generation: int, entry_index: int) -> None:
        """This broker is the Controller from now on, of this generation."""
        self._role = Announce(generation, entry_index)
        self._fed.clear()
        for broker_id in self._sessions:
            self._greet(broker_id)

    def feed_entry(self, generation: int, entry_index: int, payload: bytes) -> None:
        """Pass an entry on to those that do not vote."""
        if not self._fed:
            return
        body = encode_message(Entry(generation, entry_index, payload))
        for broker_id in list(self._fed):
            if not self._runtime.send(broker_id, CHANNEL, body):
                self._fed.discard(broker_id)

    def peers_changed(self, peers: Mapping[int, Any]) -> None:
        """Others came or went."""
        sessions = {
            broker_id: peer.session
            for broker_id, peer in peers.items()
            if broker_id != self._group.broker_id
        }
        gone = {b for b, session in self._sessions.items() if sessions.get(b) != session}
        come = {b for b, session in sessions.items() if self._sessions.get(b) != session}
        self._sessions = sessions
        self._fed -= gone
        for request_id, (broker_id, _) in list(self._asked.items()):
            if broker_id in gone:
                self._fail(request_id, f"the link to broker {broker_id} failed")
        for broker_id in come:
            self._greet(broker_id)

    def _greet(self, broker_id: int) -> None:
        if self._role is None or not self._group.is_controller:
            if self._is_joining(broker_id):
                self._send(broker_id, self._snapshot())
            return
        self._send(broker_id, self._role)
        if broker_id not in self._group.voters:
            self._send_state(broker_id)

    def _is_joining(self, broker_id: int) -> bool:
        """Whether this broker is a member, and the other one is new or lost what it knew."""
        members = self._group.state.brokers
        if self._group.broker_id not in members:
            return False
        registered = members.get(broker_id)
        peer = self._runtime.live_brokers()[broker_id]
        return registered is None or registered.wal_id != peer.wal_id

    def _snapshot(self) -> Snapshot:
        group = self._group
        return Snapshot(group.generation, group.applied_index, group.state.to_bytes())

    def _send_state(self, broker_id: int) -> None:
        if self._send(broker_id, self._snapshot()):
            self._fed.add(broker_id)

    # -- as one that may not decide

    def ask(
        self, controller_id: int, payload: bytes, on_decided: OnDecided, timeout_ms: int
    ) -> None:
        """Have the Controller decide; `on_decided` gets (generation, entry_index) or an error."""
        request_id = self._next_request_id
        self._next_request_id += 1
        if controller_id < 0 or not self._send(controller_id, Ask(request_id, payload)):
            on_decided(NotControllerError("the Controller of the cluster is not known here", None))
            return
        self._asked[request_id] = (controller_id, on_decided)
        assert self._group.schedule is not None
        self._group.schedule(timeout_ms, partial(self._fail, request_id, "no answer in time"))

    def _fail(self, request_id: int, reason: str) -> None:
        asked = self._asked.pop(request_id, None)
        if asked is not None:
            asked[1](UnknownOutcomeError(f"the Controller was asked, but {reason}"))

    # -- messages

    def _send(self, broker_id: int, message: Message) -> bool:
        return self._runtime.send(broker_id, CHANNEL, encode_message(message))

    def _receive(self, broker_id: int, body: bytes) -> None:
        group = self._group
        match decode_message(body):
            case Announce() as announced:
                if announced >= self._heard:
                    self._heard = announced
                    group.controller_announced(broker_id)
            case Snapshot(generation, entry_index, state):
                group.fed_state(generation, entry_index, state)
            case Entry(generation, entry_index, payload):
                if not group.fed_entry(generation, entry_index, payload):
                    self._send(broker_id, NeedState())
            case NeedState():
                if group.is_controller:
                    self._send_state(broker_id)
            case Ask(request_id, payload):
                self._decide(broker_id, request_id, payload)
            case Answer(request_id, generation, entry_index, problem):
                self._answered(request_id, (generation, entry_index), problem)

    def _decide(self, broker_id: int, request_id: int, payload: bytes) -> None:
        def decided(outcome: Any) -> None:
            if isinstance(outcome, ReplicationError):
                is_certain = isinstance(outcome, NotControllerError | GroupSealedError)
                index = NOT_DECIDED if is_certain else UNKNOWN
                self._send(broker_id, Answer(request_id, 0, index, str(outcome)))
            else:
                generation, entry_index = outcome
                self._send(broker_id, Answer(request_id, generation, entry_index, ""))

        if not self._group.is_controller:
            decided(NotControllerError("this broker is not the Controller", None))
            return
        self._group.propose_indexed(decode_command(payload), decided, ASK_TIMEOUT_MS)

    def _answered(self, request_id: int, key: tuple[int, int], problem: str) -> None:
        asked = self._asked.pop(request_id, None)
        if asked is None:
            logger.debug("an answer of the Controller came too late")
        elif key[1] == NOT_DECIDED:
            asked[1](NotControllerError(problem))
        elif problem:
            asked[1](UnknownOutcomeError(f"the Controller answers: {problem}"))
        else:
            asked[1](key)
