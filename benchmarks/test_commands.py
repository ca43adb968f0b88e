"""Do the commands that print tables still run, at their smallest sizes, with headrace alone?"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.curve_points import CURVES
from benchmarks.harness import Samples, build_load_program
from benchmarks.peers.apache_kafka import prepare_kafka
from benchmarks.peers.brokers import PEERS
from benchmarks.peers.install import ROOT, PeerUnavailableError
from benchmarks.profile import TOOLS
from benchmarks.results import Results, markdown
from benchmarks.row import Row
from benchmarks.rows_clients import fetched_rate
from benchmarks.side_by_side import ROWS
from benchmarks.turns import Turns, measure_row

# Every row and every curve at smoke size: half a minute, several on a machine that is busy.
LIMIT_S = 280


# What `perf` and `py-spy` say where they are missing or may not watch others.
NOT_ALLOWED = ("is not here", "ermission", "not permitted", "paranoid", "saw nothing")


def run_module(name: str, *arguments: str) -> str:
    """What it printed; its complaint where it failed."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=LIMIT_S
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
        *("--smoke", "--no-install", "--peers", "headrace,redis,headrace-embedded,sqlite3"),
        *("--rows", ",".join(row for row in ROWS if row != "java-tools")),
        *("--json", str(kept)),
    )
    content = json.loads(kept.read_text())
    for figure in (
        "small request, 64 in flight",
        "50 partitions, kill -9, restart",
        "T4: acks=all, gzip",
        "raw fetch of 1 MiB, broker",
        "aiokafka consume, Python",
        "append, 1,000 records of 100 B at once",
    ):
        assert f"| {figure} |" in said
        assert content["samples"][figure]["headrace"][0] > 0
    assert content["published"]["one consumer"]["value"] == 940_521
    assert "commit" in content


@pytest.mark.usefixtures("load_client")
@pytest.mark.parametrize("loads", ["produce", "ends_brokers"])
def test_three_brokers_play_their_rows(tmp_path: Path, loads: str) -> None:
    rows = [
        name
        for name, row in ROWS.items()
        if row.brokers == 3 and row.ends_brokers == (loads == "ends_brokers")
    ]
    kept = tmp_path / "out.json"
    options = ("--smoke", "--no-install", "--peers", "headrace-3", "--json", str(kept))
    said = run_module("side_by_side", *options, "--rows", ",".join(rows))
    content = json.loads(kept.read_text())
    assert {about["row"] for about in content["figures"].values()} == set(rows), said


@pytest.mark.java
@pytest.mark.usefixtures("load_client")
def test_kafka_and_its_own_tools_play_their_rows(tmp_path: Path) -> None:
    """One broker and three; those rows that every peer shares are played by headrace above."""
    try:
        prepare_kafka()
    except PeerUnavailableError as error:
        pytest.skip(str(error))
    kept = tmp_path / "out.json"
    said = run_module(
        "side_by_side",
        *("--smoke", "--no-install", "--peers", "headrace,kafka,kafka-3"),
        *("--rows", "java-tools,kreps-3-producers-3x", "--json", str(kept)),
    )
    samples = json.loads(kept.read_text())["samples"]
    for figure in ("kafka-producer-perf-test", "kafka-consumer-perf-test"):
        assert samples[figure]["headrace"][0] > 0
        assert samples[figure]["kafka"][0] > 0
    assert samples["three producers, 3 replicas"]["kafka"][0] > 0
    assert f"| {figure} |" in said


@pytest.mark.usefixtures("load_client")
@pytest.mark.parametrize("tool", list(TOOLS))
def test_a_profile_ends_in_a_flame_graph(tmp_path: Path, tool: str) -> None:
    path = tmp_path / "flame.svg"
    command = [sys.executable, "-m", "benchmarks.profile", "small", "--smoke", "--tool", tool]
    done = subprocess.run(
        [*command, "--svg", str(path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    if any(words in done.stderr for words in NOT_ALLOWED):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert path.read_text().startswith("<svg")


@pytest.mark.usefixtures("load_client")
def test_curves_print_a_point_a_line(tmp_path: Path) -> None:
    kept = tmp_path / "out.json"
    said = run_module("curves", "--smoke", "--json", str(kept))
    curves = json.loads(kept.read_text())["curves"]
    for name in CURVES:
        points = curves[name]["headrace"]
        assert [int(work) for work in points] == list(CURVES[name].works["smoke"])
        assert CURVES[name].question in said


@pytest.mark.usefixtures("load_client")
def test_a_workload_is_played_for_half_a_second(tmp_path: Path) -> None:
    pytest.importorskip("yaml", reason="workloads are YAML: PyYAML is not installed")
    kept = tmp_path / "out.json"
    load = ("simple-workload", "--seconds", "0.5", "--driver", "exactly-once")
    said = run_module("openmessaging", *load, "--peers", "headrace", "--json", str(kept))
    result = json.loads(kept.read_text())["results"]["headrace"]
    assert result["produced"] == result["consumed"] > 0
    assert "| end to end p99.99, ms |" in said


def test_a_published_figure_is_named_and_gets_no_ratio() -> None:
    name = "one consumer"
    samples = {
        "headrace": Samples("msg/s", "more", [3e6, 1e6, 2e6]),
        "kafka": Samples("msg/s", "more", [1e6]),
    }
    lines = markdown([{"runs": 3}], {name: samples}, ["headrace", "kafka"]).splitlines()
    row = next(line for line in lines if line.startswith(f"| {name}"))
    assert row.split(" | ")[2:] == ["2M (1M..3M)", "1M", "2.00x", "941k |"]
    assert "Another machine: no ratio" in lines[-1]


def test_a_row_is_played_by_those_who_can() -> None:
    playing = {
        row: [name for name, peer in PEERS.items() if ROWS[row].is_for(peer())] for row in ROWS
    }
    assert playing["produce"] == ["headrace", "kafka", "kfake", "redis", "nats"]
    assert playing["latency"] == ["headrace", "kafka", "kfake"]
    assert playing["kreps-both-3x"] == ["headrace-3", "kafka-3"]
    assert playing["embedded"] == [
        *("headrace-embedded", "mmapq", "sqlite3", "diskcache", "persist-queue")
    ]
    assert {PEERS[name]().column for name in ("headrace-3", "headrace-embedded")} == {"headrace"}


def test_a_row_whose_time_is_over_gets_one_turn() -> None:
    row = Row(lambda peer, turn, scale: {}, 1)
    peer = PEERS["sqlite3"]()
    for end, turns in ((0.0, 1), (float("inf"), 3)):
        played = Turns(3, "smoke")
        assert measure_row("small", row, [peer], Results(), played, end=end) == turns
        played.ground.clear()


def test_the_rate_of_kafkas_own_consumer_is_found_by_its_head() -> None:
    said = "start.time, data, fetch.MB.sec, fetch.nMsg.sec\n2026-11-27, 1, 2.5, 1234.5\n"
    assert fetched_rate(said) == 1234.5
    with pytest.raises(PeerUnavailableError, match="nothing"):
        fetched_rate("nothing of the kind")
