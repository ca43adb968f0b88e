"""Until when nobody can have taken this broker for dead, as far as it knows.

A broker that was stopped in its tracks does not know how long.  Requests wait in its sockets then,
and whoever follows may have elected another leader meanwhile.  So before a request is served it is
asked whether the lease is over; if so, what this broker leads has to be proved first.

The Raft thread renews the lease when it has sent something to everybody who is up: they wait at
least as long as the lease lasts before they elect another.  One that is over is begun anew on the
loop thread only, so that no request comes before the doubt.
"""


class LeaderLease:
    """See the module.  `lasts_s`: the silence after which the others elect."""

    def __init__(self, lasts_s: float) -> None:
        self._lasts_s = lasts_s
        self.until_s = float("inf")
        """Of the monotonic clock; without end until something is sent to others."""

    def renew(self, now_s: float, sent_s: float) -> None:
        """Everybody who is up was sent something at `sent_s` or later.  Raft thread."""
        if now_s <= self.until_s:
            self.until_s = sent_s + self._lasts_s

    def is_over(self, now_s: float) -> bool:
        return now_s > self.until_s

    def begin_anew(self, now_s: float) -> None:
        """What is led has to be proved from here on.  Loop thread."""
        self.until_s = now_s + self._lasts_s
