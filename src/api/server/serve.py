"""Builds a node, serves until it is told to stop, and stops it cleanly."""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from ...core.clock import Clock
from ..broker import Broker
from ..broker_config import BrokerConfig
from ..handlers.routes import ROUTES, Route
from .background import Background, timetable
from .connection import Connection
from .connection_table import ConnectionTable
from .descriptor_limit import descriptor_limit, raise_descriptor_limit, share_descriptors
from .dispatcher import Dispatcher
from .listener import BoundListener, advertised_with_ports
from .peer_client import PeerClients
from .receive_buffers import ReceiveBuffers
from .request_budget import RequestBudget

HANDED_OVER_S = 0.2
"""How long clients are still told who leads instead: one that is cut off before it asked again may
know of no other broker that is up, and asks none until this one is back, or for half a second."""
STOP_GRACE_S = 0.4  # for answers that wait for the disk; parked fetches are dropped at once
SWITCH_INTERVAL_S = 0.0005  # how long the worker may keep the loop waiting; 5 ms by default
EXIT_OK = 0

WrapRoutes = Callable[[Mapping[int, Route]], Mapping[int, Route]]
EXIT_FATAL = 1

logger = logging.getLogger(__name__)


def run_server(
    config: BrokerConfig,
    *,
    on_started: Callable[[Broker], None] | None = None,
    topics: Sequence[tuple[str, int]] = (),
) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP; the exit code.  Call from the main thread.

    `topics` (name, partition count) are created if they are not there; then `on_started` is called.
    """
    raise_descriptor_limit()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    loop = new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(_serve(config, topics, on_started))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _serve(
    config: BrokerConfig,
    topics: Sequence[tuple[str, int]],
    on_started: Callable[[Broker], None] | None,
) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    exit_code = EXIT_OK

    def stop_with_failure(reason: str) -> None:
        nonlocal exit_code
        if not stop.is_set():
            logger.error("%s: stopping", reason)
            exit_code = EXIT_FATAL
            stop.set()

    for number in stop_signals():
        loop.add_signal_handler(number, stop.set)
    server = Server(config)
    server.broker.on_fatal = stop_with_failure
    # What is there by now stays, but for some hundred objects: the collector, which may have been
    # off so far, need not look at it, now or ever.  Once clients and peers wait for this loop it is
    # too late for a collection of all that, which takes long enough to be noticed.
    gc.freeze()
    gc.enable()
    if not await _starts_before(server.start(topics), stop):
        return exit_code
    try:
        if on_started is not None:
            on_started(server.broker)
        gc.freeze()  # what the start made stays too
        await stop.wait()
        logger.info("stopping")
    finally:
        await server.stop()
    return exit_code


async def _starts_before(starting: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Whether the server started; one that still waits for its cluster when told to stop did not.

    Raises what the start raised.
    """
    start = asyncio.ensure_future(starting)
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait((start, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if start.done():
        start.result()
        return True
    logger.info("stopping before the broker has joined its cluster")
    start.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await start
    return False


class Server:
    """A broker and its sockets.  Loop thread only."""

    def __init__(
        self,
        config: BrokerConfig,
        *,
        clock: Clock | None = None,
        wrap_routes: WrapRoutes | None = None,
    ) -> None:
        """`clock` and `wrap_routes` are for who tests with it: another time, other handlers."""
        self._config = config
        self._routes = ROUTES if wrap_routes is None else wrap_routes(ROUTES)
        self._listeners = self._bind(config)
        try:
            self.broker = Broker(config, clock=clock)
        except BaseException:
            self._close_listeners()
            raise
        self._peers = PeerClients(
            address_of=self.broker.address_of,
            client_id=f"broker-{self.broker.node_id}-fetcher",
        )
        self.broker.send_fetch = self._peers.send_fetch
        self.table = ConnectionTable(
            clock=self.broker.clock,
            max_connections=config.max_connections,
            max_connections_per_ip=config.max_connections_per_ip,
            per_ip_overrides=config.max_connections_per_ip_overrides,
            max_idle_ms=config.connections_max_idle_ms,
            most_by_descriptors=share_descriptors(descriptor_limit()),
            protected_listener=(
                config.inter_broker_listener_name if len(config.listeners) > 1 else None
            ),
        )
        self._buffers = ReceiveBuffers()
        self._budget = RequestBudget(config.queued_max_request_bytes)
        self._dispatcher: Dispatcher
        self._background: Background | None = None
        self._is_accepting = False

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return self._listeners[0].port

    async def start(self, topics: Sequence[tuple[str, int]] = ()) -> None:
        """Start the broker, create `topics` that are missing, then accept."""
        try:
            self.broker.start()
            self._limit_connections(self.broker.config)
            self.broker.on_config_changed.append(self._limit_connections)
            advertised = advertised_with_ports(self._config.advertised_listeners, self._listeners)
            self._dispatcher = Dispatcher(
                self.broker,
                self._routes,
                before_request=self.broker.membership.look_at_lease,
            )
            self.broker.on_peers_changed.append(self._disconnect_gone)
            if self.broker.needs_others:
                await self._accept()
            await self.broker.join(advertised)
            for name, partition_count in topics:
                if name not in self.broker.cluster_state.topics:
                    await self.broker.create_topic(name, partition_count=partition_count)
            await self.broker.settle()
            self._background = Background(timetable(self.broker, self.table))
            self._dispatcher.open()
            await self._accept()
        except asyncio.CancelledError:
            await self.stop()
            raise
        except BaseException:
            await self.stop(clean=False)
            raise
        logger.info("listening on %s", ", ".join(str(each.listener) for each in self._listeners))

    async def _accept(self) -> None:
        """Accept connections, if it is not done yet."""
        if not self._is_accepting:
            self._is_accepting = True
            for listener in self._listeners:
                await listener.accept(self._make_connection)

    def _disconnect_gone(self, peers: Mapping[int, Any]) -> None:
        """What was asked of a broker that is gone need not wait for its time-out."""
        self._peers.disconnect_others(peers)

    async def stop(self, *, clean: bool = True) -> None:
        """Hand over, accept and read no more, send the answers that are due, close the logs."""
        if clean and self._background is not None:
            has_handed_over = await self.broker.membership.leave()
            if has_handed_over and self.table.everyone():
                await _let_clients_hear()
        self._close_listeners()
        if self._background is not None:
            self._background.stop()
        connections = self.table.everyone()
        due: list[asyncio.Future[None]] = []
        for connection in connections:
            connection.stop_reading()
            due += connection.due_answers()
        if due:
            await asyncio.wait(due, timeout=STOP_GRACE_S)
            await asyncio.sleep(0)
        for connection in connections:
            connection.close()
        await asyncio.sleep(0)
        self._peers.close()
        self.broker.close(clean=clean)
        for connection in self.table.everyone():
            connection.abort()

    def _limit_connections(self, config: BrokerConfig) -> None:
        """Take limits that changed at run time."""
        self.table.change_limits(
            max_connections=config.max_connections,
            max_connections_per_ip=config.max_connections_per_ip,
            per_ip_overrides=config.max_connections_per_ip_overrides,
        )

    def _make_connection(self, listener_name: str) -> Connection:
        return Connection(
            handler=self._dispatcher,
            table=self.table,
            buffers=self._buffers,
            budget=self._budget,
            listener_name=listener_name,
            request_max_bytes=self._config.socket_request_max_bytes,
        )

    @staticmethod
    def _bind(config: BrokerConfig) -> list[BoundListener]:
        bound: list[BoundListener] = []
        try:
            for listener in config.listeners:
                bound.append(BoundListener(listener, backlog=config.socket_listen_backlog_size))
        except BaseException:
            for other in bound:
                other.close()
            raise
        return bound

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()


async def _let_clients_hear() -> None:
    """Answer on, while clients that send to the old leader are told who the new one is."""
    await asyncio.sleep(HANDED_OVER_S)


def stop_signals() -> list[signal.Signals]:
    """What stops the broker cleanly; a terminal that closes too, unless nohup says to go on."""
    signals = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed, else the standard one."""
    try:
        import uvloop
    except ImportError:
        logger.warning("uvloop is not installed: the standard loop serves, at more CPU a request")
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
