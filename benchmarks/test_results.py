"""Does a run keep what it measured, start new brokers where it must, and never wait for ever?"""

import errno
import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import curves, side_by_side
from benchmarks import turns as turns_module
from benchmarks.curve_points import CURVES, Curve, Points
from benchmarks.ground import Ground
from benchmarks.harness import Samples, command_shown, keep_json, run_loads, time_limit
from benchmarks.peers import install
from benchmarks.peers.install import ROOT, PeerUnavailableError, limit_preparing, run_quietly
from benchmarks.peers.peer import STOP_LIMIT_S, Peer, RunningPeer
from benchmarks.results import Results, load, markdown, save
from benchmarks.row import Figures, Row
from benchmarks.turns import Turns, measure_row

RATE = Samples("msg/s", "more")
TEN_MINUTES_S = 600


class FakeBroker(RunningPeer):
    """A broker without a process."""

    def stop(self, how: int = 15) -> float:
        self.peer.settings[self.data.name] = "stopped"
        return 0.0


class FakePeer(Peer):
    """Remembers in its settings which folders it was started on."""

    def start(self, data: Path) -> RunningPeer:
        self.settings[data.name] = "started"
        return FakeBroker(self, 0, data, [])


@pytest.fixture
def fake() -> FakePeer:
    return FakePeer("fake", "1", lambda: None, lambda port, data, settings: [])


@dataclass
class Played:
    results: Results
    turns: Turns
    taken: int


def play(row: Row, *peers: Peer, last_s: float = 60.0, monkeypatch: pytest.MonkeyPatch) -> Played:
    monkeypatch.setattr(turns_module, "touch_memory", lambda size_bytes: None)
    monkeypatch.setitem(turns_module.ROOM_BYTES, "smoke", 0)
    results, last = Results(), time.monotonic() + last_s
    turns = Turns(3, "smoke", last)
    taken = measure_row("fake-row", row, list(peers), results, turns, end=last)
    turns.ground.clear()
    return Played(results, turns, taken)


def folder_name(peer: RunningPeer, turn: int, scale: str) -> Figures:
    return {peer.data.name: (turn, "turn", "more")}


