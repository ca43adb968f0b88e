"""One follower as its leader knows it: how far it has fetched, and since when it lags."""

UNKNOWN_OFFSET = -1
NEVER_MS = -(1 << 62)


class FollowerState:
    """`log_end_offset` is UNKNOWN_OFFSET until it fetches from this leader in this epoch.

    `given_offset`: from where it was given records last.  What it asks for again it may have
    refused, so this broker compares it then and says what is wrong with its log.
    """

    __slots__ = (
        "broker_id",
        "caught_up_ms",
        "fetched_ms",
        "given_offset",
        "incarnation",
        "leader_end_then",
        "log_end_offset",
        "log_start_offset",
    )

    def __init__(self, broker_id: int) -> None:
        self.broker_id = broker_id
        self.incarnation = -1
        self.log_end_offset = UNKNOWN_OFFSET
        self.log_start_offset = UNKNOWN_OFFSET
        self.caught_up_ms = NEVER_MS
        self.fetched_ms = NEVER_MS
        self.leader_end_then = UNKNOWN_OFFSET
        self.given_offset = UNKNOWN_OFFSET

    def note_fetch(
        self,
        incarnation: int,
        fetch_offset: int,
        log_start_offset: int,
        leader_end: int,
        now_ms: int,
    ) -> None:
        """It holds all before `fetch_offset` and asks for more.

        As in Kafka, who asks for what was the leader's end at its last fetch had all at that time.
        """
        if fetch_offset >= leader_end:
            self.caught_up_ms = now_ms
        elif 0 <= self.leader_end_then <= fetch_offset and self.fetched_ms > self.caught_up_ms:
            self.caught_up_ms = self.fetched_ms
        self.incarnation = incarnation
        self.log_end_offset = fetch_offset
        self.log_start_offset = log_start_offset
        self.leader_end_then = leader_end
        self.fetched_ms = now_ms

    def lags(self, *, leader_end: int, now_ms: int, max_lag_ms: int) -> bool:
        """Whether it has not had all for longer than `max_lag_ms`.

        A follower that waits for news does not say so again, so that it has all is noted here.
        """
        if self.log_end_offset >= leader_end:
            self.caught_up_ms = now_ms
        return now_ms - self.caught_up_ms > max_lag_ms
