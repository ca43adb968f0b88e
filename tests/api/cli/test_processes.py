"""Who listens on a port, who holds a folder: told from /proc and the lock."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from headrace.api.cli.processes import (
    command_line,
    describe_process,
    process_holding,
    process_listening_on,
    wait_for_exit,
)
from headrace.core.log_dir import LogDir

_HOLD_LOCK = """
import fcntl, sys
held = open(sys.argv[1], "a")
fcntl.lockf(held, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_listener_is_found_by_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert process_listening_on(port) == os.getpid()
    assert process_listening_on(port) is None


def test_holder_of_a_folder_is_found_by_its_lock(tmp_path: Path) -> None:
    assert process_holding(tmp_path) is None
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD_LOCK, str(tmp_path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        assert process_holding(tmp_path) == holder.pid
        assert str(tmp_path) in describe_process(holder.pid)
        assert wait_for_exit(holder.pid, holder.stdin.close, 60)
    assert process_holding(tmp_path) is None


def test_holder_of_a_folder_that_our_engine_locked_is_found(tmp_path: Path) -> None:
    log_dir = LogDir(tmp_path)
    log_dir.lock()
    assert process_holding(tmp_path) == os.getpid()
    log_dir.unlock()
    assert process_holding(tmp_path) is None


def test_process_that_is_gone_has_ended_and_has_no_command_line() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert command_line(process.pid) == ""
    assert wait_for_exit(process.pid, lambda: None, 60)


def test_wait_for_exit_gives_up_at_its_deadline() -> None:
    assert not wait_for_exit(os.getpid(), lambda: None, 0.01)
