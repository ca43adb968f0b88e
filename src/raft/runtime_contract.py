"""What this floor's loop thread asks of the Raft thread; `RaftRuntime` is one, a fake too."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from .group_contract import GroupMachine

Applied = tuple[int, bytes | None, object, object]
"""(entry_index, payload, result, state); payload None is a state that came whole."""

OnApplied = Callable[[list[Applied]], None]
OnRole = Callable[[bool], None]


class Peer(Protocol):
    """A broker whose link is up, or this one."""

    @property
    def broker_id(self) -> int: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def session(self) -> int: ...
    @property
    def wal_id(self) -> int: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class Scheduled(Protocol):
    """A call that was scheduled."""

    def cancel(self) -> None: ...


Schedule = Callable[[int, Callable[[], None]], Scheduled]
"""(delay in ms, call)"""


class Runtime(Protocol):
    """See `RaftRuntime`; its callbacks come on the loop thread, in order."""

    on_seed: Callable[[str, int, tuple[int, ...], bytes], None] | None
    on_peers_changed: list[Callable[[Mapping[int, Any]], None]]

    @property
    def session(self) -> int:
        """This life of the process: no other life of any broker has the same."""
        ...

    def open_group(
        self,
        group_id: str,
        *,
        voters: tuple[int, ...],
        machine_factory: Callable[[], GroupMachine],
        first_state: bytes | None,
        campaign: bool,
        on_applied: OnApplied,
        on_role: OnRole | None = None,
    ) -> None: ...

    def close_group(self, group_id: str, *, forget: bool) -> None: ...

    def propose(
        self,
        group_id: str,
        payload: bytes,
        on_done: Callable[[object], None],
        *,
        timeout_ms: int = ...,
    ) -> None: ...

    def send_seed(
        self,
        base_id: str,
        generation: int,
        voters: tuple[int, ...],
        old_voters: tuple[int, ...],
        seed: bytes,
    ) -> None: ...

    def ack_seed(self, base_id: str, generation: int) -> None: ...
    def drop_seeds(self, base_ids: Iterable[str]) -> None: ...
    def live_brokers(self) -> Mapping[int, Any]: ...
    def failing_brokers(self) -> frozenset[int]: ...
    def send(self, broker_id: int, channel: str, body: bytes) -> bool: ...
    def on_message(self, channel: str, callback: Callable[[int, bytes], None]) -> None: ...
    def transfer_group(self, group_id: str, to_id: int) -> None: ...