def test_a_row_that_ends_brokers_gets_new_ones_for_every_turn(
    fake: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = play(Row(folder_name, 1, ends_brokers=True), fake, monkeypatch=monkeypatch).results
    assert list(found.table) == ["fake", "fake-1", "fake-2"]
    assert fake.settings == dict.fromkeys(found.table, "stopped")


def test_nothing_is_deleted_between_turns_and_everything_at_the_end(
    fake: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inodes deleted a moment ago make new ones slow: see ground.py."""
    written: list[Path] = []

    def write(peer: RunningPeer, turn: int, scale: str) -> Figures:
        assert [path.stat().st_size for path in written] == [0] * turn
        written.append(peer.data / "topic-0" / "log")
        written[-1].parent.mkdir()
        written[-1].write_bytes(b"records")
        return {"rate": (turn, "msg/s", "more")}

    cleared = False

    def clear(ground: Ground) -> None:
        nonlocal cleared
        assert [path.stat().st_size for path in written] == [0, 0, 0]
        really_clear(ground)
        cleared = True

    really_clear = Ground.clear
    monkeypatch.setattr(Ground, "clear", clear)
    play(Row(write, 1, ends_brokers=True), fake, monkeypatch=monkeypatch)
    assert cleared
    assert not any(path.parent.parent.parent.exists() for path in written)


def test_another_row_keeps_its_broker(fake: FakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    found = play(Row(folder_name, 1), fake, monkeypatch=monkeypatch).results
    assert found.table["fake"]["fake"].values == [0, 1, 2]
    assert fake.settings == {"fake": "stopped"}


def test_a_turn_that_hangs_is_given_up_and_says_where(
    fake: FakePeer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hang(peer: RunningPeer, turn: int, scale: str) -> Figures:
        threading.Event().wait()
        return {}

    assert not play(Row(hang, 1), fake, last_s=0.3, monkeypatch=monkeypatch).results.table
    said = capsys.readouterr().err
    assert "fake-row, fake: over 0 s, in " in said
    assert "measure_row (turns.py:" in said
    assert "hang (test_results.py:" in said
    assert fake.settings == {"fake": "stopped"}


def test_a_target_that_fails_in_any_way_is_left_out_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also in the middle of a row: what it measured before stays."""
    kept: list[int] = []

    def measure(peer: RunningPeer, turn: int, scale: str) -> Figures:
        kept.append(turn)
        if peer.name == "dying" and turn == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return {"rate": (turn, "msg/s", "more")}

    dying, other = (
        FakePeer(name, "1", lambda: None, lambda port, data, settings: [])
        for name in ("dying", "other")
    )
    found = play(Row(measure, 1), dying, other, monkeypatch=monkeypatch)
    assert found.results.table["rate"]["dying"].values == [0]
    assert found.results.table["rate"]["other"].values == [0, 1, 2]
    assert dying.settings == {"dying": "stopped"}
    why = found.turns.left_out["fake-row, dying"]
    assert "No space left on device, in measure (test_results.py:" in why


def test_a_disk_that_is_short_costs_the_brokers_their_old_data_and_then_the_row(
    fake: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([9, 9, 1, 9, 1, 1])
    usage = SimpleNamespace
    monkeypatch.setattr(
        "benchmarks.turns.shutil.disk_usage", lambda folder: usage(free=next(free) << 30)
    )
    monkeypatch.setattr(turns_module, "touch_memory", lambda size_bytes: None)
    results, turns = Results(), Turns(3, "smoke")
    monkeypatch.setitem(turns_module.ROOM_BYTES, "smoke", 2 << 30)
    measure_row("fake-row", Row(folder_name, 1), [fake], results, turns, end=float("inf"))
    turns.ground.clear()
    assert list(results.table) == ["fake", "fake-1"]
    assert "GiB left" in turns.left_out["fake-row, fake"]
    assert set(fake.settings.values()) == {"stopped"}


def test_a_run_that_is_told_to_stop_keeps_and_prints_what_it_had(tmp_path: Path) -> None:
    kept = tmp_path / "out.json"
    command = [sys.executable, "benchmarks/side_by_side.py", "--smoke", "--no-install"]
    options = ("--runs", "100000", "--peers", "sqlite3")
    run = subprocess.Popen(
        [*command, *options, "--table", "embedded", "--json", str(kept)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stderr is not None
    while "disk for a byte" not in (line := run.stderr.readline()):
        assert line, "it ended by itself"
    run.send_signal(signal.SIGTERM)
    said, complaint = run.communicate(timeout=60)
    assert run.returncode == 143, complaint
    assert "| disk for a byte appended |" in said
    assert "ended early: SystemExit(143)" in said
    content = json.loads(kept.read_text())
    assert content["samples"]["read back as a list of bytes"]["sqlite3"]


def test_how_long_it_will_take_counts_targets_turns_and_starts() -> None:
    turns = Turns(3, "full")
    row = Row(folder_name, 10)
    assert side_by_side.expected_s(row, 2, turns) == 2 * (5 + 30)
    assert side_by_side.expected_s(replace(row, ends_brokers=True), 1, turns) == 3 * 5 + 30
    assert side_by_side.expected_s(row, 0, turns) == 0


def test_a_load_that_hangs_is_ended() -> None:
    with pytest.raises(PeerUnavailableError, match=r"a load took over 0\.2 s"):
        run_loads([["sleep", 60]], limit_s=0.2)


def test_a_point_of_a_curve_that_fails_costs_only_what_would_follow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = tmp_path / "out.json"

    def point(folder: Path, work: int, scale: str) -> Points:
        if work > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return {"cost [us]": 1.0}

    curve = Curve("does it?", "work", {"smoke": (1, 10, 100, 1000)}, on_folder=point)
    monkeypatch.setitem(CURVES, "segments", curve)
    monkeypatch.setattr(
        "sys.argv", ["curves.py", "--smoke", "--curves", "segments", "--json", str(kept)]
    )
    monkeypatch.setattr(curves, "stop_on_sigterm", lambda: None)
    assert curves.main() == 0
    content = json.loads(kept.read_text())
    assert list(content["curves"]["segments"]["headrace"]) == ["1", "10"]
    assert "No space left" in content["left out"]["segments, headrace at 100"]


def test_a_disk_that_is_full_leaves_the_last_results_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.json"
    keep_json(path, {"a": 1})
    (tmp_path / "out.json.part").mkdir()
    keep_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert "was not written" in capsys.readouterr().err


def test_nothing_is_started_when_no_time_is_left(
    fake: FakePeer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert play(Row(folder_name, 1), fake, last_s=-1, monkeypatch=monkeypatch).taken == 0
    assert not fake.settings
    assert "no time was left" in capsys.readouterr().err


def test_a_limit_that_was_kept_rings_no_more() -> None:
    with time_limit(0.05, "this"):
        pass
    assert not threading.Event().wait(0.1)


def test_a_step_of_preparing_is_given_up_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "_end", install._end)
    limit_preparing(0.1)
    with pytest.raises(PeerUnavailableError, match="sleep 60: not done within 0 s"):
        run_quietly(["sleep", "60"], tmp_path, "no sleep")


def test_a_quick_run_ends_within_ten_minutes_whatever_hangs() -> None:
    """Nothing is measured after QUICK_END_S; then each broker of the last row has to stop.

    Five of one broker or two clusters, whose three processes get the same signal at once.
    """
    assert side_by_side.QUICK_PREPARED_S < side_by_side.QUICK_BUDGET_S < side_by_side.QUICK_END_S
    clusters = [name for name in side_by_side.PEERS if name.endswith("-3")]
    assert side_by_side.QUICK_END_S + len(clusters) * STOP_LIMIT_S < TEN_MINUTES_S


def test_a_command_is_shown_without_where_its_results_go(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--quick", "--json", "x.json", "--rows", "small", "--plot", "x.svg"]
    monkeypatch.setattr("sys.argv", ["side_by_side.py", *words])
    assert command_shown("side_by_side") == (
        "python -m benchmarks.side_by_side --quick --rows small"
    )


def one_run(**values: float) -> Results:
    results = Results()
    for column, value in values.items():
        results.add("produce", "produce 100 B", column, value, RATE)
    results.add("small", "small request", "headrace", 5.0, Samples("CPU-us", "less"))
    return results


def test_files_of_several_runs_become_one_table(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    heading = {"commit": "1", "sizes": "quick", "took": "9 s"}
    save(paths[0], heading, one_run(headrace=4e6, kafka=1e6))
    save(paths[1], heading | {"took": "8 s"}, one_run(headrace=2e6, nats=1e5))
    headings, results = load(paths)
    assert results.columns == ["headrace", "kafka", "nats"]
    assert results.table["produce 100 B"]["headrace"].values == [4e6, 2e6]
    said = markdown(headings, results.table, results.columns)
    line = "| produce 100 B | msg/s, more is better | 3M (2M..4M) | 1M | 100k | 3.00x | 30.00x |"
    assert line in said
    assert said.count("commit: 1") == 1
    assert "took: 9 s" in said
    assert "took: 8 s" in said
    few = results.of_rows(["small"])
    assert list(few.table) == ["small request"]
    assert few.columns == ["headrace"]


def test_files_of_different_sizes_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, sizes in zip(paths, ("quick", "full"), strict=True):
        save(path, {"sizes": sizes}, one_run(headrace=1.0))
    with pytest.raises(SystemExit, match=r"b\.json has full sizes, .*a\.json quick"):
        load(paths)


def test_a_file_of_something_else_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    with pytest.raises(SystemExit, match="no result of side_by_side"):
        load([path])
