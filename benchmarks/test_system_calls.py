"""Which system calls does the broker make for one request?

Counted by strace on a real broker.  A broker also has timers of its own, so what is compared is
the commonest sequence of calls from one request to the next, not a sum.
"""

import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.frames import batch_of, fetch_frame, produce_frame
from benchmarks.peers.brokers import PEERS
from benchmarks.peers.install import PeerUnavailableError
from benchmarks.peers.peer import RunningPeer
from tests.support.raw_client import RawClient
from tests.support.requests import Requester

REQUESTS = 60
TRACE_LIMIT_S = 20.0
READS = {"read", "recvfrom", "recvmsg", "readv"}
WRITES = {"write", "sendto", "sendmsg", "writev"}
WAITS = {"epoll_wait", "epoll_pwait"}
CALL = re.compile(r"^(\d+) +(\w+)\((\d+)?")


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[tuple[RunningPeer, Path]]:
    """A broker that runs under strace, and the file that its calls are written to."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (Debian: strace)")
    trace = tmp_path / "trace"
    plain = PEERS["headrace"]()

    def commands(port: int, data: Path, settings: dict[str, str]) -> list[list[str]]:
        # -D: the broker is our child and strace its grandchild, so that stopping it is as usual.
        (command,) = plain.commands(port, data, settings)
        return [["strace", "-D", "-f", "-o", str(trace), *command]]

    (tmp_path / "data").mkdir()
    try:
        running = replace(plain, commands=commands).start(tmp_path / "data")
    except PeerUnavailableError as error:
        said = (tmp_path / "headrace.log").read_text().strip().splitlines()[-1:]
        pytest.skip(f"no broker under strace here: {error} {' '.join(said)}")
    try:
        yield running, trace
    finally:
        running.stop()


def commonest_sequences(lines: list[str], connections: int) -> list[tuple[str, ...]]:
    """For each of the broker's busiest `connections`, in the order of their last answers: the
    kinds of system calls, in order, from most of its requests to the next."""
    calls = [found.groups() for line in lines if (found := CALL.match(line))]
    used = Counter((thread, fd) for thread, name, fd in calls if name in WRITES and fd)
    busiest = used.most_common(connections)
    assert all(count >= REQUESTS for _, count in busiest), busiest
    sequences = []
    # A descriptor's number may have been a file's before, so its last write tells the order.
    last_written = {
        (thread, fd): slot for slot, (thread, name, fd) in enumerate(calls) if name in WRITES
    }
    for thread, fd in sorted((key for key, _ in busiest), key=lambda key: last_written[key]):
        seen: Counter[tuple[str, ...]] = Counter()
        current: list[str] = []
        for one_thread, name, one_fd in calls:
            if one_thread != thread:
                continue
            if name in READS and one_fd == fd:
                seen[tuple(current)] += 1
                current = []
            current.append(_kind_of(name))
        sequence, count = seen.most_common(1)[0]
        assert count > REQUESTS / 3, seen.most_common(5)
        sequences.append(sequence)
    return sequences


def _kind_of(name: str) -> str:
    for kind, names in (("read", READS), ("write", WRITES), ("wait", WAITS)):
        if name in names:
            return kind
    return name


def _lines_when_done(trace: Path, pid: int) -> list[str]:
    """The trace once strace has written the broker's end; it ends a moment after the broker."""
    deadline = time.monotonic() + TRACE_LIMIT_S
    while True:
        lines = trace.read_text().splitlines()
        if any(line.startswith(f"{pid} ") and "+++" in line for line in lines[-20:]):
            return lines
        if time.monotonic() > deadline:
            pytest.skip(f"strace wrote no end of the broker within {TRACE_LIMIT_S:g} s")
        time.sleep(0.01)


def test_system_calls_of_a_request(traced: tuple[RunningPeer, Path]) -> None:
    """A small Produce and a Fetch: one read, one write, one wait.  A batch of 32 KiB: a pwrite."""
    running, trace = traced
    with Requester(running.port) as admin:
        admin.create_topics({"clicks": 1})
    frames = [
        produce_frame(9, batch_of(1)),
        produce_frame(9, batch_of(128, 250)),
        fetch_frame(0, 1 << 20),
    ]
    # All stay open, so that each has a descriptor of its own.
    clients = [RawClient(running.port) for _ in frames]
    for client, frame in zip(clients, frames, strict=True):
        for _ in range(REQUESTS):
            client.send_bytes(frame)
            client.receive_frame()
    for client in clients:
        client.close()
    running.stop()
    lines = _lines_when_done(trace, running.processes[0].pid)
    small, large, fetch = map(sorted, commonest_sequences(lines, len(frames)))
    assert small == ["read", "wait", "write"]
    assert large in (["pwrite64", *small], ["pwritev", *small])
    assert fetch == small
