"""What loops of simulated brokers send each other and call later, each of one of their lives."""

from collections.abc import Callable
from typing import Any


class Timer:
    """A call of one life of a broker."""

    def __init__(self, broker: Any, call: Callable[[], None]) -> None:
        self.broker, self._session, self._call = broker, broker.session, call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True

    def fire(self) -> None:
        broker = self.broker
        if broker.is_running and broker.session == self._session and not self.is_cancelled:
            self._call()


class Message:
    """On its way; what to do at its end, and what its sender does where it is lost."""

    def __init__(
        self, asker: Any, deliver: Callable[[Any], None], lost: Callable[[], None] | None
    ) -> None:
        self._asker, self._session = asker, asker.session
        self.deliver = deliver
        self._lost = lost

    @property
    def is_wanted(self) -> bool:
        """Whether the life of the broker that asked goes on."""
        return bool(self._asker.is_running) and self._asker.session == self._session

    def lose(self) -> None:
        if self._lost is not None and self.is_wanted:
            self._asker.cluster.schedule(0, self._asker, self._lost)


def message_of(
    sender: Any,
    deliver: Callable[[Any], None],
    lost: Callable[[], None] | None,
    back_to: tuple[Any, Callable[[], None]] | None,
) -> Message:
    """A message of `sender`; an answer (`back_to`) is lost for who asked."""
    if back_to is None:
        return Message(sender, deliver, lost)
    asker, lost_for_asker = back_to
    session = asker.session

    def deliver_to_this_life(broker: Any) -> None:
        if broker.session == session:
            deliver(broker)

    return Message(asker, deliver_to_this_life, lost_for_asker)
