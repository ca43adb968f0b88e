"""Do brokers share their core as one process each, and are those that they fork found?"""

import os
import signal
import time
from pathlib import Path

from benchmarks.peers.peer import Peer, RunningPeer
from benchmarks.peers.spawn import spawn

FOUND_WITHIN_S = 20.0


def test_a_broker_is_in_our_session_and_out_of_our_terminals_reach(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        process = spawn(["sleep", "60"], log, mark="m")
    try:
        assert os.getsid(process.pid) == os.getsid(0)
        assert os.getpgid(process.pid) == process.pid
    finally:
        process.kill()
        process.wait()


def test_what_a_broker_has_forked_is_found_and_ended_with_it(tmp_path: Path) -> None:
    """Also what has a process group of its own and outlives the command."""
    command = ["bash", "-c", "set -m; sleep 60 & echo $!; exec sleep 60"]
    running = RunningPeer(Peer("fake", "1", lambda: None, lambda *_: []), 0, tmp_path / "d", [])
    with running.log_path.open("wb") as log:
        running.processes.append(spawn(command, log, mark=running.mark))
        other = spawn(["sleep", "60"], log, mark="another's")
    try:
        deadline = time.monotonic() + FOUND_WITHIN_S
        while not (said := running.log_path.read_text()).endswith("\n"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        expected = sorted([running.processes[0].pid, int(said)])
        while running.pids() != expected:
            assert time.monotonic() < deadline, (running.pids(), expected)
            time.sleep(0.01)
        running.stop(signal.SIGTERM)
        while running.pids():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
        running.stop(signal.SIGKILL)
