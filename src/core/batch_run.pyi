from typing import NamedTuple

from typing_extensions import Buffer

from .append_info import AppendInfo
from .log_segment import LogSegment

class StoredRun(NamedTuple):
    end: int
    batch_count: int
    of_producers: list[tuple[int, AppendInfo]]

def stored_info(records: Buffer, position: int) -> AppendInfo: ...
def store_run(segment: LogSegment, records: Buffer, position: int, now_ms: int) -> StoredRun: ...
def make_room(segment: LogSegment, size_bytes: int) -> int: ...
