"""What a handler knows about the request besides its body."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...core.errors import HeadraceError

if TYPE_CHECKING:
    from .refused_batches import RefusedBatches


class CloseConnectionError(HeadraceError):
    """The protocol's answer is to close the connection; `level` is how loud the log says it."""

    def __init__(self, reason: str, *, level: int = logging.WARNING) -> None:
        super().__init__(reason)
        self.level = level


class SocketHandOver(CloseConnectionError):
    """The connection stops being a client's: `take_socket` gets its descriptor and owns it.

    Only where nothing else is under way on the connection; else it is closed like any other.
    """

    def __init__(self, reason: str, take_socket: Callable[[int], None]) -> None:
        super().__init__(reason)
        self.take_socket = take_socket


class RequestContext:
    """Who asks, through which door, and in which version of the API.

    One context serves every request of a connection that agrees in these fields, so a handler
    reads it; for the connection's next requests, Produce writes to `refused_batches`, and Metadata
    to `in_vain_since_ms`.
    """

    __slots__ = (
        "api_key",
        "api_version",
        "client_host",
        "client_id",
        "in_vain_since_ms",
        "listener_name",
        "principal",
        "refused_batches",
    )

    def __init__(
        self,
        *,
        api_key: int,
        api_version: int,
        client_id: str | None = None,
        client_host: str = "",
        principal: str = "User:ANONYMOUS",
        listener_name: str = "PLAINTEXT",
    ) -> None:
        self.api_key = api_key
        self.api_version = api_version
        self.client_id = client_id
        self.client_host = client_host
        self.principal = principal
        self.listener_name = listener_name
        self.refused_batches: RefusedBatches | None = None
        self.in_vain_since_ms: int | None = None
