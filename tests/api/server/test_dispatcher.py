"""From frame to answer, with routes made up by the test and no sockets."""

import asyncio
import logging
import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from headrace.api.handlers.context import CloseConnectionError, RequestContext
from headrace.api.handlers.routes import ROUTES, Handler, Route
from headrace.api.server.connection import Connection
from headrace.api.server.dispatcher import Dispatcher
from headrace.api.server.pending_answer import PendingAnswer
from headrace.api.wire.api_keys import ApiKey
from headrace.api.wire.codec import decode_response, encode_request
from headrace.api.wire.headers import encode_request_frame

if TYPE_CHECKING:
    from headrace.api.broker import Broker

Body = dict[str, Any]


def make_dispatcher(handler: Handler | None = None) -> Dispatcher:
    routes = dict(ROUTES)
    if handler is not None:
        routes[3] = Route(ApiKey.METADATA, 0, 13, handler)
    dispatcher = Dispatcher(cast("Broker", SimpleNamespace()), routes)
    dispatcher.open()
    return dispatcher


def make_connection() -> Connection:
    connection = SimpleNamespace(client_host="192.0.2.7", listener_name="PLAINTEXT", contexts={})
    return cast(Connection, connection)


def frame_of(
    api_key: int, api_version: int, body: Body, client_id: str | None = "me"
) -> memoryview:
    return memoryview(encode_request_frame(api_key, api_version, 77, client_id, body)[4:])


def test_answer_carries_size_and_correlation_id() -> None:
    pieces = make_dispatcher().dispatch_frame(make_connection(), frame_of(18, 0, {}))
    assert isinstance(pieces, list)
    answer = b"".join(pieces)
    assert struct.unpack(">ii", answer[:8]) == (len(answer) - 4, 77)


def test_handler_is_told_who_asks() -> None:
    seen: list[RequestContext] = []

    def handler(broker: "Broker", context: RequestContext, request: Body) -> Body:
        seen.append(context)
        return {}

    dispatcher, connection = make_dispatcher(handler), make_connection()
    for client_id in ("me", None, "me"):
        dispatcher.dispatch_frame(connection, frame_of(3, 9, {"topics": None}, client_id))
    assert [context.client_id for context in seen] == ["me", None, "me"]
    first = seen[0]
    assert (first.api_key, first.api_version, first.client_host) == (3, 9, "192.0.2.7")


def test_contexts_of_a_connection_are_bounded() -> None:
    dispatcher, connection = make_dispatcher(lambda broker, context, request: {}), make_connection()
    for number in range(300):
        dispatcher.dispatch_frame(connection, frame_of(3, 9, {"topics": None}, f"client {number}"))
    assert len(connection.contexts) < 100


@pytest.mark.parametrize("api_version", [5, 99, -1])
def test_unknown_version_of_api_versions_is_answered_in_version_0(api_version: int) -> None:
    frame = struct.pack(">hhih", 18, api_version, 77, -1) + b"\0" + encode_request(18, 0, {})
    pieces = make_dispatcher().dispatch_frame(make_connection(), memoryview(frame))
    assert isinstance(pieces, list)
    body = decode_response(18, 0, b"".join(pieces)[8:])
    assert body["error_code"] == 35
    assert (18, 0, 4) in {
        (row["api_key"], row["min_version"], row["max_version"]) for row in body["api_keys"]
    }


@pytest.mark.parametrize(
    ("api_key", "api_version", "words"),
    [
        (3, 14, "Metadata is supported from v0 to v13, and the client sent v14"),
        (0, 2, "Produce is supported from v3 to v11"),
        (71, 0, "GetTelemetrySubscriptions is not supported"),
        (999, 0, "API key 999 is not supported"),
    ],
)
def test_other_unknown_versions_close_the_connection(
    api_key: int, api_version: int, words: str
) -> None:
    frame = memoryview(struct.pack(">hhih", api_key, api_version, 77, -1))
    with pytest.raises(CloseConnectionError, match=words):
        make_dispatcher().dispatch_frame(make_connection(), frame)


@pytest.mark.parametrize(
    "frame",
    [
        b"\0\3\0\1",
        struct.pack(">hhih", 3, 1, 77, 500) + b"short",
        struct.pack(">hhih", 3, 1, 77, -1) + b"\x7f\xff\xff\xff",
    ],
    ids=["no room for a header", "client id beyond the end", "array beyond the end"],
)
def test_malformed_request_closes_the_connection(frame: bytes) -> None:
    with pytest.raises(CloseConnectionError):
        make_dispatcher().dispatch_frame(make_connection(), memoryview(frame))


def test_our_own_mistake_is_logged_with_its_trace_and_closes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def handler(broker: "Broker", context: RequestContext, request: Body) -> Body:
        raise ZeroDivisionError("a bug")

    with pytest.raises(CloseConnectionError, match="Metadata failed"):
        make_dispatcher(handler).dispatch_frame(make_connection(), frame_of(3, 9, {"topics": None}))
    assert [record.exc_info is not None for record in caplog.records] == [True]


def dispatch_later(handler: Handler, *, cancel: bool = False) -> PendingAnswer:
    """The pending answer of an asynchronous handler once its work is over."""

    async def scenario() -> PendingAnswer:
        pending = make_dispatcher(handler).dispatch_frame(
            make_connection(), frame_of(3, 0, {"topics": []})
        )
        assert isinstance(pending, PendingAnswer)
        assert pending.pieces is None
        assert pending.work is not None
        if cancel:
            pending.cancel()
        await asyncio.wait([pending.work])
        await asyncio.sleep(0)
        return pending

    return asyncio.run(scenario())


def test_awaited_body_is_encoded_when_it_is_there() -> None:
    async def answer_later() -> Body:
        await asyncio.sleep(0)
        return {"brokers": [{"node_id": 5, "host": "h", "port": 1}], "topics": []}

    pending = dispatch_later(lambda broker, context, request: answer_later())
    assert pending.error is None
    assert pending.pieces is not None
    body = decode_response(3, 0, b"".join(pending.pieces)[8:])
    assert body["brokers"][0]["node_id"] == 5


def test_awaited_nothing_is_no_answer() -> None:
    async def answer_nothing() -> None:
        await asyncio.sleep(0)

    pending = dispatch_later(lambda broker, context, request: answer_nothing())
    assert (pending.pieces, pending.error) == ([], None)


def test_awaited_failure_closes_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> Body:
        await asyncio.sleep(0)
        raise KeyError("a bug")

    caplog.set_level(logging.ERROR)
    pending = dispatch_later(lambda broker, context, request: fail())
    assert pending.pieces == []
    assert "Metadata failed" in str(pending.error)
    assert len(caplog.records) == 1


def test_cancelled_work_tells_nobody() -> None:
    async def wait_forever() -> Body:
        await asyncio.Event().wait()
        return {}

    called: list[str] = []

    def handler(broker: "Broker", context: RequestContext, request: Body) -> Any:
        return wait_forever()

    pending = dispatch_later(handler, cancel=True)
    pending.on_ready = lambda: called.append("ready")
    assert called == []


def test_before_it_is_opened_clients_are_sent_away_without_a_warning() -> None:
    dispatcher = Dispatcher(cast("Broker", SimpleNamespace()), ROUTES)
    with pytest.raises(CloseConnectionError, match="has not joined its cluster yet") as closing:
        dispatcher.dispatch_frame(make_connection(), frame_of(3, 9, {"topics": None}))
    assert closing.value.level == logging.DEBUG
