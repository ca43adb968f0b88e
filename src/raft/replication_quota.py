"""`ReplicationQuota`: how many bytes a second throttled replicas may take or bring (KIP-73).

Which replicas are throttled says their topic: `partition:broker` pairs, or `*`.  Only one that is
out of sync is held back, but what those in sync bring counts too, so that both together stay below
the rate.  As in Kafka the rate is an average: it is asked for before a read and not cut out of it,
so one answer may go over it and the next ones wait.

    rate  =  bytes of the last `window_num` windows / time since the oldest of them began
"""

from collections import deque
from functools import lru_cache

from ..core.clock import Clock
from ..core.config_def import LONG_MAX
from ..core.log_config import ALL_REPLICAS, LogConfig
from .replica import Replica

UNLIMITED = LONG_MAX


class ReplicationQuota:
    """The quota of one side of this broker: of what it leads, or of what it follows."""

    def __init__(
        self,
        *,
        broker_id: int,
        is_leaders: bool,
        clock: Clock,
        window_num: int = 11,
        window_ms: int = 1000,
    ) -> None:
        self.bytes_per_s = UNLIMITED
        self._broker_id = broker_id
        self._is_leaders = is_leaders
        self._clock = clock
        self._window_ms = window_ms
        self._span_ms = window_num * window_ms
        self._windows: deque[tuple[int, int]] = deque()  # (began at, bytes), the oldest first
        self._bytes = 0

    def holds_back(self, replica: Replica) -> bool:
        """Whether a copy that is out of sync has to wait."""
        return self.is_throttled(replica) and self.free_in_ms() > 0

    def is_throttled(self, replica: Replica) -> bool:
        """Whether its bytes count."""
        if self.bytes_per_s == UNLIMITED or replica.log is None:
            return False
        listed = self._listed(replica.log.config)
        return len(listed) > 0 and (
            listed == ALL_REPLICAS
            or replica.index in partitions_listed(listed, broker_id=self._broker_id)
        )

    def record(self, size_bytes: int) -> None:
        """Bytes of a throttled replica went by."""
        if size_bytes == 0:
            return
        now_ms = self._clock.monotonic_ms()
        self._drop_old(now_ms)
        if self._windows and now_ms - self._windows[-1][0] < self._window_ms:
            began_ms, present = self._windows.pop()
            self._windows.append((began_ms, present + size_bytes))
        else:
            self._windows.append((now_ms, size_bytes))
        self._bytes += size_bytes

    def free_in_ms(self) -> int:
        """How long until the rate is within the quota again; 0 if it is."""
        now_ms = self._clock.monotonic_ms()
        self._drop_old(now_ms)
        left_bytes = self._bytes
        oldest_since_ms = now_ms
        for began_ms, size_bytes in self._windows:
            # What is allowed by then is what was brought, if the oldest window still counts.
            free_ms = now_ms + self._span_ms
            if self.bytes_per_s:
                free_ms = began_ms + -(-left_bytes * 1000 // self.bytes_per_s)
            if free_ms <= began_ms + self._window_ms:  # within the quota from the beginning
                free_ms = oldest_since_ms
            if free_ms < began_ms + self._span_ms:
                return max(free_ms, oldest_since_ms) - now_ms
            oldest_since_ms = began_ms + self._span_ms
            left_bytes -= size_bytes
        return oldest_since_ms - now_ms

    def _listed(self, config: LogConfig) -> tuple[str, ...]:
        if self._is_leaders:
            return config.leader_replication_throttled_replicas
        return config.follower_replication_throttled_replicas

    def _drop_old(self, now_ms: int) -> None:
        while self._windows and now_ms - self._windows[0][0] >= self._span_ms:
            self._bytes -= self._windows.popleft()[1]


@lru_cache(maxsize=64)
def partitions_listed(listed: tuple[str, ...], *, broker_id: int) -> frozenset[int]:
    """The partitions whose copy on this broker `partition:broker` pairs name."""
    pairs = (pair.split(":") for pair in listed)
    return frozenset(int(partition) for partition, broker in pairs if int(broker) == broker_id)
