"""One folder of log.dirs: its lock, identity, marker and checkpoints."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.core.errors import InconsistentLogDirError, LogDirLockedError
from headrace.core.log_dir import LogDir, MetaProperties, parse_folder_name
from headrace.core.log_dir_identity import agree_on_identity
from tests.support.manual_clock import ManualClock

HOLDER = """
import sys
from pathlib import Path
from headrace.core.log_dir import LogDir
LogDir(Path(sys.argv[1])).lock()
print("locked", flush=True)
sys.stdin.read()
"""

# The kind of lock that a JVM takes: POSIX, owned by the process, nothing written into the file.
JVM_HOLDER = """
import fcntl, sys
held = open(sys.argv[1] + "/.lock", "w")
fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("program", [HOLDER, JVM_HOLDER])
def test_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path, program: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(LogDirLockedError, match=f"in use by process {holder.pid}") as caught:
            LogDir(tmp_path).lock()
        assert caught.value.pid == holder.pid
    finally:
        holder.communicate()
    after = LogDir(tmp_path)
    after.lock()
    after.unlock()


def test_second_store_in_the_same_process_is_refused(tmp_path: Path) -> None:
    first = LogDir(tmp_path)
    first.lock()
    with pytest.raises(LogDirLockedError) as caught:
        LogDir(tmp_path).lock()
    assert caught.value.pid == os.getpid()
    first.unlock()
    first.unlock()
    second = LogDir(tmp_path)
    second.lock()
    second.unlock()


def test_clean_marker_counts_once(tmp_path: Path) -> None:
    log_dir = LogDir(tmp_path)
    assert not log_dir.take_clean_marker()
    log_dir.leave_clean_marker()
    assert (tmp_path / ".kafka_cleanshutdown").exists()
    assert log_dir.take_clean_marker()
    assert not log_dir.take_clean_marker()


def test_folder_names_are_told_from_what_else_lies_there(tmp_path: Path) -> None:
    for name in (
        "clicks-0",
        "a-b.c_d-12",
        "clicks-00",
        "clicks",
        "__cluster_metadata-0",
        "__headrace_raft",
        "clicks-1.0123456789abcdef0123456789abcdef-delete",
        "lost+found",
    ):
        (tmp_path / name).mkdir()
    (tmp_path / "file-3").touch()
    log_dir = LogDir(tmp_path)
    assert [key for key, _ in log_dir.partition_folders()] == [("a-b.c_d", 12), ("clicks", 0)]
    assert [path.name[:8] for path in log_dir.deleted_folders()] == ["clicks-1"]
    assert parse_folder_name("x-y-3") == ("x-y", 3)
    assert parse_folder_name("-3") is None


def test_damaged_checkpoint_counts_as_empty_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "recovery-point-offset-checkpoint").write_bytes(b"0\n5\n")
    (tmp_path / "replication-offset-checkpoint").write_bytes(b"0\n1\nclicks 0 9\n")
    checkpoints = LogDir(tmp_path).read_checkpoints()
    assert checkpoints.recovery_points == {}
    assert checkpoints.high_watermarks == {("clicks", 0): 9}
    assert "5 entries announced" in caplog.text


def test_unchanged_checkpoint_is_not_written_again(tmp_path: Path) -> None:
    log_dir = LogDir(tmp_path)
    assert log_dir.write_checkpoint("name", {("clicks", 0): 1}, generation=0)
    assert not log_dir.write_checkpoint("name", {("clicks", 0): 1}, generation=0)
    assert log_dir.write_checkpoint("name", {("clicks", 0): 2}, generation=0)


def test_forgotten_partition_does_not_come_back_with_older_offsets(tmp_path: Path) -> None:
    log_dir = LogDir(tmp_path)
    log_dir.write_checkpoint("name", {("clicks", 0): 100, ("orders", 0): 5}, generation=0)
    gathered_in = log_dir.generation
    log_dir.forget_partition(("clicks", 0))
    assert (tmp_path / "name").read_bytes() == b"0\n1\norders 0 5\n"
    assert not log_dir.write_checkpoint(
        "name", {("clicks", 0): 100, ("orders", 0): 6}, generation=gathered_in
    )
    assert (tmp_path / "name").read_bytes() == b"0\n1\norders 0 5\n"


def new_dirs(tmp_path: Path, count: int) -> list[LogDir]:
    paths = [tmp_path / str(number) for number in range(count)]
    for path in paths:
        path.mkdir(exist_ok=True)
    return [LogDir(path) for path in paths]


