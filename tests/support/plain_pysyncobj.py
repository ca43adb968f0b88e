"""PySyncObj 0.3.17 as shipped, on an imagined clock and network: what the canaries run against."""

import importlib
import socket
import sys
from collections import defaultdict, deque
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

_inet_ntop = socket.inet_ntop
importlib.import_module("pysyncobj")
socket.inet_ntop = _inet_ntop  # the import replaces it by one that raises (F13)
PLAIN = {name: module for name, module in sys.modules.items() if name.startswith("pysyncobj")}
syncobj = PLAIN["pysyncobj.syncobj"]
Node = PLAIN["pysyncobj.node"].Node
_Transport = PLAIN["pysyncobj.transport"].Transport
CLOCK = SimpleNamespace(now_s=100.0)
syncobj.monotonicTime = lambda: CLOCK.now_s


class PlainNetwork:
    """Messages wait in order, a queue a direction, until a test delivers them."""

    def __init__(self, size: int, **settings: Any) -> None:
        self.queues: dict[tuple[str, str], deque[dict[str, Any]]] = defaultdict(deque)
        names = "ABCDE"[:size]
        self.nodes = {name: PlainNode(self, name, names, settings) for name in names}

    def deliver(self, from_name: str, to_name: str, count: int | None = None) -> None:
        queue = self.queues[from_name, to_name]
        for _ in range(len(queue) if count is None else count):
            self.nodes[to_name].transport._onMessageReceived(Node(from_name), queue.popleft())

    def clear(self) -> None:
        self.queues.clear()

    def settle(self, names: Iterable[str] = "ABCDE") -> None:
        """Deliver all among `names` until nothing is under way."""
        while ways := [w for w, q in self.queues.items() if q and set(w) <= set(names)]:
            for way in ways:
                self.deliver(*way)

    def run(self, rounds: int, names: str = "ABCDE") -> None:
        """Let time pass for `names`, a heartbeat a round."""
        for _ in range(rounds):
            CLOCK.now_s += 0.2
            for name in names:
                if name in self.nodes:
                    self.nodes[name]._onTick(0)
            self.settle(names)


class _QueueTransport(_Transport):  # type: ignore[misc]
    def __init__(self, network: PlainNetwork, name: str) -> None:
        super().__init__(None, None, None)
        self.network = network
        self.name = name

    def send(self, node: Any, message: dict[str, Any]) -> bool:
        self.network.queues[self.name, node.id].append(message)
        return True


class PlainNode(syncobj.SyncObj):  # type: ignore[misc]
    """One node that replicates a list."""

    def __init__(
        self, network: PlainNetwork, name: str, names: str, settings: dict[str, Any]
    ) -> None:
        options = {
            "autoTick": False,
            "raftMinTimeout": 1e6,
            "raftMaxTimeout": 1e6 + 1,
            "connectionTimeout": 1e7,
            "leaderFallbackTimeout": 1e6,
            **settings,
        }
        self.transport = _QueueTransport(network, name)
        others = [Node(other) for other in names if other != name]
        configuration = PLAIN["pysyncobj.config"].SyncObjConf(**options)
        super().__init__(Node(name), others, configuration, transport=self.transport)
        self.payloads: list[str] = []
        for other in others:
            self.transport._onNodeConnected(other)

    @syncobj.replicated  # type: ignore[untyped-decorator]
    def put(self, payload: str) -> None:
        self.payloads.append(payload)

    @property
    def log(self) -> list[tuple[int, int]]:
        """(entry_index, term)"""
        return [(entry[1], entry[2]) for entry in self._SyncObj__raftLog[:]]

    @property
    def matched(self) -> dict[str, int]:
        return {node.id: index for node, index in self._SyncObj__raftMatchIndex.items()}

    def campaign(self) -> None:
        self._SyncObj__raftElectionDeadline = 0
        self._onTick(0)

    def tick(self) -> None:
        CLOCK.now_s += 0.2
        self._onTick(0)
