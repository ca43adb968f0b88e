"""A whole broker on the caller's own thread, fed with bytes: no socket, no loop that turns.

What it costs to handle a request is then all that is measured.  The loop only starts and stops
the broker, so whatever would be awaited (a disk, other replicas) must not be asked for, but in
what `run` is given.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from headrace.api.broker_config import make_broker_config
from headrace.api.handlers.routes import ROUTES
from headrace.api.server.connection import Connection
from headrace.api.server.connection_table import ConnectionTable
from headrace.api.server.dispatcher import Dispatcher
from headrace.api.server.receive_buffers import ReceiveBuffers
from headrace.api.server.request_budget import RequestBudget
from headrace.api.server.serve import Server
from headrace.raft.partition import Partition

T = TypeVar("T")

REQUEST_MAX_BYTES = 100 << 20


class WrittenBytes:
    """The transport: counts and keeps what the connection would send."""

    def __init__(self) -> None:
        self.pieces: list[bytes | memoryview] = []
        self.write_calls = 0

    def write(self, piece: bytes | memoryview) -> None:
        self.write_calls += 1
        self.pieces.append(piece)

    def writelines(self, pieces: Iterable[bytes | memoryview]) -> None:
        self.write_calls += 1
        self.pieces.extend(pieces)

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is held back here."""

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Who hands bytes over knows himself when to."""

    resume_reading = pause_reading

    def abort(self) -> None:
        raise ConnectionAbortedError("the broker closed the connection: see its log")

    close = abort


class InProcessBroker:
    """Started with the `with` block on `folder`; topics are name -> partition count."""

    def __init__(self, folder: Path, topics: dict[str, int]) -> None:
        self._config = make_broker_config(
            {
                "listeners": "PLAINTEXT://127.0.0.1:0",
                "log.dirs": str(folder),
                "log.retention.bytes": str(1 << 28),
            }
        )
        self._topics = topics
        self._loop = asyncio.new_event_loop()
        self._server: Server

    def __enter__(self) -> Self:
        try:
            self._loop.run_until_complete(self._start())
        except BaseException:
            self._loop.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._loop.run_until_complete(self._server.stop(clean=False))
        finally:
            self._loop.close()

    async def _start(self) -> None:
        self._server = Server(self._config)
        await self._server.start(tuple(self._topics.items()))
        self._dispatcher = Dispatcher(self._server.broker, ROUTES)
        self._dispatcher.open()

    def run(self, scene: Coroutine[Any, Any, T]) -> T:
        """What comes of it, while the loop turns."""
        return self._loop.run_until_complete(scene)

    def partition(self, topic: str, index: int = 0) -> Partition:
        return self._server.broker.replicas.partition(topic, index)

    def connect(self) -> "InProcessConnection":
        async def make() -> InProcessConnection:
            return InProcessConnection(
                Connection(
                    handler=self._dispatcher,
                    table=ConnectionTable(clock=self._server.broker.clock),
                    buffers=ReceiveBuffers(),
                    budget=RequestBudget(-1),
                    listener_name="PLAINTEXT",
                    request_max_bytes=REQUEST_MAX_BYTES,
                )
            )

        return self._loop.run_until_complete(make())


class InProcessConnection:
    """One client's connection without a socket."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.transport = WrittenBytes()
        connection.connection_made(cast(asyncio.Transport, self.transport))

    def exchange(self, request: bytes) -> list[bytes | memoryview]:
        """Hands over what a socket would have read; the pieces of what was answered."""
        position, rest = 0, memoryview(request)
        self.transport.pieces = []
        while position < len(request):
            buffer = self._connection.get_buffer(-1)
            taken = min(len(buffer), len(request) - position)
            buffer[:taken] = rest[position : position + taken]
            self._connection.buffer_updated(taken)
            position += taken
        return self.transport.pieces
