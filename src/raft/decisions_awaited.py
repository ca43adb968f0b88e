"""Who waits for the result of an entry that was decided elsewhere: it comes once applied here.

A key is (generation, entry_index).  Where the state jumped over the entry, the result is read off
the state.  Loop thread only.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from .cluster_commands import (
    AlterConfigs,
    Command,
    CreatePartitions,
    CreateTopic,
    DeleteTopic,
    FinishReassignment,
    ReassignPartitions,
    RegisterBroker,
)
from .cluster_state import ClusterState
from .errors import TopicExistsError, UnknownOutcomeError
from .runtime_contract import Schedule, Scheduled

MAX_REMEMBERED = 512
PATIENCE_MS = 5_000

Key = tuple[int, int]
OnDone = Callable[[Any], None]


class _Waiter:
    __slots__ = ("command", "tell", "timer")

    def __init__(self, command: Command, tell: OnDone) -> None:
        self.command = command
        self.tell = tell
        self.timer: Scheduled | None = None


class DecisionsAwaited:
    """See the module."""

    def __init__(self) -> None:
        self.schedule: Schedule | None = None
        self._results: dict[Key, Any] = {}
        self._waiting: dict[Key, _Waiter] = {}
        self._reached: Key = (-1, 0)
        self._jumped_state: ClusterState | None = None

    def add(self, key: Key, command: Command, tell: OnDone) -> None:
        """Call `tell(result)` once the entry is applied here: at once if it was."""
        if key in self._results:
            tell(self._results[key])
        elif key <= self._reached and self._jumped_state is not None:
            tell(_read_off(self._jumped_state, command))
        else:
            waiter = self._waiting[key] = _Waiter(command, tell)
            if self.schedule is not None:
                waiter.timer = self.schedule(PATIENCE_MS, partial(self._give_up, key))

    def decided(self, key: Key, result: Any) -> None:
        """The entry was applied here."""
        self._reached = key
        if self.schedule is None:
            return
        self._results[key] = result
        if len(self._results) > MAX_REMEMBERED:
            del self._results[next(iter(self._results))]
        waiter = self._waiting.pop(key, None)
        if waiter is not None:
            self._tell(waiter, result)

    def jumped(self, state: ClusterState, key: Key) -> None:
        """The state came whole, as it is behind the entry `key`."""
        self._reached = key
        self._jumped_state = state
        for passed in [each for each in self._waiting if each <= key]:
            waiter = self._waiting.pop(passed)
            self._tell(waiter, _read_off(state, waiter.command))

    def _give_up(self, key: Key) -> None:
        waiter = self._waiting.pop(key, None)
        if waiter is not None:
            waiter.tell(UnknownOutcomeError("it was decided, but this broker did not hear of it"))

    @staticmethod
    def _tell(waiter: _Waiter, result: Any) -> None:
        if waiter.timer is not None:
            waiter.timer.cancel()
        waiter.tell(result)


def _read_off(state: ClusterState, command: Command) -> Any:
    """The result of a command whose entry this broker never saw by itself."""
    match command:
        case CreateTopic(name, topic_id):
            topic = state.topic_by_id(topic_id)
            return topic or TopicExistsError(f"topic {name!r} exists already, or was deleted")
        case (
            CreatePartitions(topic_id)
            | ReassignPartitions(topic_id)
            | FinishReassignment(topic_id)
            | DeleteTopic(topic_id)
        ):
            return state.topic_by_id(topic_id)
        case RegisterBroker(broker_id):
            return state.brokers.get(broker_id)
        case AlterConfigs(_, _, sets):
            return sets
        case _:
            return UnknownOutcomeError("it was decided before this broker had the state")
