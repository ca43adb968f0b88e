"""`GroupSettings`: the broker settings of group membership and committed offsets."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from ..broker_config import BrokerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """Kafka's names with `.` as `_`, Kafka's defaults; times in milliseconds unless named."""

    group_min_session_timeout_ms: int = 6_000
    group_max_session_timeout_ms: int = 1_800_000
    group_max_size: int = 2_147_483_647
    group_initial_rebalance_delay_ms: int = 3_000
    offset_metadata_max_bytes: int = 4_096
    offsets_retention_minutes: int = 10_080
    offsets_commit_timeout_ms: int = 5_000
    # How long a joining member without a session may wait for its group; Kafka fixes it too.
    new_member_join_timeout_ms: int = 300_000

    @classmethod
    def of_config(cls, config: "BrokerConfig") -> Self:
        """What a broker is told to do."""
        return cls(
            group_min_session_timeout_ms=config.group_min_session_timeout_ms,
            group_max_session_timeout_ms=config.group_max_session_timeout_ms,
            group_max_size=config.group_max_size,
            group_initial_rebalance_delay_ms=config.group_initial_rebalance_delay_ms,
            offsets_retention_minutes=config.offsets_retention_minutes,
            offset_metadata_max_bytes=config.offset_metadata_max_bytes,
            offsets_commit_timeout_ms=config.offsets_commit_timeout_ms,
        )
