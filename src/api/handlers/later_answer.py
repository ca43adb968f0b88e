"""An answer that comes by a call, for what waits often: a future would cost one more turn."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any

Body = dict[str, Any]


class LaterAnswer:
    """The promise of a body.  Who was promised it sets `on_body` before the loop turns on.

    `on_body` is called from the loop and, where `is_given_within` is false, inside no other call of
    ours: it may send the answer and handle the connection's next requests.  To await the promise
    works too, and costs a future.
    """

    on_body: Callable[[Body | None], None] | None = None
    is_given_within = False

    def give(self, body: Body | None) -> None:
        """Keep the promise; dropped where that was done or nobody wants it any more."""
        on_body, self.on_body = self.on_body, None
        if on_body is not None:
            on_body(body)

    def give_within(self, body: Body | None) -> None:
        """As `give`, from within another call: it is sent once that is done, and together with what
        that gives to others on the same connection."""
        self.is_given_within = True
        self.give(body)

    def cancel(self) -> None:
        """Nobody wants the body any more; harmless after it was given."""
        self.on_body = None
        self.stop_waiting()

    def stop_waiting(self) -> None:
        """Give up every timer and waiter."""
        raise NotImplementedError

    def __await__(self) -> Generator[Any, None, Body | None]:
        future: asyncio.Future[Body | None] = asyncio.get_running_loop().create_future()

        def settle(body: Body | None) -> None:
            if not future.done():  # else who awaits it was cancelled
                future.set_result(body)

        self.on_body = settle
        try:
            return (yield from future.__await__())
        finally:
            self.cancel()
