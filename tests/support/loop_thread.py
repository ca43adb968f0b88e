"""An event loop on its own thread, so that a test may use blocking sockets against it."""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
SWITCH_INTERVAL_S = 0.0002  # test and loop take turns all the time; the default is 5 ms
LOOP_FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop
}
try:
    import uvloop

    LOOP_FACTORIES["uvloop"] = uvloop.new_event_loop
except ImportError:
    pass


class LoopThread:
    """Runs a loop until the `with` block ends; `run` and `call` execute on it."""

    def __init__(self, kind: str = "asyncio") -> None:
        self.loop = LOOP_FACTORIES[kind]()
        self._switch_interval_s = sys.getswitchinterval()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def __enter__(self) -> Self:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        sys.setswitchinterval(self._switch_interval_s)

    def run(self, awaitable: Awaitable[T], *, timeout_s: float = 60.0) -> T:
        """The result of a coroutine, run on the loop."""

        async def wrapped() -> T:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(wrapped(), self.loop).result(timeout_s)

    def call(self, function: Callable[..., T], *arguments: Any, timeout_s: float = 60.0) -> T:
        """The result of a plain function, called on the loop."""

        async def wrapped() -> T:
            return function(*arguments)

        return self.run(wrapped(), timeout_s=timeout_s)
