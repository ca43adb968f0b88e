from collections.abc import Sequence
from typing import Any, final

from typing_extensions import Buffer

@final
class BinaryColumn:
    def __init__(
        self,
        data: Buffer | Any,
        offsets: Buffer | Any,
        validity: Buffer | None = None,
        *,
        validity_start: int = 0,
    ) -> None: ...
    def __len__(self) -> int: ...

def encode_values(
    values: Sequence[Buffer | None],
    keys: Sequence[Buffer | None] | None = None,
    *,
    timestamp: int,
    timestamps: Buffer | Any | None = None,
    base_offset: int = 0,
    leader_epoch: int = -1,
    compression: str = "none",
) -> bytearray: ...
def encode_array(
    array: Buffer | Any,
    keys: Buffer | Any | None = None,
    *,
    timestamp: int,
    timestamps: Buffer | Any | None = None,
    base_offset: int = 0,
    leader_epoch: int = -1,
    compression: str = "none",
) -> bytearray: ...
def encode_columns(
    values: BinaryColumn,
    keys: BinaryColumn | None = None,
    *,
    timestamp: int,
    timestamps: Buffer | Any | None = None,
    base_offset: int = 0,
    leader_epoch: int = -1,
    compression: str = "none",
) -> bytearray: ...
