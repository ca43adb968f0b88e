"""All open connections of this broker: max.connections, per address, and those idle too long."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from ...core.clock import Clock
from ..handlers.context import CloseConnectionError

REPEAT_AFTER_MS = 60_000
MAX_REMEMBERED_REPORTS = 1000
# What the logs keep open (twice core's pool, for the moments of a sync), the journal, the sockets
# that accept, and the rest of the process.
DESCRIPTORS_FOR_FILES = 320
_TOO_FEW_DESCRIPTORS = "all that the limit of open files leaves for clients; raise `ulimit -n`"

logger = logging.getLogger(__name__)


class TrackedConnection(Protocol):
    """What the table needs of a connection."""

    client_host: str
    listener_name: str
    last_active: float

    @property
    def has_pending_answers(self) -> bool: ...

    def stop_reading(self) -> None: ...

    def due_work(self) -> list[asyncio.Future[Any]]: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class ConnectionTable:
    """Admits connections up to the limits, and says each reason for a refusal once a minute."""

    def __init__(
        self,
        *,
        clock: Clock,
        max_connections: int = 2**31 - 1,
        max_connections_per_ip: int = 2**31 - 1,
        per_ip_overrides: Mapping[str, int] | None = None,
        max_idle_ms: int = 600_000,
        descriptor_limit: int = 2**31 - 1,
    ) -> None:
        self.connections: set[TrackedConnection] = set()
        # Else clients would take the descriptors that segments need to be rolled.
        self._most_connections = max(descriptor_limit - DESCRIPTORS_FOR_FILES, 1)
        self.max_connections = max_connections
        self.max_connections_per_ip = max_connections_per_ip
        self.per_ip_overrides = per_ip_overrides or {}
        self.max_idle_ms = max_idle_ms
        self._clock = clock
        self._per_host: dict[str, int] = {}
        self._reported: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self.connections)

    def admit(self, connection: TrackedConnection) -> bool:
        """Count a new connection in, or refuse it."""
        host = connection.client_host
        if len(self.connections) >= min(self.max_connections, self._most_connections):
            if self.max_connections <= self._most_connections:
                reason = f"max.connections={self.max_connections} are open already"
            else:
                reason = f"{self._most_connections} are open already, {_TOO_FEW_DESCRIPTORS}"
            self._report(host, reason)
            return False
        count = self._per_host.get(host, 0)
        limit = self.per_ip_overrides.get(host, self.max_connections_per_ip)
        if count >= limit:
            self._report(host, f"max.connections.per.ip={limit} are open from there already")
            return False
        self._per_host[host] = count + 1
        self.connections.add(connection)
        return True

    def discard(self, connection: TrackedConnection) -> None:
        """Count a connection out; one that was refused is not in."""
        if connection not in self.connections:
            return
        self.connections.remove(connection)
        host = connection.client_host
        self._per_host[host] -= 1
        if not self._per_host[host]:
            del self._per_host[host]

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

    def _report(self, host: str, reason: str, level: int = logging.WARNING) -> None:
        now_ms = self._clock.monotonic_ms()
        last_ms = self._reported.get((host, reason))
        if last_ms is not None and now_ms - last_ms < REPEAT_AFTER_MS:
            return
        if len(self._reported) >= MAX_REMEMBERED_REPORTS:
            self._reported.clear()
        self._reported[(host, reason)] = now_ms
        logger.log(level, "closed a connection from %s: %s", host or "a local socket", reason)
