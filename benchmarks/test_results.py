"""Does a run keep what it measured, start new brokers where it must, and never wait for ever?"""

import threading
import time
from pathlib import Path

import pytest

from benchmarks import side_by_side
from benchmarks.harness import Samples, command_shown, time_limit
from benchmarks.peers import install
from benchmarks.peers.install import PeerUnavailableError, limit_preparing, run_quietly
from benchmarks.peers.peer import STOP_LIMIT_S, Peer, RunningPeer
from benchmarks.results import Results, load, markdown, save
from benchmarks.row import Figures, Row

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


def play(row: Row, peer: Peer, *, last_s: float = 60.0, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.setattr(side_by_side, "touch_memory", lambda size_bytes: None)
    monkeypatch.setitem(side_by_side.ROWS, "fake-row", row)
    results = Results()
    last = time.monotonic() + last_s
    turns = side_by_side.measure_row(
        "fake-row", [peer], results, runs=3, scale="smoke", end=last, last=last
    )
    assert turns == 0 or last_s > 0
    return results


def folder_name(peer: RunningPeer, turn: int, scale: str) -> Figures:
    return {peer.data.name: (turn, "turn", "more")}


def test_a_row_that_ends_brokers_gets_new_ones_for_every_turn(
    fake: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = play(Row(folder_name, ends_brokers=True), fake, monkeypatch=monkeypatch)
    assert list(found.table) == ["fake", "fake-1", "fake-2"]
    assert fake.settings == dict.fromkeys(found.table, "stopped")


def test_another_row_keeps_its_broker(fake: FakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    found = play(Row(folder_name), fake, monkeypatch=monkeypatch)
    assert found.table["fake"]["fake"].values == [0, 1, 2]
    assert fake.settings == {"fake": "stopped"}


def test_a_turn_that_hangs_is_given_up_and_says_where(
    fake: FakePeer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hang(peer: RunningPeer, turn: int, scale: str) -> Figures:
        threading.Event().wait()
        return {}

    assert not play(Row(hang), fake, last_s=0.3, monkeypatch=monkeypatch).table
    said = capsys.readouterr().err
    assert "fake-row, fake: over 0 s, in " in said
    assert "measure_row (side_by_side.py:" in said
    assert "hang (test_results.py:" in said
    assert fake.settings == {"fake": "stopped"}


def test_nothing_is_started_when_no_time_is_left(
    fake: FakePeer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(Row(folder_name), fake, last_s=-1, monkeypatch=monkeypatch)
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
