from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any, Generic, TypeVar

from typing_extensions import Buffer

from .append_bell import AppendBell
from .clock import Clock
from .partitioner import Partitioner

P = TypeVar("P", bound=RecordAppender)

class StoreGate:
    def __init__(self, lock: RLock) -> None: ...
    @property
    def lock(self) -> RLock: ...
    is_closed: bool
    watch_count: int
    def settle(self) -> None: ...

class RecordAppender:
    def __init__(
        self,
        stored: Any,
        *,
        clock: Clock,
        gate: StoreGate | None,
        bell: AppendBell | None,
        is_synced: bool,
    ) -> None: ...
    @property
    def stored(self) -> Any: ...
    def append(
        self,
        value: Buffer | None,
        *,
        key: Buffer | None = None,
        headers: Mapping[str, Buffer | None] | Sequence[tuple[str, Buffer | None]] | None = None,
        timestamp: int | None = None,
        durability: str | None = None,
    ) -> int: ...
    def _append_at_length(
        self,
        value: Buffer | None,
        key: Buffer | None,
        headers: Mapping[str, Buffer | None] | Sequence[tuple[str, Buffer | None]] | None,
        timestamp: int | None,
        durability: str | None,
    ) -> int: ...

class TopicAppender(Generic[P]):
    def __init__(self, partitions: tuple[P, ...], partitioner: Partitioner) -> None: ...
    @property
    def partitions(self) -> tuple[P, ...]: ...
    @property
    def partitioner(self) -> Partitioner: ...
    def append(
        self,
        value: Buffer | None,
        *,
        key: Buffer | None = None,
        headers: Mapping[str, Buffer | None] | Sequence[tuple[str, Buffer | None]] | None = None,
        timestamp: int | None = None,
        partition: int | None = None,
        durability: str | None = None,
    ) -> int: ...
