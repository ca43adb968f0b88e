"""Which process listens on a port or holds a data folder, as far as /proc tells it."""

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

from ...core.log_dir import find_lock_holder

_PROC = Path("/proc")
_LISTEN = "0A"
_SERVING_WORDS = (("up",), ("server", "start"))


def process_listening_on(port: int) -> int | None:
    """The id of a process with a TCP listener on `port`; None where it cannot be told."""
    inodes = set(_listening_inodes(port))
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in _process_ids():
        if wanted & set(_descriptor_targets(pid)):
            return pid
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (_PROC / table).read_text().splitlines()[1:]
        except OSError:  # no such table: no IPv6, or no /proc at all
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                yield columns[9]


def _process_ids() -> Iterator[int]:
    try:
        names = os.listdir(_PROC)
    except OSError:  # a system without /proc
        return
    yield from (int(name) for name in names if name.isdecimal())


def _descriptor_targets(pid: int) -> Iterator[str]:
    """What the open descriptors of `pid` point to; nothing for a process of somebody else."""
    folder = _PROC / str(pid) / "fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        try:
            yield os.readlink(folder / name)
        except OSError:  # closed since
            continue


def process_holding(folder: Path) -> int | None:
    """The id of the process that holds the `.lock` of a data folder; None if nobody does.

    0 where somebody does and cannot be told, as from another machine.
    """
    return find_lock_holder(folder)


def command_line(pid: int) -> str:
    """How process `pid` was started, in one line; empty where it cannot be told."""
    return " ".join(_words(pid))


def _words(pid: int) -> list[str]:
    try:
        raw = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [word.decode("utf-8", "replace") for word in raw.split(b"\0") if word]


def describe_process(pid: int) -> str:
    """`process 12 (headrace up ...)`."""
    words = command_line(pid)
    return f"process {pid} ({words})" if words else f"process {pid}"


def running_brokers() -> list[int]:
    """The ids of this user's brokers: processes running `headrace up` or `server start`."""
    found = []
    for pid in _process_ids():
        try:
            is_ours = (_PROC / str(pid)).stat().st_uid == os.getuid()
        except OSError:  # gone since
            continue
        if is_ours and pid != os.getpid() and _is_broker(_words(pid)):
            found.append(pid)
    return sorted(found)


def _is_broker(words: list[str]) -> bool:
    for position, word in enumerate(words[:4]):
        if word.endswith(("/headrace", "headrace.api.cli", "/api/cli/__main__.py")):
            rest = tuple(words[position + 1 : position + 3])
            return any(rest[: len(verb)] == verb for verb in _SERVING_WORDS)
    return False


def wait_for_exit(pid: int, ask: Callable[[], None], timeout_s: float) -> bool:
    """Asks process `pid` to end and waits; whether it ended.  One that is gone has ended."""
    assert pid > 0, pid  # 0 and below would mean whole groups of processes
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        try:
            ask()
        except ProcessLookupError:
            return True
        readable, _, _ = select.select([descriptor], [], [], timeout_s)
        return bool(readable)
    finally:
        os.close(descriptor)
