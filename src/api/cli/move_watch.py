"""`MoveWatch`: says how far a reassignment is until it is done, and where it cannot end, why.

On a terminal in one line that is redrawn, elsewhere in a line of its own now and then.  A throttle
below what producers write holds copies back for ever: no broker says so, the copies' sizes do.
"""

import select
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .admin_client import AdminClient, AdminError
from .broker_connection import BrokerUnreachableError
from .cluster_admin import Moving, Place, reassignments

LOOK_EVERY_S = 0.25
LINE_EVERY_S = 10.0
PACE_EVERY_S = 5.0
# One look may fall between a burst of writing and its copy; so many in a row do not.
LOOKS_BEHIND = 3
_BAR_CELLS = 20


class Copied(NamedTuple):
    """Bytes of the partitions that move: at whoever holds them, and yet to come to the new ones."""

    written: int
    missing: int


class MoveWatch:
    """See the module; `throttle`: bytes a second that each broker may send and take, if limited."""

    def __init__(
        self,
        client: AdminClient,
        places: Sequence[Place],
        *,
        is_silent: bool,
        throttle: int | None = None,
    ) -> None:
        self._client = client
        self._places = list(places)
        self._is_silent = is_silent
        self._is_drawn = sys.stderr.isatty() and not is_silent
        self._pace = None if throttle is None else Pace(throttle)
        self._line_at = self._pace_at = 0.0

    def wait(self) -> None:
        """Until none of the places moves any more."""
        started = time.monotonic()
        self._line_at, self._pace_at = started + LINE_EVERY_S, started
        while moving := self._moving():
            self._tell(moving, time.monotonic() - started)
            # A broker tells nobody when a move ends: it has to be asked.
            select.select([], [], [], LOOK_EVERY_S)
        if self._is_drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _moving(self) -> list[Moving]:
        """What is under way; brokers may die meanwhile, and others have to take over."""
        until = time.monotonic() + self._client.timeout_s
        while True:
            try:
                return reassignments(self._client, self._places)
            except (BrokerUnreachableError, AdminError):
                self._client.close()  # what was open to a broker that died is of no use
                if time.monotonic() >= until:
                    raise
            select.select([], [], [], LOOK_EVERY_S)

    def _tell(self, moving: Sequence[Moving], elapsed_s: float) -> None:
        now = time.monotonic()
        line = progress_line(len(self._places), moving, elapsed_s)
        if self._is_drawn:
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
        elif now >= self._line_at and not self._is_silent:
            self._line_at = now + LINE_EVERY_S
            print(line, file=sys.stderr, flush=True)
        if self._pace is not None and now >= self._pace_at:
            self._pace_at = now + PACE_EVERY_S
            warning = self._pace.note(copied(self._client, moving), now)
            if warning is not None:
                cleared = "\r\x1b[K" if self._is_drawn else ""
                print(f"{cleared}{warning}", file=sys.stderr, flush=True)


class Pace:
    """Whether copies under a throttle come nearer to what they copy; told once."""

    def __init__(self, throttle: int) -> None:
        self._throttle = throttle
        self._last: tuple[Copied, float] | None = None
        self._behind = 0
        self._is_told = False

    def note(self, seen: Copied, now: float) -> str | None:
        """What to tell once the copies have fallen behind for several looks in a row."""
        last, self._last = self._last, (seen, now)
        if last is None or now <= last[1]:
            return None
        before, then = last
        falls_behind = seen.missing > 0 and seen.missing >= before.missing
        self._behind = self._behind + 1 if falls_behind else 0
        if self._behind < LOOKS_BEHIND or self._is_told:
            return None
        self._is_told = True
        inflow = max(0, round((seen.written - before.written) / (now - then)))
        return (
            f"Warning: the copies do not catch up: {seen.missing} bytes are missing, not fewer "
            f"than {now - then:.0f} s ago. About {inflow} bytes a second come to the partitions "
            f"that move, and --throttle {self._throttle} has to be well above what each broker's "
            "copies of them take in, or the move never ends. Run the same with a higher --throttle "
            "beside this, or call it off with --cancel."
        )


def copied(client: AdminClient, moving: Iterable[Moving]) -> Copied:
    """How far those on the move are; who is down holds nothing, as far as can be told."""
    by_place = {(each.topic, each.partition): each for each in moving}
    sizes: dict[Place, dict[int, int]] = {place: {} for place in by_place}
    for broker in sorted({each for moves in by_place.values() for each in moves.replicas}):
        for log_dir in _log_dirs_of(client, broker):
            for topic in log_dir["topics"]:
                for part in topic["partitions"]:
                    held = sizes.get((topic["name"], part["partition_index"]))
                    if held is not None and not part["is_future_key"]:
                        held[broker] = part["partition_size"]
    written = missing = 0
    for place, held in sizes.items():
        largest = max(held.values(), default=0)
        written += largest
        missing += sum(largest - held.get(each, 0) for each in by_place[place].adding)
    return Copied(written, missing)


def _log_dirs_of(client: AdminClient, broker: int) -> list[dict[str, Any]]:
    try:
        return client.log_dirs(broker)
    except (BrokerUnreachableError, AdminError):
        return []  # it is down; the move goes on, or waits for it


def progress_line(total: int, moving: Sequence[Moving], elapsed_s: float) -> str:
    """`moving [####....] 3 of 12 partitions are there, 1.5 s; clicks-0 to broker 2`."""
    done = total - len(moving)
    filled = _BAR_CELLS * done // max(1, total)
    bar = "#" * filled + "." * (_BAR_CELLS - filled)
    first = moving[0]
    to = ",".join(str(broker) for broker in first.adding or first.target)
    return (
        f"moving [{bar}] {done} of {total} partitions are there, {elapsed_s:.1f} s; "
        f"{first.topic}-{first.partition} to {to}"
    )
