"""Link tables of several brokers on loopback sockets, turned by the test's own thread.

A stage's listener stands for the Kafka listener of its broker: it reads the opening request and
hands the socket over, as the server does.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from headrace.raft.leader_lease import LeaderLease
from headrace.raft.link_hello import LinkHello, LinkResult, read_hello_body
from headrace.raft.link_table import LinkTable
from headrace.raft.liveness import Peer, RaftTiming
from tests.support.manual_clock import ManualClock

HELLO_START = 29


class LinkStage:
    """One broker's links; what they tell is kept in lists."""

    def __init__(
        self, broker_id: int, clock: ManualClock, *, session: int = 1, cluster_id: str = "c"
    ) -> None:
        self.clock = clock
        self.hello = LinkHello(broker_id, session, 5, cluster_id=cluster_id, host="127.0.0.1")
        self.ups: list[tuple[Peer, bool]] = []
        self.downs: list[tuple[int, str]] = []
        self.payloads: list[tuple[int, bytes]] = []
        self.results: list[LinkResult] = []
        self.calls: list[Callable[[], None]] = []
        self.accepted_count = 0
        self._opening: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        timing = RaftTiming()
        self.lease = LeaderLease(timing.dead_after_s)
        self.table = LinkTable(
            own_hello=lambda: self.hello,
            events=self,
            timing=timing,
            now_s=self.now_s,
            lease=self.lease,
        )
        self.table.watch(self.listener.fileno(), self._accept)

    @property
    def now_s(self) -> float:
        return self.clock.monotonic_ms() / 1000

    def introduce_as(self, **fields: int | str) -> None:
        self.hello = replace(self.hello, **fields)  # type: ignore[arg-type]

    def turn(self) -> None:
        """Take in what is there, without waiting."""
        self.table.serve(self.table.wait(0.001), self.now_s)
        self._adopt_opened()
        calls, self.calls = self.calls, []
        for call in calls:
            call()
        self.table.keep_alive(self.now_s)

    def close(self) -> None:
        self.table.close()
        for accepted in self._opening:
            accepted.close()
        self.listener.close()

    def _accept(self) -> None:
        accepted, _ = self.listener.accept()
        self.accepted_count += 1
        accepted.setblocking(False)
        self._opening.append(accepted)

    def _adopt_opened(self) -> None:
        """Hand over the accepted sockets whose request is there."""
        for accepted in list(self._opening):
            try:
                request = accepted.recv(65536)
            except BlockingIOError:
                continue
            self._opening.remove(accepted)
            if request:
                hello = read_hello_body(request[HELLO_START:])
                self.table.adopt(accepted.detach(), hello)
            else:
                accepted.close()

    # -- LinkEvents

    def link_up(self, peer: Peer, is_new_session: bool) -> None:
        self.ups.append((peer, is_new_session))

    def link_down(self, peer: Peer, reason: str) -> None:
        self.downs.append((peer.broker_id, reason))

    def frame_arrived(self, broker_id: int, payload: bytes) -> None:
        if payload != b"ping":
            self.payloads.append((broker_id, payload))

    def ping_payload(self, broker_id: int) -> bytes:
        return b"ping"

    def call_soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)


@dataclass
class Stages:
    """Several brokers; `until` turns all of them."""

    clock: ManualClock = field(default_factory=ManualClock)
    all: list[LinkStage] = field(default_factory=list)

    def add(self, broker_id: int, *, session: int = 1, cluster_id: str = "c") -> LinkStage:
        stage = LinkStage(broker_id, self.clock, session=session, cluster_id=cluster_id)
        self.all.append(stage)
        return stage

    def turn(self, *, advance_ms: int = 10) -> None:
        self.clock.advance(advance_ms)
        for stage in self.all:
            stage.turn()

    def until(self, condition: Callable[[], bool], *, turns: int = 2000) -> None:
        for _ in range(turns):
            if condition():
                return
            self.turn()
        raise AssertionError(f"not reached in {turns} turns")

    def close(self) -> None:
        for stage in self.all:
            stage.close()
