"""`headrace up` and `headrace server` as processes: ready, held, stopped, run behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.api.cli.processes import process_holding
from headrace.core.log_dir import CLEAN_SHUTDOWN_NAME
from tests.support.broker_process import free_port
from tests.support.requests import Requester

DEADLINE_S = 60
HEADRACE = [sys.executable, "-m", "headrace.api.cli"]


class Up:
    """`headrace up` in a process of its own, until it has said where it listens."""

    def __init__(self, data: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [*HEADRACE, "up", "--data", str(data), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if line.startswith("Ctrl-C"):
                break

    @property
    def port(self) -> int:
        found = re.search(r"bootstrap\s+127\.0\.0\.1:(\d+)", self.said)
        assert found is not None, self.said
        return int(found[1])

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Up]:
    up = Up(
        tmp_path / "data", "--listen", "127.0.0.1:0", "--topic", "clicks:3", "--topic", "orders"
    )
    yield up
    if up.process.poll() is None:
        up.process.kill()
    up.process.communicate(timeout=DEADLINE_S)


def run(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HEADRACE, *words],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, **(environment or {})},
        check=False,
    )


def test_up_serves_the_topics_it_was_told_to_make(started: Up) -> None:
    with Requester(started.port) as requester:
        metadata = requester.ask(3, 12, {"topics": None})
    counts = {topic["name"]: len(topic["partitions"]) for topic in metadata["topics"]}
    assert counts == {"clicks": 3, "orders": 1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_it_cleanly_and_leaves_the_marker(
    started: Up, tmp_path: Path, number: int
) -> None:
    assert started.stop(number) == 0
    assert (tmp_path / "data" / CLEAN_SHUTDOWN_NAME).exists()


def test_second_broker_on_the_folder_says_who_holds_it(started: Up, tmp_path: Path) -> None:
    second = run("up", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert second.returncode == 1
    assert f"is in use by process {started.process.pid} (" in second.stderr
    assert "Traceback" not in second.stderr


def test_second_broker_on_the_port_says_who_holds_it(started: Up, tmp_path: Path) -> None:
    listen = f"127.0.0.1:{started.port}"
    second = run("up", "--data", str(tmp_path / "other"), "--listen", listen)
    assert second.returncode == 1
    assert f"{listen} is in use by process {started.process.pid} (" in second.stderr
    assert "Traceback" not in second.stderr


def test_server_runs_behind_and_is_stopped_by_its_file(tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "server.properties"
    data = tmp_path / "data"
    file.write_text(f"listeners=PLAINTEXT://127.0.0.1:{port}\nlog.dirs={data}\nnum.io.threads=8\n")
    begun = run("server", "start", "-daemon", str(file), "--override", "num.partitions=2")
    assert begun.returncode == 0, begun.stderr
    try:
        assert f"bootstrap 127.0.0.1:{port}" in begun.stdout
        pid = process_holding(data)
        assert pid is not None
        assert f"process {pid}," in begun.stdout
        with Requester(port) as requester:
            assert requester.ask(3, 12, {"topics": [{"name": "made"}]})["topics"][0]["partitions"]
        assert "num.io.threads" in (data / "kafkaServer.out").read_text()
    finally:
        stopped = run("server", "stop", str(file))
    assert stopped.returncode == 0, stopped.stderr
    assert process_holding(data) is None
    assert (data / CLEAN_SHUTDOWN_NAME).exists()


def test_server_that_cannot_start_behind_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        file = tmp_path / "server.properties"
        file.write_text(f"listeners=PLAINTEXT://127.0.0.1:{port}\nlog.dirs={tmp_path / 'data'}\n")
        logs = {"LOG_DIR": str(tmp_path / "logs")}
        begun = run("server", "start", "-daemon", str(file), environment=logs)
    assert begun.returncode == 1
    assert f"127.0.0.1:{port} is in use by process {os.getpid()}" in begun.stderr
    assert (tmp_path / "logs" / "kafkaServer.out").exists()
