"""A load on a log inside this process: what its append and its read cost without a broker.

    python embedded_client.py LIBRARY FOLDER RECORDS SIZE

One record a call, then as many at once as the library takes, then all of them are read.  Nothing is
synced where that can be asked for.  One line of JSON; seconds are of the wall.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MANY = 1000
# One record, many records (None: it has no call for that), the sizes of all that is there.
Loads = tuple[Callable[[bytes], object], Callable[[list[bytes]], object] | None, Iterator[int]]


def headrace(folder: Path) -> Loads:
    import headrace

    partition = headrace.open(folder).topic("clicks").partition(0)

    def read() -> Iterator[int]:
        for view in partition.scan():
            yield from map(len, view.to_pylist())

    return partition.append, partition.append_many, read()


def sqlite3(folder: Path) -> Loads:
    """A table in its fastest setting that survives the process; a transaction a call."""
    import sqlite3

    connection = sqlite3.connect(folder / "queue.db", isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=off")
    connection.execute("create table queue (id integer primary key, value blob)")
    insert = "insert into queue (value) values (?)"

    def append_many(values: list[bytes]) -> None:
        connection.execute("begin")
        connection.executemany(insert, [(value,) for value in values])
        connection.execute("commit")

    def read() -> Iterator[int]:
        for (value,) in connection.execute("select value from queue order by id"):
            yield len(value)

    return (lambda value: connection.execute(insert, (value,))), append_many, read()


def diskcache(folder: Path) -> Loads:
    import diskcache

    deque = diskcache.Deque(directory=str(folder))

    def read() -> Iterator[int]:
        yield from map(len, deque)

    return deque.append, deque.extend, read()


def persistqueue(folder: Path) -> Loads:
    import persistqueue

    queue: Any = persistqueue.Queue(str(folder))

    def read() -> Iterator[int]:
        while queue.qsize():
            yield len(queue.get())

    return queue.put, None, read()


def mmapq(folder: Path) -> Loads:
    import mmapq

    queue = mmapq.IndexedQueue.create(str(folder), "clicks")

    def read() -> Iterator[int]:
        reader = queue.create_reader()
        for index in range(reader.start_index(), reader.last_index() + 1):
            yield len(reader.read(index))

    return queue.create_appender().append, None, read()


LIBRARIES = {each.__name__: each for each in (headrace, sqlite3, diskcache, persistqueue, mmapq)}


def main() -> int:
    library, folder, records, size = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])
    append, append_many, sizes = LIBRARIES[library](folder)
    value = bytes(index % 251 for index in range(size))
    result: dict[str, float] = {"records": records}
    for _ in range(max(1, records // 10)):
        append(value)
    written = max(1, records // 10) + records
    started = time.perf_counter()
    for _ in range(records):
        append(value)
    result["append_s"] = (time.perf_counter() - started) / records
    if append_many is not None:
        values = [value] * MANY
        batches = max(1, records // MANY)
        started = time.perf_counter()
        for _ in range(batches):
            append_many(values)
        result["append_many_s"] = (time.perf_counter() - started) / (batches * MANY)
        written += batches * MANY
    started = time.perf_counter()
    found = sum(1 for each in sizes if each == size)
    result["read_s"] = (time.perf_counter() - started) / written
    if found != written:
        sys.exit(f"{library}: {found} of {written} records were read")
    result["written"] = written
    blocks = sum(path.lstat().st_blocks for path in folder.rglob("*"))
    result["disk_bytes"] = blocks * 512 / (written * size)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
