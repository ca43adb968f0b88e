"""Does the control of a load stand around it, and is it shown for every turn?"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import plain_writes
from benchmarks.harness import Samples
from benchmarks.peers.peer import RunningPeer
from benchmarks.plain_writes import MOST_BYTES, STEP_BYTES, plain_write_cost, run_controlled
from benchmarks.results import AROUND, Results, load, markdown, save, shares_of

COST = Samples("CPU-s/GB", "less")


def test_a_plain_write_costs_something_and_leaves_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "plain-writes"
    for size_bytes in (0, 3 * STEP_BYTES):
        assert plain_write_cost(path, size_bytes) > 0
        assert path.stat().st_size == 0


@pytest.mark.parametrize("plain", [(0.25, 2.5), (2.5, 0.25)])
def test_the_dearer_of_the_writes_before_and_behind_a_load_is_kept(
    plain: tuple[float, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    clock, costs = iter([1.0, 4.0]), iter(plain)

    def say(what: str, answer: Any) -> Any:
        done.append(what)
        return answer

    peer = SimpleNamespace(data=tmp_path / "data", cpu_s=lambda: say("clock", next(clock)))
    monkeypatch.setattr(plain_writes, "touch_for", lambda size: say(f"touch {size}", None))
    monkeypatch.setattr(
        plain_writes, "plain_write_cost", lambda path, size: say(f"plain {size}", next(costs))
    )
    answers = [{"bytes": 10**9, "messages": 50, "seconds": 2.0}] * 2
    monkeypatch.setattr(plain_writes, "run_loads", lambda commands: say("load", answers))
    run = run_controlled(cast(RunningPeer, peer), [["a"], ["b"]], written_bytes=10**9)
    control = f"plain {MOST_BYTES}"
    assert done == ["touch 1000000000", control, "clock", "load", "clock", control]
    assert run.messages_per_s == (50.0, "msg/s", "more")
    assert run.gb_per_s == (1.0, "GB/s", "more")
    assert run.costs("x") == {
        "x": (1.5, "CPU-s/GB", "less"),
        f"x{AROUND}": (2.5, "CPU-s/GB", "less"),
    }


def test_who_writes_nothing_gets_no_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = SimpleNamespace(data=tmp_path / "data", cpu_s=lambda: 1.0)
    monkeypatch.setattr(plain_writes, "touch_for", lambda size: None)
    monkeypatch.setattr(plain_writes, "run_loads", lambda commands: [{"bytes": 1}])
    run = run_controlled(cast(RunningPeer, peer), [["a"]], written_bytes=0)
    assert list(run.costs("x")) == ["x"]


def with_control() -> Results:
    results = Results()
    for value, plain in ((2.46, 0.21), (8.13, 2.5)):
        results.add("produce", "produce, broker", "headrace", value, COST)
        results.add("produce", f"produce, broker{AROUND}", "headrace", plain, COST)
    return results


def test_every_turn_is_shown_with_its_control() -> None:
    results = with_control()
    said = markdown([{}], results.table, results.columns)
    assert f"| produce, broker{AROUND} | CPU-s/GB, less is better | 1.35 (0.21..2.5) |" in said
    assert "- produce, broker: headrace 2.46 (0.21), 8.13 (2.5)" in said
    results.add("produce", "produce, broker", "kafka", 16.0, COST)
    results.add("produce", f"produce, broker{AROUND}", "kafka", 0.3, COST)
    assert list(shares_of(results.table)) == ["produce, broker"]


def test_a_file_from_before_the_control_is_not_paired_with_another_ones(tmp_path: Path) -> None:
    before = Results()
    before.add("produce", "produce, broker", "headrace", 3.0, COST)
    for name, results in (("a.json", before), ("b.json", with_control())):
        save(tmp_path / name, {"sizes": "quick"}, results)
    _, results = load([tmp_path / "a.json", tmp_path / "b.json"])
    said = markdown([{}], results.table, results.columns)
    assert "- produce, broker: headrace of 3 turns 2 have one" in said
