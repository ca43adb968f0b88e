"""Sockets that accept: bound before the node starts, so that a taken port is known at once."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..broker_config import Listener
from .connection import Connection

logger = logging.getLogger(__name__)


class BoundListener:
    """One listener of the config with its sockets; `port` is the one really bound."""

    def __init__(self, listener: Listener, *, backlog: int) -> None:
        self.listener = listener
        self._backlog = backlog
        self._sockets = bind_sockets(listener)
        self.port: int = self._sockets[0].getsockname()[1]
        self._servers: list[asyncio.Server] = []

    async def accept(self, make_connection: Callable[[str], Connection]) -> None:
        """Begin to accept; each connection is what `make_connection(listener_name)` gives."""
        loop = asyncio.get_running_loop()
        for bound in self._sockets:
            server = await loop.create_server(
                lambda: make_connection(self.listener.name), sock=bound, backlog=self._backlog
            )
            self._servers.append(server)

    def close(self) -> None:
        """Accept nobody any more; what is open stays open."""
        for server in self._servers:
            server.close()
        for bound in self._sockets:
            bound.close()


def bind_sockets(listener: Listener) -> list[socket.socket]:
    """A socket for each address of the listener's host; OSError, which names it, if none can be
    bound.

    `localhost` may be both 127.0.0.1 and ::1, and clients try either first.
    """
    try:
        return _bind_each(listener)
    except OSError as error:
        reason = f"cannot listen on {listener}: {error.strerror}"
        raise OSError(error.errno, reason) from error


def _bind_each(listener: Listener) -> list[socket.socket]:
    # A host name as text loads a codec with all of Unicode's tables, ASCII or not.
    host = listener.host.encode() if listener.host.isascii() else listener.host
    addresses = socket.getaddrinfo(
        host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    bound: list[socket.socket] = []
    port = listener.port
    for family, kind, protocol, _, address in dict.fromkeys(addresses):
        one = socket.socket(family, kind, protocol)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # [::] is every interface, for IPv4 too; beside 127.0.0.1, ::1 is only itself.
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not listener.is_wildcard)
            one.bind((address[0], port, *address[2:]))
        except OSError as error:
            one.close()
            if error.errno != errno.EADDRNOTAVAIL or family != socket.AF_INET6:
                for other in bound:
                    other.close()
                raise
            logger.debug("%s has no IPv6 address to listen on: %s", listener.host, error)
            continue
        one.setblocking(False)
        bound.append(one)
        port = one.getsockname()[1]
    if not bound:
        raise OSError(errno.EADDRNOTAVAIL, "it is no address of this machine")
    return bound


def advertised_with_ports(
    advertised: Sequence[Listener], bound: Sequence[BoundListener]
) -> list[Listener]:
    """What clients are told, with port 0 replaced by the port that the system chose."""
    return [
        told if told.port else replace(told, port=listener.port)
        for told, listener in zip(advertised, bound, strict=True)
    ]
