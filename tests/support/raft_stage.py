"""Raft runtimes of several brokers in one process: own threads, own folders, loopback sockets.

A thread stands for each broker's Kafka listener and hands over what is accepted; one more stands
for its loop thread.
"""

import queue
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from headrace.core.clock import Clock, SystemClock
from headrace.raft.link_hello import read_hello_body
from headrace.raft.liveness import RaftTiming
from headrace.raft.raft_runtime import RaftRuntime
from headrace.raft.raft_wal import RaftWal

HELLO_START = 29
WAIT_S = 60.0  # bounds a hang; nothing is measured by it

T = TypeVar("T")


class ListMachine:
    """Keeps what it was given, in order; a payload `seal:1,2` names the next voters."""

    posts_states = True

    def __init__(self) -> None:
        self.items: tuple[bytes, ...] = ()

    def apply(self, payload: bytes) -> object:
        self.items = (*self.items, payload)
        return len(self.items)

    def to_bytes(self) -> bytes:
        return b"\n".join(self.items)

    def load(self, data: bytes) -> None:
        self.items = tuple(data.split(b"\n")) if data else ()

    @property
    def successor(self) -> tuple[int, ...] | None:
        for item in self.items:
            if item.startswith(b"seal:"):
                return tuple(int(part) for part in item[5:].split(b","))
        return None

    def state_to_post(self) -> object:
        return self.items


class FakeLoop:
    """A thread that runs what is posted, in order, as an event loop would."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self.failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def post(self, call: Callable[[], object]) -> None:
        self._calls.put(call)

    def post_and_tell(self, on_done: Callable[[Any], None]) -> None:
        """Have `on_done` called behind everything that was posted."""
        self.post(lambda: on_done(None))

    def close(self) -> None:
        self._calls.put(None)
        self._thread.join(WAIT_S)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except BaseException as error:
                self.failures.append(error)


@dataclass
class GroupView:
    """What one broker's loop thread was told of one group."""

    applied: list[tuple[int, bytes | None, object, object]] = field(default_factory=list)
    roles: list[bool] = field(default_factory=list)

    @property
    def state(self) -> object:
        return self.applied[-1][3] if self.applied else None

    @property
    def is_controller(self) -> bool:
        return bool(self.roles) and self.roles[-1]


class RaftNode:
    """One broker: a runtime, its listener and its loop."""

    def __init__(
        self,
        broker_id: int,
        folder: Path,
        *,
        port: int = 0,
        cluster_id: str = "c",
        timing: RaftTiming | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.broker_id = broker_id
        self.folder = folder
        self.loop = FakeLoop()
        self.fatal: list[str] = []
        self.changed = threading.Condition()
        self.views: dict[str, GroupView] = {}
        self.wal = RaftWal.open(folder)
        self.runtime = RaftRuntime(
            broker_id=broker_id,
            incarnation=100 + broker_id,
            wal=self.wal,
            clock=clock or SystemClock(),
            post=self.loop.post,
            timing=timing,
            on_fatal=self.fatal.append,
        )
        self.runtime.cluster_id = cluster_id
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.runtime.introduce(host="127.0.0.1", port=self.port, rack=None, wal_id=broker_id)
        self.runtime.on_peers_changed.append(lambda peers: self.notify())
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        self.runtime.start()

    def open_group(
        self,
        group_id: str,
        voters: Sequence[int],
        *,
        first_state: bytes | None = b"",
        campaign: bool | None = None,
    ) -> GroupView:
        view = self.views[group_id] = GroupView()

        def on_applied(applied: list[tuple[int, bytes | None, object, object]]) -> None:
            view.applied += applied
            self.notify()

        def on_role(is_controller: bool) -> None:
            view.roles.append(is_controller)
            self.notify()

        self.runtime.open_group(
            group_id,
            voters=tuple(voters),
            machine_factory=ListMachine,
            first_state=first_state,
            campaign=voters[0] == self.broker_id if campaign is None else campaign,
            on_applied=on_applied,
            on_role=on_role,
        )
        return view

    def propose(self, group_id: str, payload: bytes, *, timeout_ms: int = 20_000) -> Any:
        """Propose and wait for (entry_index, result) or the error."""
        return self.ask(
            lambda on_done: self.runtime.propose(group_id, payload, on_done, timeout_ms=timeout_ms)
        )

    def ask(self, call: Callable[[Callable[[Any], None]], object]) -> Any:
        """What `call(on_done)` tells its `on_done`."""
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        call(answers.put)
        return answers.get(timeout=WAIT_S)

    def notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that this broker's loop thread is told."""
        with self.changed:
            assert self.changed.wait_for(condition, WAIT_S), "not reached"

    def close(self) -> None:
        self.runtime.stop()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WAIT_S)
        self.loop.close()
        self.wal.close()
        assert not self.loop.failures, self.loop.failures

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            accepted.settimeout(5)
            size = int.from_bytes(accepted.recv(4, socket.MSG_WAITALL), "big")
            request = accepted.recv(size, socket.MSG_WAITALL)
            self.runtime.adopt_link(accepted.detach(), read_hello_body(request[HELLO_START - 4 :]))


class RaftStage:
    """Several `RaftNode`s that know each other."""

    def __init__(
        self,
        folder: Path,
        broker_ids: Sequence[int] = (1, 2, 3),
        *,
        timing: RaftTiming | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.folder = folder
        self._timing, self._clock = timing, clock
        self.nodes: dict[int, RaftNode] = {}
        self._ports: dict[int, int] = {}
        for broker_id in broker_ids:
            self.start(broker_id)
        self.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for node in self.nodes.values():
            node.close()

    def start(self, broker_id: int, **settings: Any) -> RaftNode:
        """Start a broker, on the port and the folder it had before."""
        node = RaftNode(
            broker_id,
            self.folder / f"broker-{broker_id}",
            port=self._ports.get(broker_id, 0),
            timing=self._timing,
            clock=self._clock,
            **settings,
        )
        self._ports[broker_id] = node.port
        self.nodes[broker_id] = node
        return node

    def stop(self, broker_id: int) -> None:
        self.nodes.pop(broker_id).close()

    def connect(self) -> None:
        """Let all know all, and wait until their links are up."""
        addresses = {broker_id: ("127.0.0.1", port) for broker_id, port in self._ports.items()}
        for node in self.nodes.values():
            node.runtime.set_addresses(addresses)
        for node in self.nodes.values():
            node.wait_until(lambda node=node: set(node.runtime.live_brokers()) >= set(self.nodes))

    def open_group(self, group_id: str, voters: Sequence[int], **settings: Any) -> None:
        for broker_id in voters:
            self.nodes[broker_id].open_group(group_id, voters, **settings)

    def wait_for_controller(self, group_id: str) -> RaftNode:
        """The node that was told it controls the group."""
        found: list[RaftNode] = []

        def has_controller() -> bool:
            found[:] = [
                node
                for node in self.nodes.values()
                if group_id in node.views and node.views[group_id].is_controller
            ]
            return bool(found)

        node = next(iter(self.nodes.values()))
        for _ in range(int(WAIT_S / 0.05)):
            if has_controller():
                return found[0]
            with node.changed:
                node.changed.wait(0.05)
        raise AssertionError(f"{group_id} has no controller")

    def wait_for_state(self, group_id: str, items: tuple[bytes, ...]) -> None:
        """Until every voter's loop thread has seen exactly `items`."""
        for node in self.nodes.values():
            if group_id in node.views:
                view = node.views[group_id]
                node.wait_until(lambda view=view: view.state == items)
