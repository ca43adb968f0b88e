"""Faults on demand: what an in-process broker answers wrong, late, or not at all.

Deterministic: each fault is spent by the next requests of its API, in the order they arrive, and
faults of one API in the order they were ordered.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..server.pending_answer import CloseConnectionError
from ..wire.api_keys import ApiKey
from ..wire.error_codes import ErrorCode
from .errors import InvalidArgumentError
from .fault_answers import ERROR_ANSWERS

if TYPE_CHECKING:
    from ..handlers.routes import Handler, Route

Body = dict[str, Any]
Answer = Body | Awaitable[Body | None] | None


@dataclass(slots=True)
class _Fault:
    """What happens to the next `times` requests that fit."""

    times: int
    topic: str | None
    answer: Callable[[Callable[[], Answer], Body], Answer]


class Faults:
    """The faults of one broker; made by `Broker`.  For any thread.

    APIs are named as Kafka does ("Produce", "FindCoordinator"), errors by their codes' names.
    `topic` limits a fault to requests that name this topic.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[ApiKey, deque[_Fault]] = {}

    def fail(self, api: str, error: str, *, times: int = 1, topic: str | None = None) -> None:
        """Answer the next `times` requests with this error code, and do nothing of what they ask.

        `fail("Produce", "NOT_LEADER_OR_FOLLOWER")`.  Raises ValueError for names that are none.
        """
        key, code = _api_named(api), _error_named(error)
        make_answer = ERROR_ANSWERS.get(key)
        if make_answer is None:
            known = ", ".join(sorted(_title(each) for each in ERROR_ANSWERS))
            raise InvalidArgumentError(
                "api", api, f"{api} cannot be made to fail; these can: {known}"
            )

        def answer(_handle: Callable[[], Answer], request: Body) -> Answer:
            return None if request.get("acks") == 0 else make_answer(request, code)

        self._order(key, _Fault(times, topic, answer))

    def delay(self, api: str, seconds: float, *, times: int = 1, topic: str | None = None) -> None:
        """Handle the next `times` requests only after `seconds`."""

        def answer(handle: Callable[[], Answer], _request: Body) -> Answer:
            async def late() -> Body | None:
                await asyncio.sleep(seconds)
                return await _result_of(handle())

            return late()

        self._order(_api_named(api), _Fault(times, topic, answer))

    def drop_before(self, api: str, *, times: int = 1, topic: str | None = None) -> None:
        """Close the connection instead of handling the next `times` requests."""

        def answer(_handle: Callable[[], Answer], _request: Body) -> Answer:
            raise CloseConnectionError(f"a fault was ordered: {api} is dropped before it is done")

        self._order(_api_named(api), _Fault(times, topic, answer))

    def drop_after(self, api: str, *, times: int = 1, topic: str | None = None) -> None:
        """Handle the next `times` requests, and close the connection instead of answering.

        After a Produce the records are there, and the client cannot know.
        """

        def answer(handle: Callable[[], Answer], _request: Body) -> Answer:
            async def unanswered() -> Body | None:
                await _result_of(handle())
                raise CloseConnectionError(f"a fault was ordered: {api} is done and not answered")

            return unanswered()

        self._order(_api_named(api), _Fault(times, topic, answer))

    def refuse_to_coordinate(self, *, times: int = 1) -> None:
        """Answer the next searches for a coordinator that there is none."""
        self.fail("FindCoordinator", "COORDINATOR_NOT_AVAILABLE", times=times)

    def clear(self) -> None:
        """Take back every fault that is not spent."""
        with self._lock:
            self._pending.clear()

    @property
    def unspent(self) -> int:
        """How many requests are still to be hit."""
        with self._lock:
            return sum(fault.times for faults in self._pending.values() for fault in faults)

    def wrap_routes(self, routes: "Mapping[int, Route]") -> "dict[int, Route]":
        """The same routes, each asking first whether a fault is due."""
        return {
            key: replace(route, handler=self._wrapped(ApiKey(key), route.handler))
            for key, route in routes.items()
        }

    def _order(self, key: ApiKey, fault: _Fault) -> None:
        if fault.times < 1:
            raise InvalidArgumentError("times", fault.times, "a fault happens at least once")
        with self._lock:
            self._pending.setdefault(key, deque()).append(fault)

    def _wrapped(self, key: ApiKey, handler: "Handler") -> "Handler":
        def handle(broker: Any, context: Any, request: Body) -> Answer:
            fault = self._take(key, request)
            if fault is None:
                return handler(broker, context, request)
            # The request's bytes are gone once this call returns, and a fault may come later.
            kept: Body = _detached(request)
            return fault.answer(lambda: handler(broker, context, kept), kept)

        return handle

    def _take(self, key: ApiKey, request: Body) -> _Fault | None:
        if not self._pending:
            return None
        with self._lock:
            faults = self._pending.get(key, ())
            for fault in faults:
                if fault.topic is None or fault.topic in _topics_of(request):
                    fault.times -= 1
                    if fault.times == 0:
                        self._pending[key].remove(fault)
                    return fault
        return None


async def _result_of(answer: Answer) -> Body | None:
    if answer is None or isinstance(answer, dict):
        return answer
    return await answer


def _detached(value: Any) -> Any:
    """The same request without a view of the frame it came in."""
    if isinstance(value, memoryview):
        return memoryview(bytes(value))
    if isinstance(value, dict):
        return {name: _detached(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_detached(each) for each in value]
    return value


def _topics_of(request: Body) -> set[str]:
    """The names of the topics that a request is about; by id alone, none."""
    topics = request.get("topic_data") or request.get("topics") or ()
    return {
        topic if isinstance(topic, str) else topic.get("name") or topic.get("topic") or ""
        for topic in topics
    }


def _api_named(api: str) -> ApiKey:
    for key in ApiKey:
        if _title(key).lower() == api.replace("_", "").lower():
            return key
    known = ", ".join(map(_title, ApiKey))
    raise InvalidArgumentError("api", api, f"there is no API {api!r}; there are {known}")


def _error_named(error: str) -> ErrorCode:
    if error not in ErrorCode.__members__:
        raise InvalidArgumentError(
            "error", error, f"there is no error code {error!r}; NOT_LEADER_OR_FOLLOWER is one"
        )
    return ErrorCode[error]


def _title(key: ApiKey) -> str:
    return key.name.title().replace("_", "")
