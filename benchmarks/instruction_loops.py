"""The core loops whose instructions are counted; run by benchmarks/instructions.py in valgrind.

    python -m benchmarks.instruction_loops LIBRARY FOLDER

LIBRARY is the compiled load/callgrind_marks.c.  Each loop is counted for `ROUNDS` and for twice as
many rounds, so that what a call of the counter costs cancels out.
"""

import ctypes
import gc
import json
import platform
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.followed_leader import FollowedLeader
from benchmarks.frames import fetch_frame
from benchmarks.in_process import InProcessBroker
from headrace.api.wire import headers
from headrace.core.batch_columns import read_columns
from headrace.core.batch_encoder import encode_values
from headrace.core.batch_validator import BatchValidator
from headrace.core.crc32c import crc32c, kernel_names
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.offset_index import OffsetIndex
from headrace.core.record_batch import RecordBatch
from headrace.core.time_index import TimeIndex
from headrace.core.worker import InlineWorker
from tests.support.manual_clock import ManualClock

ROUNDS = 40
WARM_UP_ROUNDS = 100
NOW_MS = 1_700_000_000_000
VALUES = [b"%0100d" % number for number in range(1000)]

# name -> (one round, what its cost is divided by)
Loops = dict[str, tuple[Callable[[], object], int]]


def environment() -> dict[str, str]:
    """What the counts belong to: another interpreter, compiler or CRC kernel has others."""
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS")).split()
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "python_built_with": " ".join(
            [
                platform.python_compiler(),
                *("pgo" for part in arguments if "--enable-optimizations" in part),
            ]
        ),
        "libc": "-".join(platform.libc_ver()),
        "crc32c": kernel_names()[0],
    }


def opened(folder: Path, *, is_clean: bool = True) -> Log:
    return Log.open(
        folder,
        topic="clicks",
        partition=0,
        config=LogConfig(),
        clock=ManualClock(now_ms=NOW_MS),
        worker=InlineWorker(),
        is_clean=is_clean,
    )


def core_loops(folder: Path) -> Loops:
    """The loops below the wire, on files in `folder`."""
    many = bytes(encode_values(VALUES, timestamp=NOW_MS))
    one = bytes(encode_values(VALUES[:1], timestamp=NOW_MS))
    data = bytes(range(256)) * 256
    validator = BatchValidator(LogConfig())
    log = opened(folder / "clicks-0")
    for _ in range(1000):
        log.append_as_leader(one, leader_epoch=1)
    index = OffsetIndex(str(folder / "i.index"), 0, max_bytes=1 << 20)
    for slot in range(4096):
        index.append_entry(10 * slot + 1, 1000 * slot + 1)

    times = TimeIndex(str(folder / "i.timeindex"), 0, max_bytes=1 << 20)
    for slot in range(4096):
        times.maybe_append(NOW_MS + 10 * slot, 10 * slot + 1)

    crashed = opened(folder / "crashed-0")
    for _ in range(10):
        crashed.append_as_leader(many, leader_epoch=1)
    crashed.close(clean=False)

    def recover() -> None:
        opened(folder / "crashed-0", is_clean=False).close(clean=False)

    def read() -> memoryview:
        return log.read_records(start_offset=500, max_bytes=4096, upper_bound_offset=1000)

    return {
        "crc32c, KiB": (lambda: crc32c(data), 64),
        "compare a batch's CRC, record": (lambda: RecordBatch(many).crc_is_valid(), 1000),
        "validate, batch of 1000, record": (
            lambda: validator.inspect_batch(many, True, 9, NOW_MS),
            1000,
        ),
        "validate, batch of 1, batch": (lambda: validator.inspect_batch(one, True, 9, NOW_MS), 1),
        "append, batch of 1000, record": (
            lambda: log.append_as_leader(many, leader_epoch=1),
            1000,
        ),
        "append, batch of 1, batch": (lambda: log.append_as_leader(one, leader_epoch=1), 1),
        "read, call": (read, 1),
        "offset index, look-up": (lambda: index.lookup(20_005), 1),
        "time index, look-up": (lambda: times.lookup(NOW_MS + 20_005), 1),
        "time in the log, look-up": (lambda: log.find_offset_by_timestamp(NOW_MS), 1),
        "recover after a crash, record": (recover, 10_000),
        "encode, record": (lambda: encode_values(VALUES, timestamp=NOW_MS), 1000),
        "columns, record": (lambda: read_columns(many), 1000),
        "columns to list, record": (lambda: read_columns(many).values_to_list(), 1000),
    }


def request_loops(broker: InProcessBroker) -> Loops:
    """Whole requests from bytes to bytes."""
    connection = broker.connect()
    batch = bytes(encode_values(VALUES[:1], timestamp=NOW_MS))
    loops: Loops = {}
    for version in (7, 9):
        partition: dict[str, Any] = {"index": 0, "records": batch}
        body = {
            "acks": 1,
            "timeout_ms": 30_000,
            "topic_data": [{"name": "clicks", "partition_data": [partition]}],
        }
        frame = bytes(headers.encode_request_frame(0, version, 7, "client", body))

        def produce(frame: bytes = frame) -> object:
            return connection.exchange(frame)

        loops[f"produce request v{version}"] = (produce, 1)
    fetch = fetch_frame(0, 4096)
    loops["fetch request"] = (lambda: connection.exchange(fetch), 1)
    leader = FollowedLeader(broker, "followed", batch)
    loops["follower's answer and next request"] = (leader.answer, 1)
    return loops


def count(marks: Any, name: str, loop: Callable[[], object], divisor: int) -> None:
    """Writes two counts; callgrind names them after the loop, the rounds and the divisor.

    No garbage is collected meanwhile: when that is due, and what it looks at, is for all that was
    ever imported to say, and not for the loop.
    """
    for _ in range(WARM_UP_ROUNDS if divisor == 1 else 5):
        loop()
    for rounds in (ROUNDS, 2 * ROUNDS):
        repeats = range(rounds)
        gc.collect()
        gc.disable()
        marks.begin_count()
        for _ in repeats:
            loop()
        marks.end_count(json.dumps([name, rounds, divisor]).encode())
        gc.enable()


def main() -> None:
    library, folder = sys.argv[1], Path(sys.argv[2])
    marks = ctypes.CDLL(library)
    for name, (loop, divisor) in core_loops(folder).items():
        count(marks, name, loop, divisor)
    with InProcessBroker(folder / "broker", {"clicks": 1, "followed": 1}) as broker:
        for name, (loop, divisor) in request_loops(broker).items():
            count(marks, name, loop, divisor)
    (folder / "environment.json").write_text(json.dumps(environment()))


if __name__ == "__main__":
    main()
