"""All open connections of this broker: max.connections, per address, and those idle too long.

Above max.connections a new connection waits, unread, until another one closes, as in Kafka; above
max.connections.per.ip it is closed.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from ...core.clock import Clock
from ..handlers.context import CloseConnectionError

REPEAT_AFTER_MS = 60_000
MAX_REMEMBERED_REPORTS = 1000
_TOO_FEW_DESCRIPTORS = "all that the limit of open files leaves for clients; raise `ulimit -n`"

logger = logging.getLogger(__name__)


class TrackedConnection(Protocol):
    """What the table needs of a connection."""

    client_host: str
    listener_name: str
    last_active: float
    is_closing: bool

    @property
    def has_pending_answers(self) -> bool: ...

    def hold(self) -> None:
        """Handle no request until `release`."""
        ...

    def release(self) -> None: ...

    def stop_reading(self) -> None: ...

    def due_answers(self) -> list[asyncio.Future[None]]: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class ConnectionTable:
    """Admits connections up to the limits, and says each reason for a refusal once a minute.

    `protected_listener`, that of other brokers, is never kept waiting: the longest idle connection
    of another listener is closed for it.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        max_connections: int = 2**31 - 1,
        max_connections_per_ip: int = 2**31 - 1,
        per_ip_overrides: Mapping[str, int] | None = None,
        max_idle_ms: int = 600_000,
        most_by_descriptors: int = 2**31 - 1,
        protected_listener: str | None = None,
    ) -> None:
        self.connections: set[TrackedConnection] = set()
        self._waiting: dict[TrackedConnection, None] = {}  # in the order they came
        self._protected_listener = protected_listener
        # Else clients would take the descriptors that segments need to be rolled.
        self._most_connections = most_by_descriptors
        self.max_connections = max_connections
        self.max_connections_per_ip = max_connections_per_ip
        self.per_ip_overrides = per_ip_overrides or {}
        self.max_idle_ms = max_idle_ms
        self._clock = clock
        self._per_host: dict[str, int] = {}
        self._reported: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self.connections)

    def everyone(self) -> list[TrackedConnection]:
        """Every connection, those that wait to be admitted too."""
        return [*self.connections, *self._waiting]

    def admit(self, connection: TrackedConnection) -> bool:
        """Count a new connection in, hold it until there is room, or refuse it: False."""
        if len(self.connections) + len(self._waiting) >= self._most_connections:
            reason = f"{self._most_connections} are open already, {_TOO_FEW_DESCRIPTORS}"
            self._report(connection.client_host, reason)
            return False
        if len(self.connections) < self.max_connections or self._is_protected(connection):
            is_admitted = self._count_in(connection)
            self._close_excess()
            return is_admitted
        self._waiting[connection] = None
        connection.hold()
        reason = f"max.connections={self.max_connections} are open already"
        self._report(connection.client_host, reason, doing="keeps waiting")
        return True

    def discard(self, connection: TrackedConnection) -> None:
        """Count a connection out, which makes room for one that waits."""
        self._waiting.pop(connection, None)
        if connection not in self.connections:
            return
        self.connections.remove(connection)
        host = connection.client_host
        self._per_host[host] -= 1
        if not self._per_host[host]:
            del self._per_host[host]
        self._admit_waiting()

    def change_limits(
        self,
        *,
        max_connections: int,
        max_connections_per_ip: int,
        per_ip_overrides: Mapping[str, int],
    ) -> None:
        """Live by new limits; connections above max.connections are closed, longest idle first."""
        self.max_connections = max_connections
        self.max_connections_per_ip = max_connections_per_ip
        self.per_ip_overrides = per_ip_overrides
        self._close_excess()
        self._admit_waiting()

    def _is_protected(self, connection: TrackedConnection) -> bool:
        return connection.listener_name == self._protected_listener

    def _count_in(self, connection: TrackedConnection) -> bool:
        host = connection.client_host
        count = self._per_host.get(host, 0)
        limit = self.per_ip_overrides.get(host, self.max_connections_per_ip)
        if count >= limit:
            self._report(host, f"max.connections.per.ip={limit} are open from there already")
            return False
        self._per_host[host] = count + 1
        self.connections.add(connection)
        return True

    def _admit_waiting(self) -> None:
        while self._waiting and len(self.connections) < self.max_connections:
            connection = next(iter(self._waiting))
            del self._waiting[connection]
            if self._count_in(connection):
                connection.release()
            else:
                connection.abort()

    def _close_excess(self) -> None:
        if len(self.connections) <= self.max_connections:
            return
        staying = [each for each in self.connections if not each.is_closing]
        closable = [each for each in staying if not self._is_protected(each)]
        closable.sort(key=lambda each: each.last_active)
        for connection in closable[: max(len(staying) - self.max_connections, 0)]:
            reason = f"max.connections={self.max_connections} are exceeded, it was idle longest"
            self._report(connection.client_host, reason)
            connection.abort()

    def close_idle(self, now: float) -> int:
        """Close those without traffic for connections.max.idle.ms; `now` is the loop's time."""
        if self.max_idle_ms < 0:
            return 0
        oldest = now - self.max_idle_ms / 1000
        idle = [
            connection
            for connection in self.connections
            if connection.last_active < oldest and not connection.has_pending_answers
        ]
        for connection in idle:
            connection.abort()
        return len(idle)

    def report_closed(self, connection: TrackedConnection, error: CloseConnectionError) -> None:
        """Say why the broker closed a connection: a line a reason and client, once a minute."""
        self._report(connection.client_host, str(error), error.level)

    def _report(
        self, host: str, reason: str, level: int = logging.WARNING, *, doing: str = "closed"
    ) -> None:
        now_ms = self._clock.monotonic_ms()
        last_ms = self._reported.get((host, reason))
        if last_ms is not None and now_ms - last_ms < REPEAT_AFTER_MS:
            return
        if len(self._reported) >= MAX_REMEMBERED_REPORTS:
            self._reported.clear()
        self._reported[(host, reason)] = now_ms
        logger.log(level, "%s a connection from %s: %s", doing, host or "a local socket", reason)
