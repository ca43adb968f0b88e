"""`headrace up --brokers N`: the parent of several brokers."""

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from headrace.api.cli import up_cluster
from headrace.api.cli.common import CliError
from headrace.api.cli.up_cluster import Brokers, Child, addresses_from, idle_folders
from tests.support.broker_process import free_port
from tests.support.ipv6 import needs_ipv6

WITHIN_S = 60


def test_ports_follow_each_other() -> None:
    assert addresses_from("127.0.0.1:9092", 3) == [
        ("127.0.0.1", port) for port in range(9092, 9095)
    ]
    free = addresses_from("127.0.0.1:0", 3)
    assert len({port for _, port in free}) == 3
    with pytest.raises(CliError):
        addresses_from("127.0.0.1:65534", 3)


@needs_ipv6
@pytest.mark.interop
def test_brokers_may_listen_on_ipv6(tmp_path: Path) -> None:
    process = start(tmp_path, "--brokers", "2", "--listen", "[::1]:0")
    try:
        said = said_until(process, "Ctrl-C stops all")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WITHIN_S)
    assert len(re.findall(r"broker \d   process \d+   \[::1\]:\d+ ", said)) == 2


def test_folders_of_brokers_that_are_not_started_are_found(tmp_path: Path) -> None:
    for name in ("broker-0", "broker-2", "broker-10"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "meta.properties").touch()
    (tmp_path / "broker-11").mkdir()  # nothing was ever kept there
    assert idle_folders(tmp_path, 2) == ["broker-10", "broker-2"]
    assert idle_folders(tmp_path, 11) == []


def start(data: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "headrace.api.cli", "up", "--data", str(data), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said_until(process: "subprocess.Popen[str]", last: str) -> str:
    assert process.stdout is not None
    said = ""
    while last not in said:
        line = process.stdout.readline()
        assert line, (said, process.communicate(timeout=WITHIN_S))
        said += line
    return said


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = start(tmp_path / "file" / "data", "--brokers", "2", "--listen", "127.0.0.1:0")
    _, said = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 1
    assert said == f"headrace: {tmp_path}/file/data cannot be made: Not a directory\n"


def test_settings_that_cannot_be_written_are_told_in_words_and_stay(tmp_path: Path) -> None:
    kept = tmp_path / "broker-0.properties"
    kept.write_text("broker.id=0\n")
    (tmp_path / "broker-0.properties.tmp").mkdir()
    process = start(tmp_path, "--brokers", "2", "--listen", "127.0.0.1:0")
    _, said = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 1
    assert said.startswith("headrace: the brokers cannot be started: ")
    assert kept.read_text() == "broker.id=0\n"


def test_who_does_not_come_up_is_told_before_the_end_of_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(up_cluster, "_SAY_WAITING_S", 0.0)
    monkeypatch.setattr(up_cluster, "_START_DEADLINE_S", 0.0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(signal, "set_wakeup_fd", lambda _: None)
    log = tmp_path / "broker-0.log"
    log.write_text("first\nwaiting for a majority\n")
    never, writer = os.pipe()

    def start_one(_self: Brokers, number: int, _overrides: Mapping[str, str]) -> Child:
        process = subprocess.Popen(["true"])
        process.wait()
        return Child(number, "-", tmp_path, tmp_path, log, process, never, -1)

    monkeypatch.setattr(Brokers, "_start_one", start_one)
    try:
        with pytest.raises(CliError, match="broker 0: waiting for a majority"):
            Brokers(tmp_path, [("127.0.0.1", 1)]).start({})
    finally:
        os.close(never)
        os.close(writer)
    assert "broker 0: waiting for a majority\nwaiting on" in capsys.readouterr().err


def has_ended(pid: int) -> bool:
    """Wait until no such process runs any more."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], WITHIN_S)[0])
    finally:
        os.close(descriptor)


@pytest.mark.interop
def test_the_parent_tells_who_is_who_says_who_died_and_stops_the_rest(tmp_path: Path) -> None:
    count = 3
    process = start(tmp_path, "--brokers", str(count), "--listen", f"127.0.0.1:{free_port()}")
    said = said_until(process, "Ctrl-C stops all")
    rows = re.findall(r"broker (\d)   process (\d+)   127\.0\.0\.1:(\d+)   (\S+)", said)
    assert [row[0] for row in rows] == ["0", "1", "2"]
    pids = [int(row[1]) for row in rows]

    second = start(tmp_path, "--brokers", str(count), "--listen", "127.0.0.1:0")
    _, refusal = second.communicate(timeout=WITHIN_S)
    assert second.returncode == 1
    assert f"broker-0 is in use by process {pids[0]}" in refusal

    os.kill(pids[1], signal.SIGKILL)
    assert process.stderr is not None
    died = f"broker 1 (process {pids[1]}) was ended by SIGKILL"
    # A machine so busy that they were not up in 5 s is told of that first.
    obituary = next(line for line in process.stderr if died in line) + process.stderr.readline()
    assert f"headrace server start {tmp_path}/broker-1.properties" in obituary

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0
    assert all(has_ended(pid) for pid in pids)
    assert (tmp_path / "broker-0" / ".kafka_cleanshutdown").exists()
    assert (tmp_path / "broker-2" / ".kafka_cleanshutdown").exists()


@pytest.mark.interop
def test_brokers_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, "--brokers", "1", "--listen", "127.0.0.1:0")
    said = said_until(process, "Ctrl-C stops all")
    match = re.search(r"process (\d+)", said)
    assert match is not None
    process.kill()
    process.communicate(timeout=WITHIN_S)
    assert has_ended(int(match[1]))
