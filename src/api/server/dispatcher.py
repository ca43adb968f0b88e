"""From a request frame to its answer: header, route, decode, handler, encode.

A handler gives its answer's body, None (acks=0: no answer), or an awaitable of either; one that is
a `LaterAnswer` is not awaited, which would cost a turn of the loop.  The frame is valid only until
`dispatch_frame` returns, so a handler uses `records` views before it awaits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any, cast

from ...core.errors import MalformedBytesError
from ..handlers.api_versions import answer_unsupported_version
from ..handlers.broker_link import LINK_API_KEY, accept_broker_link
from ..handlers.context import RequestContext
from ..handlers.later_answer import LaterAnswer
from ..handlers.routes import Route
from ..wire.api_keys import ApiKey
from ..wire.codec import decode_request, encode_response_frame
from ..wire.headers import decode_request_header
from ..wire.registry import schema_versions
from .pending_answer import CloseConnectionError, PendingAnswer, Pieces

if TYPE_CHECKING:
    from ..broker import Broker
    from .connection import Connection

MAX_CONTEXTS = 64  # remembered per connection; a client uses a dozen or two
HEAD = Struct(">hhi")  # api_key, api_version, correlation_id
PRODUCE = int(ApiKey.PRODUCE)
API_VERSIONS = int(ApiKey.API_VERSIONS)
# What a client may send right behind one of these expects it done: Kafka handles a connection's
# requests one at a time.  Here most go on side by side, but in a cluster such a change waits for
# others, and a question about it would overtake it.
CHANGES = frozenset(
    (
        ApiKey.OFFSET_COMMIT,
        ApiKey.OFFSET_DELETE,
        ApiKey.DELETE_GROUPS,
        ApiKey.CREATE_TOPICS,
        ApiKey.DELETE_TOPICS,
        ApiKey.CREATE_PARTITIONS,
        ApiKey.DELETE_RECORDS,
        ApiKey.ALTER_CONFIGS,
        ApiKey.INCREMENTAL_ALTER_CONFIGS,
        ApiKey.ALTER_REPLICA_LOG_DIRS,
        ApiKey.ELECT_LEADERS,
        ApiKey.ALTER_PARTITION_REASSIGNMENTS,
        ApiKey.UNREGISTER_BROKER,
    )
)

logger = logging.getLogger(__name__)


class Dispatcher:
    """Routes the requests of every connection of one broker.  Loop thread only."""

    def __init__(
        self,
        broker: "Broker",
        routes: Mapping[int, Route],
        *,
        before_request: Callable[[], None] | None = None,
    ) -> None:
        """`before_request` is called before each request is handled."""
        self._broker = broker
        self._before_request = before_request
        self._advertised = tuple(routes.values())
        # Produce is advertised from 0 for old clients' sake and spoken from 3 only.
        self._is_open = False
        self._routes: dict[int, tuple[int, int, Any]] = {}
        self._all_routes = {
            key: (max(route.min_version, schema_versions(key)[0]), route.max_version, route.handler)
            for key, route in routes.items()
        }

    def open(self) -> None:
        """Serve clients from now on; before, only other brokers' links are taken."""
        self._is_open = True
        self._routes = self._all_routes

    def dispatch_frame(
        self, connection: "Connection", frame: memoryview
    ) -> Pieces | PendingAnswer | None:
        """Handle one request; see `FrameHandler.dispatch_frame`."""
        try:
            header, position = decode_request_header(frame)
        except MalformedBytesError as error:
            return self._refuse_header(frame, error)
        api_key, api_version = header.api_key, header.api_version
        correlation_id = header.correlation_id
        route = self._routes.get(api_key)
        if route is None or not route[0] <= api_version <= route[1]:
            if api_key == LINK_API_KEY:
                raise accept_broker_link(self._broker, frame[position:])
            if not self._is_open:
                raise CloseConnectionError(
                    "this broker has not joined its cluster yet", level=logging.DEBUG
                )
            return self._refuse_version(api_key, api_version, correlation_id)
        try:
            request = decode_request(api_key, api_version, frame, position)
        except MalformedBytesError as error:
            name = api_name(api_key)
            raise CloseConnectionError(f"{name} v{api_version} is malformed: {error}") from error
        client = (api_key, api_version, header.client_id)
        context = connection.contexts.get(client)
        if context is None:
            context = self._remember_context(connection, *client)
        if self._before_request is not None:
            self._before_request()
        try:
            answer = route[2](self._broker, context, request)
            if answer is None:
                return None
            if type(answer) is dict:
                return encode_response_frame(api_key, api_version, correlation_id, answer)
        except CloseConnectionError:
            raise
        except Exception as error:
            raise self._unexpected(context, error) from error
        pending = PendingAnswer(is_owed=api_key == PRODUCE, holds_later=api_key in CHANGES)
        if isinstance(answer, LaterAnswer):
            pending.work = answer
            answer.on_body = partial(self._complete, pending, context, correlation_id)
        else:
            work = asyncio.ensure_future(cast(Awaitable[Any], answer))
            pending.work = work
            work.add_done_callback(partial(self._take_result, pending, context, correlation_id))
        return pending

    def _take_result(
        self,
        pending: PendingAnswer,
        context: RequestContext,
        correlation_id: int,
        work: "asyncio.Future[dict[str, Any] | None]",
    ) -> None:
        """The awaited body is there, or failed, or nobody wants it any more."""
        if work.cancelled():
            pending.fail(CloseConnectionError("the broker stops", level=logging.DEBUG))
            return
        try:
            body = work.result()
        except CloseConnectionError as error:
            pending.fail(error)
        except Exception as error:
            pending.fail(self._unexpected(context, error))
        else:
            self._complete(pending, context, correlation_id, body)

    def _complete(
        self,
        pending: PendingAnswer,
        context: RequestContext,
        correlation_id: int,
        body: dict[str, Any] | None,
    ) -> None:
        """The body is there."""
        pieces: Pieces = []
        if body is not None:
            try:
                pieces = encode_response_frame(
                    context.api_key, context.api_version, correlation_id, body
                )
            except Exception as error:
                pending.fail(self._unexpected(context, error))
                return
        work = pending.work
        pending.complete(pieces, soon=isinstance(work, LaterAnswer) and work.is_given_within)

    def _remember_context(
        self, connection: "Connection", api_key: int, api_version: int, client_id: str | None
    ) -> RequestContext:
        if len(connection.contexts) >= MAX_CONTEXTS:
            connection.contexts.clear()
        context = RequestContext(
            api_key=api_key,
            api_version=api_version,
            client_id=client_id,
            client_host=connection.client_host,
            listener_name=connection.listener_name,
        )
        connection.contexts[(api_key, api_version, client_id)] = context
        return context

    def _refuse_header(self, frame: memoryview, error: MalformedBytesError) -> Pieces:
        """A version we do not know may have another header: that is the better reason then."""
        if len(frame) < HEAD.size:
            raise CloseConnectionError(f"a request of {len(frame)} bytes has no room for a header")
        api_key, api_version, correlation_id = HEAD.unpack_from(frame)
        route = self._routes.get(api_key)
        if route is None or not route[0] <= api_version <= route[1]:
            return self._refuse_version(api_key, api_version, correlation_id)
        name = api_name(api_key)
        raise CloseConnectionError(f"{name} v{api_version} is malformed: {error}") from error

    def _refuse_version(self, api_key: int, api_version: int, correlation_id: int) -> Pieces:
        """ApiVersions answers in its version 0; for any other key Kafka closes the connection."""
        if api_key == API_VERSIONS:
            return encode_response_frame(
                API_VERSIONS, 0, correlation_id, answer_unsupported_version(self._advertised)
            )
        route = self._routes.get(api_key)
        if route is None:
            reason = f"{api_name(api_key)} is not supported"
        else:
            reason = f"{api_name(api_key)} is supported from v{route[0]} to v{route[1]}"
        raise CloseConnectionError(f"{reason}, and the client sent v{api_version}")

    @staticmethod
    def _unexpected(context: RequestContext, error: BaseException) -> CloseConnectionError:
        name = api_name(context.api_key)
        logger.error("%s v%d failed", name, context.api_version, exc_info=error)
        return CloseConnectionError(f"{name} failed: {error!r}")


def api_name(api_key: int) -> str:
    """`Produce` for 0, `API key 999` for one that is not known."""
    try:
        return ApiKey(api_key).name.title().replace("_", "")
    except ValueError:
        return f"API key {api_key}"
