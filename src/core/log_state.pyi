from typing_extensions import Buffer

from .append_info import AppendInfo
from .batch_validator import BatchValidator
from .clock import Clock
from .leader_epoch_cache import LeaderEpochCache
from .log_config import LogConfig
from .log_segment import LogSegment
from .producer_state import ProducerStateManager

class LogState:
    log_start_offset: int
    log_end_offset: int
    high_watermark: int
    recovery_point: int
    active_segment: LogSegment
    segments: list[LogSegment]
    config: LogConfig
    _validator: BatchValidator
    _refusal: str | None
    _epochs: LeaderEpochCache
    _producers: ProducerStateManager
    _clock: Clock

    @property
    def last_stable_offset(self) -> int: ...
    @property
    def latest_epoch(self) -> int: ...
    def append_as_leader(
        self,
        records: Buffer,
        *,
        leader_epoch: int,
        origin: str = "client",
        produce_version: int = 99,
    ) -> AppendInfo: ...
    def append_as_follower(self, records: Buffer, /) -> None: ...
    def read_records(
        self,
        *,
        start_offset: int,
        max_bytes: int,
        upper_bound_offset: int,
        min_one_batch: bool = True,
        reader_compares: bool = False,
    ) -> memoryview: ...
    def slot_of(self, offset: int) -> int: ...
