"""Links between whole brokers: stands where a `LinkTable` stands, its other ends are queues.

Each direction is one queue of what a broker's Raft thread will see, in order:

    up     (connection, the peer)    the link stands; what was sent over an older one is gone
    frame  (connection, payload)
    down   (connection, None)        it broke; frames that were under way are lost
"""

from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from headrace.raft.liveness import Peer

PING_INTERVAL_S = 0.5


class Arrival(NamedTuple):
    """One thing that comes over a wire; see the module."""

    kind: str
    connection: int
    content: Any


class Wires:
    """All links of a cluster, by pair of brokers."""

    def __init__(self, broker_ids: tuple[int, ...]) -> None:
        self.queues: dict[tuple[int, int], deque[Arrival]] = {
            (a, b): deque() for a in broker_ids for b in broker_ids if a != b
        }
        self.tables: dict[int, ImaginedLinks] = {}
        self._connections: dict[frozenset[int], int] = {}
        self._numbers = count(1)

    def is_linked(self, a: int, b: int) -> bool:
        return frozenset((a, b)) in self._connections

    def link(self, a: int, b: int) -> None:
        """Let a link between two running brokers stand."""
        pair = frozenset((a, b))
        if pair in self._connections:
            return
        number = self._connections[pair] = next(self._numbers)
        for here, there in ((a, b), (b, a)):
            peer = self.tables[here].own_peer()
            self.queues[here, there].append(Arrival("up", number, peer))

    def unlink(self, a: int, b: int) -> None:
        """Tear it; what was under way is lost."""
        number = self._connections.pop(frozenset((a, b)), None)
        if number is None:
            return
        for sender, receiver in ((a, b), (b, a)):
            queue, table = self.queues[sender, receiver], self.tables.get(receiver)
            queue.clear()
            if table is not None and table.connection_to(sender) is not None:
                queue.append(Arrival("down", number, None))

    def leave(self, broker_id: int) -> None:
        """A broker's process ended."""
        for other in {b for pair in self.queues for b in pair} - {broker_id}:
            self.unlink(broker_id, other)
            self.queues[other, broker_id].clear()
        self.tables.pop(broker_id, None)

    def carry(self, sender: int, receiver: int, connection: int | None, payload: bytes) -> bool:
        """Whether it is under way: the link over which the sender sends may be gone by now."""
        is_standing = self._connections.get(frozenset((sender, receiver))) == connection
        if connection is not None and is_standing:
            self.queues[sender, receiver].append(Arrival("frame", connection, payload))
            return True
        return False


class ImaginedLinks:
    """One broker's `LinkTable`; `events` are its runtime's `LinkEvents`."""

    def __init__(self, wires: Wires, broker_id: int, events: Any, check_send: Callable[[], None]):
        self.frames_sent = self.frames_received = 0
        self.inbox: deque[tuple[int, Arrival]] = deque()
        self._wires = wires
        self._broker_id = broker_id
        self._events = events
        self._check_send = check_send
        self._up: dict[int, tuple[int, Peer]] = {}
        self._sessions: dict[int, int] = {}
        wires.tables[broker_id] = self

    def own_peer(self) -> Peer:
        peer: Peer = self._events.live_brokers()[self._broker_id]
        return peer

    def connection_to(self, broker_id: int) -> int | None:
        found = self._up.get(broker_id)
        return None if found is None else found[0]

    # -- what the runtime asks of a LinkTable

    def watch(self, _fd: int, _on_readable: Callable[[], None]) -> None:
        """Nobody sleeps here, so nobody is woken."""

    def wait(self, _timeout_s: float) -> list[tuple[int, int]]:
        return []

    def serve(self, _ready: object, _now_s: float) -> None:
        """Take in what the simulation has let arrive."""
        while self.inbox:
            self._take(*self.inbox.popleft())

    def _take(self, sender: int, arrival: Arrival) -> None:
        kind, connection, content = arrival
        if kind == "up":
            is_new = self._sessions.get(sender) != content.session
            self._sessions[sender] = content.session
            self._up[sender] = connection, content
            self._events.link_up(content, is_new)
            self.send(sender, self._events.ping_payload(sender))
        elif self.connection_to(sender) != connection:
            return
        elif kind == "down":
            self._events.link_down(self._up.pop(sender)[1], "the link broke")
        else:
            self.frames_received += 1
            self._events.frame_arrived(sender, content)

    def is_up(self, broker_id: int) -> bool:
        return broker_id in self._up

    def send(self, broker_id: int, payload: bytes) -> bool:
        self._check_send()
        self.frames_sent += 1
        return self._wires.carry(self._broker_id, broker_id, self.connection_to(broker_id), payload)

    def send_pings(self, now_s: float) -> float:
        for broker_id in self._up:
            self.send(broker_id, self._events.ping_payload(broker_id))
        return now_s + PING_INTERVAL_S

    keep_alive = send_pings

    def excuse(self, _paused_s: float) -> None:
        """Silence is judged by nobody here."""

    def close(self) -> None:
        self.inbox.clear()
