from typing import final

@final
class HeaderColumns:
    @property
    def pair_count(self) -> int: ...
    @property
    def null_count(self) -> int: ...