def test_new_folders_get_one_cluster_and_an_id_each(tmp_path: Path) -> None:
    log_dirs = new_dirs(tmp_path, 2)
    cluster_id = agree_on_identity(log_dirs, cluster_id=None, node_id=3, clock=ManualClock())
    again = new_dirs(tmp_path, 2)
    clock = ManualClock(seed=1)
    assert agree_on_identity(again, cluster_id=None, node_id=3, clock=clock) == cluster_id
    assert [d.directory_id for d in again] == [d.directory_id for d in log_dirs]
    assert len({d.directory_id for d in log_dirs}) == 2
    assert again[0].read_meta() == MetaProperties(cluster_id, 3, again[0].directory_id)


@pytest.mark.parametrize("by", ["its own cluster", "nobody else"])
def test_formatted_folder_is_new_until_its_broker_is_a_member(tmp_path: Path, by: str) -> None:
    log_dirs, clock = new_dirs(tmp_path, 2), ManualClock()
    formatted = MetaProperties("wished", 3, "theirs", is_only_formatted=True)
    formatted.write(log_dirs[0].path)
    assert agree_on_identity(log_dirs, cluster_id=None, node_id=3, clock=clock, waits=True) == ""
    assert log_dirs[0].read_meta() == formatted
    with pytest.raises(InconsistentLogDirError, match="belongs to cluster"):
        agree_on_identity(log_dirs, cluster_id="another", node_id=3, clock=clock)
    told = "wished" if by == "its own cluster" else None
    assert agree_on_identity(log_dirs, cluster_id=told, node_id=3, clock=clock) == "wished"
    assert log_dirs[0].read_meta() == MetaProperties("wished", 3, "theirs")
    assert agree_on_identity(log_dirs, cluster_id=None, node_id=3, clock=clock, waits=True)


def test_folder_of_another_node_is_refused(tmp_path: Path) -> None:
    log_dirs = new_dirs(tmp_path, 1)
    agree_on_identity(log_dirs, cluster_id=None, node_id=3, clock=ManualClock())
    with pytest.raises(InconsistentLogDirError, match=r"belongs to node\.id=3, this node is 4"):
        agree_on_identity(log_dirs, cluster_id=None, node_id=4, clock=ManualClock())


def test_folders_of_two_clusters_are_refused(tmp_path: Path) -> None:
    log_dirs = new_dirs(tmp_path, 2)
    for number, log_dir in enumerate(log_dirs):
        agree_on_identity([log_dir], cluster_id=f"c{number}", node_id=1, clock=ManualClock())
    with pytest.raises(InconsistentLogDirError, match=r"cluster\.id=c1, but .* says c0"):
        agree_on_identity(log_dirs, cluster_id=None, node_id=1, clock=ManualClock())
    with pytest.raises(InconsistentLogDirError, match=r"cluster\.id=c0, but the given"):
        agree_on_identity(log_dirs[:1], cluster_id="mine", node_id=1, clock=ManualClock())


def test_copied_folder_is_refused(tmp_path: Path) -> None:
    log_dirs = new_dirs(tmp_path, 2)
    agree_on_identity(log_dirs[:1], cluster_id="c", node_id=1, clock=ManualClock())
    meta = log_dirs[0].path / "meta.properties"
    (log_dirs[1].path / "meta.properties").write_bytes(meta.read_bytes())
    with pytest.raises(InconsistentLogDirError, match="one was copied from the other"):
        agree_on_identity(log_dirs, cluster_id=None, node_id=1, clock=ManualClock())


def test_meta_of_an_old_kafka_is_taken_and_given_a_directory_id(tmp_path: Path) -> None:
    (log_dir,) = new_dirs(tmp_path, 1)
    (log_dir.path / "meta.properties").write_text("version=0\nbroker.id=7\ncluster.id=old\n")
    clock = ManualClock()
    assert agree_on_identity([log_dir], cluster_id=None, node_id=7, clock=clock) == "old"
    assert log_dir.read_meta() == MetaProperties("old", 7, log_dir.directory_id)


@pytest.mark.parametrize("content", ["version=9\n", "node.id=1\nversion=1\n", "nonsense\n", ""])
def test_unreadable_meta_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "meta.properties").write_text(content)
    with pytest.raises(InconsistentLogDirError, match=r"meta\.properties"):
        LogDir(tmp_path).read_meta()
