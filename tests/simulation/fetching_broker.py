"""How a simulated broker fetches: the real request, handler and answer, over imagined messages."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from headrace.api.handlers.context import RequestContext
from headrace.api.handlers.fetch import handle_fetch
from headrace.api.wire.codec import (
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)

FETCH, FETCH_VERSION = 1, 17


class FetchingBroker:
    """Sends follower fetches by `cluster.send`, and answers them as `server`."""

    cluster: Any
    server: Any
    broker_id: int

    def _send_fetch(self, leader_id: int, request: Any, on_answer: Callable[[Any], None]) -> None:
        data = encode_request(FETCH, FETCH_VERSION, request)
        lost = partial(on_answer, ConnectionError("the link is down"))
        self.cluster.send(
            self, leader_id, lambda leader: leader.answer_fetch(self, data, on_answer), lost
        )

    def answer_fetch(
        self, follower: "FetchingBroker", data: bytes, on_answer: Callable[[Any], None]
    ) -> None:
        request = decode_request(FETCH, FETCH_VERSION, data)
        request["max_wait_ms"] = 0  # nobody waits: the fetcher asks again
        context = RequestContext(api_key=FETCH, api_version=FETCH_VERSION)
        body = cast(dict[str, Any], handle_fetch(self.server, context, request))
        answer = encode_response(FETCH, FETCH_VERSION, body)

        def take(_: "FetchingBroker") -> None:
            on_answer(decode_response(FETCH, FETCH_VERSION, answer))

        lost = partial(on_answer, ConnectionError("the answer was lost"))
        self.cluster.send(self, follower.broker_id, take, None, back_to=(follower, lost))
