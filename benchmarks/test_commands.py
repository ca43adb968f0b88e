"""Do the commands that print tables still run, at their smallest sizes, with headrace alone?"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.curve_points import CURVES
from benchmarks.harness import Samples, build_load_program
from benchmarks.peers.peer import ROOT, PeerUnavailableError
from benchmarks.side_by_side import markdown


def run_module(name: str, *arguments: str) -> str:
    """What it printed; its complaint where it failed."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def load_client() -> None:
    for name, libraries in (("load_client", ("rdkafka",)), ("small_requests", ())):
        try:
            build_load_program(name, libraries)
        except PeerUnavailableError as error:
            pytest.skip(str(error))


@pytest.mark.usefixtures("load_client")
def test_side_by_side_prints_a_table_and_keeps_its_samples(tmp_path: Path) -> None:
    kept = tmp_path / "out.json"
    said = run_module(
        "side_by_side",
        *("--smoke", "--peers", "headrace", "--rows", "small,idle,kreps-both,partitions"),
        *("--json", str(kept)),
    )
    content = json.loads(kept.read_text())
    for figure in ("small request, 64 in flight", "50 partitions, kill -9, restart"):
        assert f"| {figure} |" in said
        assert content["samples"][figure]["headrace"][0] > 0
    assert content["published"]["producer and consumer"]["value"] == 795_064
    assert "commit" in content


def test_curves_print_a_point_a_line(tmp_path: Path) -> None:
    kept = tmp_path / "out.json"
    said = run_module("curves", "--smoke", "--curves", "segments,connections", "--json", str(kept))
    curves = json.loads(kept.read_text())["curves"]
    for name in ("segments", "connections"):
        points = curves[name]["headrace"]
        assert [int(work) for work in points] == list(CURVES[name].works["smoke"])
        assert CURVES[name].question in said


def test_a_published_figure_is_named_and_gets_no_ratio() -> None:
    name = "one consumer"
    samples = {
        "headrace": Samples("msg/s", "more", [3e6, 1e6, 2e6]),
        "kafka": Samples("msg/s", "more", [1e6]),
    }
    lines = markdown({"runs": 3}, {name: samples}, ["headrace", "kafka"]).splitlines()
    row = next(line for line in lines if line.startswith(f"| {name}"))
    assert row.split(" | ")[2:] == ["2M (1M..3M)", "1M", "2.00x", "941k |"]
    assert "Another machine: no ratio" in lines[-1]
