"""Watching a reassignment: lines now and then, and a word where its throttle keeps it for ever."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from headrace.api.cli import move_watch
from headrace.api.cli.broker_connection import BrokerUnreachableError
from headrace.api.cli.cluster_admin import Moving
from headrace.api.cli.move_watch import LOOKS_BEHIND, Copied, MoveWatch, Pace, copied

MOVING = Moving("clicks", 0, (0, 1), (1,), (0,))


def log_dirs(size_bytes: int, *, is_future: bool = False) -> list[dict[str, Any]]:
    part = {"partition_index": 0, "partition_size": size_bytes, "is_future_key": is_future}
    other = {"partition_index": 1, "partition_size": 7, "is_future_key": False}
    return [{"topics": [{"name": "clicks", "partitions": [part, other]}]}]


class Cluster:
    """Broker 0 has a partition of 500 bytes, broker 1 is to get it; each look takes a while."""

    timeout_s = 100.0

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *looks: object) -> None:
        self.now = 1000.0
        self.looks: Iterator[object] = iter(looks)
        self.closed = 0
        self.held: dict[int, Any] = {0: log_dirs(500), 1: log_dirs(100)}
        monkeypatch.setattr(move_watch, "reassignments", lambda *_: self.look())
        monkeypatch.setattr(move_watch.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(move_watch.select, "select", lambda *_: self.sleep(_[3]))

    def look(self) -> Any:
        found = next(self.looks)
        if isinstance(found, Exception):
            raise found
        return found

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 4.0)

    def close(self) -> None:
        self.closed += 1

    def log_dirs(self, broker: int) -> Any:
        return self.held[broker]

    def watch(self, *, is_silent: bool = False, throttle: int | None = None) -> None:
        client = cast(Any, self)
        places = [("clicks", 0), ("clicks", 1)]
        MoveWatch(client, places, is_silent=is_silent, throttle=throttle).wait()


def test_without_a_terminal_there_is_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Cluster(monkeypatch, *[[MOVING]] * 8, []).watch()
    said = capsys.readouterr().err.splitlines()
    assert [line.split(", ")[1].split(";")[0] for line in said] == ["12.0 s", "24.0 s"]
    Cluster(monkeypatch, *[[MOVING]] * 8, []).watch(is_silent=True)
    assert capsys.readouterr().err == ""


def test_a_throttle_that_holds_copies_back_for_ever_is_said_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Cluster(monkeypatch, *[[MOVING]] * 20, []).watch(throttle=1000)
    said = [line for line in capsys.readouterr().err.splitlines() if "Warning" in line]
    assert len(said) == 1
    assert "400 bytes are missing, not fewer than 8 s ago" in said[0]
    assert "--throttle 1000 has to be well above" in said[0]


def test_copies_that_come_nearer_are_no_reason_to_warn() -> None:
    pace = Pace(1000)
    steps = [Copied(1000 * n, 500 - n) for n in range(10)]
    assert [pace.note(seen, float(n)) for n, seen in enumerate(steps)] == [None] * 10
    behind = [Copied(9000 + 300 * n, 600 + n) for n in range(1, LOOKS_BEHIND + 1)]
    said = [pace.note(seen, 10.0 + n) for n, seen in enumerate(behind)]
    assert said[:-1] == [None] * (LOOKS_BEHIND - 1)
    assert said[-1] is not None
    assert "About 300 bytes a second" in said[-1]


def test_what_is_missing_is_told_by_the_sizes_of_the_copies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(monkeypatch)
    assert copied(cast(Any, cluster), [MOVING]) == Copied(500, 400)
    cluster.held[1] = log_dirs(300, is_future=True)  # on its way between log.dirs, not a copy yet
    assert copied(cast(Any, cluster), [MOVING]) == Copied(500, 500)


def test_a_broker_that_dies_ends_no_watch_of_a_move_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead = BrokerUnreachableError("127.0.0.1:1", "refused")
    cluster = Cluster(monkeypatch, [MOVING], dead, dead, [MOVING], [])
    cluster.watch()
    assert cluster.closed == 2
    for_good = Cluster(monkeypatch, *[dead] * 100)
    with pytest.raises(BrokerUnreachableError):
        for_good.watch()
