from typing_extensions import Buffer

from .append_info import AppendInfo
from .log_segment import LogSegment

def stored_info(records: Buffer, position: int) -> AppendInfo: ...
def store_run(
    segment: LogSegment, records: Buffer, position: int, now_ms: int
) -> tuple[int, list[tuple[int, AppendInfo]]]: ...
def make_room(segment: LogSegment, size_bytes: int) -> int: ...
