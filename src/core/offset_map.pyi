from typing import NamedTuple, final

from typing_extensions import Buffer

from .record_batch import RecordBatch

SLOT_BYTES: int

@final
class OffsetMap:
    latest_offset: int
    def __init__(self, *, max_entries: int, memory_bytes: int, secret: bytes) -> None: ...
    @property
    def entry_count(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    def put_offset(self, key: bytes, offset: int) -> None: ...
    def get_offset(self, key: bytes) -> int: ...
    def has_room_for(self, record_count: int) -> bool: ...
    def put_batch(self, batch: RecordBatch, start_offset: int) -> None: ...

class BatchVerdict(NamedTuple):
    retained: bytes
    retained_count: int
    has_tombstones: bool

def judge_batch(
    offset_map: OffsetMap, batch: RecordBatch, keeps_tombstones: bool
) -> BatchVerdict: ...
def siphash128(data: Buffer, secret: bytes) -> bytes: ...
