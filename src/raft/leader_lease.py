"""Until when nobody can have taken this broker for dead, as far as it knows.

A broker that was stopped in its tracks does not know how long.  Requests wait in its sockets then,
and whoever follows may have elected another leader meanwhile.  So before a request is served it is
asked whether this broker overslept; if so, what it leads has to be proved first.

The Raft thread renews the lease when it has sent something to everybody who is up: they wait at
least as long as the lease lasts before they elect another.  One that is over is begun anew on the
loop thread only, so that no request comes before the doubt.  It may also run out because the Raft
thread waits for its disk, where all others may too: then requests were served all along, and go on
until a link tells otherwise.

"All along" is half the lease.  Others count from what was sent last before the stop, a ping's
interval before it at most, so who was stopped for nearly the whole lease may be replaced already.
"""


class LeaderLease:
    """See the module.  `lasts_s`: the silence after which the others elect."""

    def __init__(self, lasts_s: float) -> None:
        self._lasts_s = lasts_s
        self._looked_s = 0.0
        self._until_s = float("inf")  # nothing was sent to others yet

    def renew(self, now_s: float, sent_s: float) -> None:
        """Everybody who is up was sent something at `sent_s` or later.  Raft thread."""
        if now_s <= self._until_s:
            self._until_s = sent_s + self._lasts_s

    def has_overslept(self, now_s: float) -> bool:
        """Whether this broker did not run for so long that others may lead.  Loop thread."""
        slept_s, self._looked_s = now_s - self._looked_s, now_s
        if now_s <= self._until_s:
            return False
        self._until_s = now_s + self._lasts_s
        return slept_s > self._lasts_s / 2
