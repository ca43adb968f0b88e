"""Targets take turns within a row: started, measured, left out where they fail, and stopped.

Whatever goes wrong with a target costs that target this row and nothing else: it is written down
why, and the others go on.  What was measured is kept after every turn of a target.
"""

import contextlib
import math
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .ground import Ground, empty
from .harness import Samples, time_limit
from .peers.install import ROOT, PeerUnavailableError
from .peers.peer import Peer, RunningPeer
from .resident_memory import TOUCH_BYTES, touch_memory
from .results import Results
from .row import Row

TOUCHED = {"smoke": TOUCH_BYTES >> 4, "quick": TOUCH_BYTES >> 2, "full": TOUCH_BYTES}
# A turn of one target that takes longer hangs.
TURN_LIMIT_S = {"smoke": 120.0, "quick": 240.0, "full": 480.0}
# What a turn writes at most, and all that the targets have written before stays where it is.
ROOM_BYTES = {"smoke": 1 << 30, "quick": 4 << 30, "full": 12 << 30}


@dataclass
class Turns:
    """How often each target measures a row, until when, and who had to be left out why.

    Nothing is begun after `last`, and what runs then is given up.
    """

    runs: int
    scale: str
    last: float = math.inf
    keep: Callable[[], None] = lambda: None
    # "row, target" -> why
    left_out: dict[str, str] = field(default_factory=dict)
    ground: Ground = field(default_factory=Ground)

    @contextlib.contextmanager
    def limited(self, row: str, name: str) -> Iterator[None]:
        """Ends the block in time; where it fails, says why and goes on behind it."""
        what = f"{row}, {name}"
        try:
            with time_limit(min(TURN_LIMIT_S[self.scale], self.last - time.monotonic()), what):
                yield
        except PeerUnavailableError as error:
            self._note(what, str(error))
        except Exception as error:  # a broker may fail in any way: the run goes on without it
            self._note(what, f"{type(error).__name__}: {error}, in {_place(error)}")

    def _note(self, what: str, why: str) -> None:
        self.left_out[what] = why
        print(f"{what} left out: {why}", file=sys.stderr)


def _place(error: Exception) -> str:
    """The innermost line of the benchmarks that the failure came through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if ROOT / "benchmarks" in Path(frame.filename).parents:
            return f"{frame.name} ({Path(frame.filename).name}:{frame.lineno})"
    return "no line of the benchmarks"


def measure_row(
    name: str, row: Row, peers: list[Peer], results: Results, turns: Turns, *, end: float
) -> int:
    """Starts every peer, takes turns until `end`, stops them; how many turns were taken.

    A peer that fails is left out of this row.  The first turn is taken after `end` too.
    """
    if time.monotonic() >= turns.last:
        turns.left_out[name] = "no time was left for it"
        print(f"{name}: left out, no time was left for it", file=sys.stderr)
        return 0
    folder = turns.ground.fresh()
    running: dict[str, RunningPeer] = {}
    try:
        for peer in peers:
            with turns.limited(name, peer.name):
                running[peer.name] = _started(peer, folder / peer.name)
        taken = 0
        while taken < turns.runs and running and (taken == 0 or time.monotonic() < end):
            for peer_name in list(running):
                failed = True
                with turns.limited(name, peer_name):
                    _make_room(running, peer_name, row, taken, turns.scale)
                    _take_turn(name, row, running[peer_name], results, taken, turns.scale)
                    failed = False
                if failed:
                    running.pop(peer_name).stop()
                turns.keep()
            taken += 1
        return taken
    finally:
        for broker in running.values():
            broker.stop()
        empty(folder)


def _take_turn(
    name: str, row: Row, peer: RunningPeer, results: Results, turn: int, scale: str
) -> None:
    touch_memory(TOUCHED[scale])
    for figure, (value, unit, better) in row.measure(peer, turn, scale).items():
        results.add(name, figure, peer.peer.column, value, Samples(unit, better))
        print(f"  {figure}  {peer.name}  {value:.4g} {unit}", file=sys.stderr)


def _make_room(running: dict[str, RunningPeer], name: str, row: Row, turn: int, scale: str) -> None:
    """A new broker on an empty folder where the row wants one, or the disk is short."""
    folder = running[name].data.parent
    is_short = shutil.disk_usage(folder).free < ROOM_BYTES[scale]
    if turn and (row.ends_brokers or (is_short and not row.needs_first_turn)):
        running[name].stop()
        empty(running[name].data)
        running[name] = _started(running[name].peer, folder / f"{name}-{turn}")
    free = shutil.disk_usage(folder).free
    if free < ROOM_BYTES[scale]:
        wanted, there = ROOM_BYTES[scale] >> 30, free / (1 << 30)
        raise PeerUnavailableError(f"{folder} has {there:.1f} GiB left, a turn may want {wanted}")


def _started(peer: Peer, data: Path) -> RunningPeer:
    data.mkdir()
    return peer.start(data)
