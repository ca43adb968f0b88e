from collections.abc import Sequence
from typing import final

from typing_extensions import Buffer

@final
class BatchBuilder:
    def __init__(
        self,
        *,
        compression: str = "none",
        compression_level: int | None = None,
        base_offset: int = 0,
        leader_epoch: int = -1,
        producer_id: int = -1,
        producer_epoch: int = -1,
        base_sequence: int = -1,
        is_transactional: bool = False,
        is_control: bool = False,
        timestamp_type: str = "CreateTime",
        delete_horizon_ms: int | None = None,
    ) -> None: ...
    @property
    def record_count(self) -> int: ...
    @property
    def last_offset_delta(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    def append_record(
        self,
        *,
        timestamp: int,
        key: Buffer | None,
        value: Buffer | None,
        headers: Sequence[tuple[str, Buffer | None]] = (),
        offset_delta: int | None = None,
    ) -> None: ...
    def build(self, *, last_offset_delta: int | None = None) -> bytearray: ...
