from .leader_epoch_cache import LeaderEpochCache
from .log_config import LogConfig
from .log_segment import LogSegment

class LogState:
    log_start_offset: int
    log_end_offset: int
    high_watermark: int
    recovery_point: int
    active_segment: LogSegment
    config: LogConfig
    _refusal: str | None
    _epochs: LeaderEpochCache
