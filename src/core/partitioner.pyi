from typing_extensions import Buffer

STICKY_BYTES: int

class Partitioner:
    def __init__(self, partition_count: int, first_partition: int) -> None: ...
    def partition_of(self, key: Buffer | None, size_bytes: int) -> int: ...
