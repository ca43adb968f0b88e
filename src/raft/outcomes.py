"""`settle`: an outcome that this package tells by a call, for who awaits it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


def settle(future: "asyncio.Future[Any]", outcome: Any) -> None:
    """Give the future its result, unless who awaited it is gone, as when its connection closed."""
    if not future.done():
        future.set_result(outcome)
