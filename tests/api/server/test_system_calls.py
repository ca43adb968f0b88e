"""How many system calls a request takes, counted with strace: no noise of the machine matters."""

import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.batches import make_batch
from tests.support.broker_process import BrokerProcess
from tests.support.requests import Requester

PRODUCE = 0
PRODUCE_VERSION = 9
REQUESTS = 50
RECEIVE = {"read", "recvfrom", "recvmsg"}
SEND = {"write", "writev", "sendto", "sendmsg"}
CALL = re.compile(r"(\w+)\((\d+)?[^=]*.*= (-?\d+)")


class Trace:
    """What `strace` saw of one thread: (name, first argument if it is a number, result)."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []

    def count(self, names: set[str], *, descriptor: int | None = None) -> int:
        return sum(
            name in names and descriptor in (None, first) and result > 0
            for name, first, result in self.calls
        )

    def busiest_sender(self) -> int:
        """The descriptor with the most sends: the client's connection."""
        return Counter(first for name, first, _ in self.calls if name in SEND).most_common(1)[0][0]


@contextmanager
def traced(pid: int, folder: Path) -> Iterator[Trace]:
    """Traces the main thread of `pid` in the block; skips the test where that is not allowed."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed")
    output = folder / "strace.txt"
    command = [program, "-s", "0", "-o", str(output), "-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        tracer.wait()
        pytest.skip(f"strace may not attach here: {said.strip()}")
    trace = Trace()
    try:
        yield trace
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
    for line in output.read_text().splitlines():
        if found := CALL.match(line):
            trace.calls.append((found[1], int(found[2] or -1), int(found[3])))


def produce(client: Requester, records: bytes) -> None:
    data = [{"name": "clicks", "partition_data": [{"index": 0, "records": records}]}]
    answer = client.ask(
        PRODUCE, PRODUCE_VERSION, {"acks": 1, "timeout_ms": 30_000, "topic_data": data}
    )
    (partition,) = answer["responses"][0]["partition_responses"]
    assert partition["error_code"] == 0, partition


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path / "broker", topics={"clicks": 1}) as running:
        yield running


def test_small_request_is_one_receive_and_one_send(broker: BrokerProcess, tmp_path: Path) -> None:
    batch = bytes(make_batch([(None, b"x" * 100)]))
    with Requester(broker.port) as client:
        for _ in range(3):  # the first append of an epoch writes a checkpoint
            produce(client, batch)
        with traced(broker.pid, tmp_path) as trace:
            for _ in range(REQUESTS):
                produce(client, batch)
            produce(client, batch)  # strace may let go before it has noted this one's send
    connection = trace.busiest_sender()
    assert trace.count(RECEIVE, descriptor=connection) == REQUESTS + 1
    assert trace.count(SEND, descriptor=connection) in (REQUESTS, REQUESTS + 1)
    # Small batches are stored by memory, into pages that a write of zeros made, step by step.
    assert trace.count({"pwrite64", "pwritev"}) <= 3


def test_large_batch_is_written_by_one_call(broker: BrokerProcess, tmp_path: Path) -> None:
    batch = bytes(make_batch([(None, b"x" * 1000)] * 900))
    with Requester(broker.port) as client:
        produce(client, batch)
        with traced(broker.pid, tmp_path) as trace:
            for _ in range(5):
                produce(client, batch)
    written = [result for name, _, result in trace.calls if name == "pwritev"]
    assert written == [len(batch)] * 5
