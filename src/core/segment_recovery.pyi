from collections.abc import Callable
from typing import final

from .append_info import AppendInfo
from .log_segment import LogSegment

WHOLE: str
RESERVED: str
TORN: str
DAMAGED: str
LOST_PAGES: str
CORRUPT: str

@final
class SegmentScan:
    """How far a segment is whole; see segment_recovery.pyx."""

    @property
    def valid_bytes(self) -> int: ...
    @property
    def next_offset(self) -> int: ...
    @property
    def cut_bytes(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def intact_position(self) -> int: ...

def recover_segment(
    segment: LogSegment,
    *,
    allows_gaps: bool,
    on_batch: Callable[[AppendInfo, LogSegment, int], None],
) -> SegmentScan: ...
def replay_segment(
    segment: LogSegment,
    start_offset: int,
    on_batch: Callable[[AppendInfo, LogSegment, int], None],
) -> None: ...
