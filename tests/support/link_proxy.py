"""TCP proxies in front of brokers on loopback: who may talk to whom is decided byte by byte.

A connection is known by the process at its other end: a broker, or a client.
What is cut is held back, not refused, as a network does that drops packets: the bytes flow again
once it heals.  `tear` resets connections in the middle of whatever they carry.
"""

import asyncio
import contextlib
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvloop

from tests.support.socket_owner import inode_of_connection, socket_inodes

CLIENT = -1
CHUNK_BYTES = 1 << 16
PidOf = Callable[[int], int | None]


@dataclass(eq=False)
class _Pair:
    """One proxied connection: its two ends, and which broker (or CLIENT) dialled."""

    source: int
    target: int
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    passed_bytes: int = 0
    tear_after: int | None = None

    def reset(self) -> None:
        for writer in self.writers:
            transport = writer.transport
            raw = transport.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                # Linger of zero seconds: close sends RST.
                with contextlib.suppress(OSError):
                    raw.setsockopt(1, 13, struct.pack("ii", 1, 0))
            transport.abort()


class LinkProxies:
    """A proxy a broker, all on one thread of their own."""

    def __init__(self, pid_of: PidOf) -> None:
        self._pid_of = pid_of
        self._targets: dict[int, int] = {}
        self._cut: set[tuple[int, int]] = set()
        self._pairs: set[_Pair] = set()
        self._servers: list[asyncio.Server] = []
        self._loop = uvloop.new_event_loop()
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def open(self, number: int, port: int) -> int:
        """The port at which broker `number`, which listens on `port`, is reached from now on."""
        self._targets[number] = port
        return self._call(self._listen(number))

    def close(self) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # ---- faults

    def cut(self, source: int, target: int) -> None:
        """Nothing that `source` sends reaches `target`; the other direction stays."""
        self._change(lambda: self._cut.add((source, target)))

    def cut_both(self, first: int, second: int) -> None:
        self.cut(first, second)
        self.cut(second, first)

    def isolate(self, number: int, *, from_clients: bool = False) -> None:
        """Cut a broker off from all other brokers, or from everybody."""
        for other in self._targets:
            if other != number:
                self.cut_both(number, other)
        if from_clients:
            self.cut_both(number, CLIENT)

    def heal(self) -> None:
        """Let everything flow again, what was held back first."""
        self._change(self._cut.clear)

    def tear(self, number: int, *, after_bytes: int = 0) -> int:
        """Reset every connection from or to a broker, after so many more bytes; how many."""

        def tear_all() -> int:
            found = [pair for pair in self._pairs if number in (pair.source, pair.target)]
            for pair in found:
                if after_bytes:
                    pair.tear_after = pair.passed_bytes + after_bytes
                else:
                    pair.reset()
            return len(found)

        return self._call(_as_coroutine(tear_all))

    # ---- the thread's own

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def _change(self, change: Callable[[], None]) -> None:
        def run() -> None:
            change()
            self._changed.set()
            self._changed = asyncio.Event()

        self._call(_as_coroutine(run))

    async def _listen(self, number: int) -> int:
        server = await asyncio.start_server(
            lambda reader, writer: self._serve(number, reader, writer), "127.0.0.1", 0
        )
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for pair in list(self._pairs):
            pair.reset()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(
        self, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        source = self._who(writer.get_extra_info("peername"), writer.get_extra_info("sockname"))
        pair = _Pair(source, target, [writer])
        self._pairs.add(pair)
        try:
            await self._may_pass(source, target)
            try:
                to_broker, from_broker = await self._dial(target)
            except OSError:
                pair.reset()
                return
            pair.writers.append(from_broker)
            await asyncio.gather(
                self._pump(pair, source, target, reader, from_broker),
                self._pump(pair, target, source, to_broker, writer),
            )
        except asyncio.CancelledError:
            return  # the proxies are being closed
        finally:
            pair.reset()
            self._pairs.discard(pair)

    async def _dial(self, target: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._targets[target])

    async def _pump(
        self,
        pair: _Pair,
        source: int,
        target: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await self._may_pass(source, target)
                if writer.is_closing():  # the other direction was reset meanwhile
                    pair.reset()
                    return
                if pair.tear_after is not None and pair.passed_bytes + len(chunk) > pair.tear_after:
                    writer.write(chunk[: max(0, pair.tear_after - pair.passed_bytes)])
                    pair.reset()
                    return
                pair.passed_bytes += len(chunk)
                writer.write(chunk)
                await writer.drain()
            await self._may_pass(source, target)
        except OSError:
            pair.reset()
            return
        writer.close()

    async def _may_pass(self, source: int, target: int) -> None:
        while (source, target) in self._cut:
            await self._changed.wait()

    def _who(self, dialler: tuple[str, int], here: tuple[str, int]) -> int:
        """The broker whose process dialled this connection, or CLIENT."""
        inode = inode_of_connection(dialler, here)
        for number in self._targets:
            pid = self._pid_of(number)
            if pid is not None and inode in set(socket_inodes(pid)):
                return number
        return CLIENT


async def _as_coroutine(call: Callable[[], Any]) -> Any:
    return call()
