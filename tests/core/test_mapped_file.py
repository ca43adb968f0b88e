"""Files that grow at their end: reserve, write, lend views, cut, pool their descriptors."""

import os
import resource
import signal
import sysconfig
from pathlib import Path

import pytest

from headrace.core import mapped_file
from headrace.core.errors import LogClosedError
from headrace.core.mapped_file import (
    MAX_OPEN_DESCRIPTORS,
    MappedFile,
    idle_mapping_count,
    open_descriptor_count,
    sync_descriptor,
)
from headrace.core.worker import InlineWorker, ThreadWorker
from tests.support.held_worker import HeldWorker


def open_file(tmp_path: Path, *, max_bytes: int = 1 << 20, is_writable: bool = True) -> MappedFile:
    return MappedFile(str(tmp_path / "file"), max_bytes=max_bytes, is_writable=is_writable)


def test_small_and_large_appends_stand_one_after_the_other(tmp_path: Path) -> None:
    file = open_file(tmp_path)
    pieces = [b"a" * 100, b"b" * 16_383, b"c" * 16_384, b"d" * 200_000, b"e"]
    positions = [file.append_bytes(piece) for piece in pieces]
    assert positions == [0, 100, 16_483, 32_867, 232_867]
    content = b"".join(pieces)
    assert bytes(file.view(0, file.size_bytes)) == content
    file.close()
    assert (tmp_path / "file").read_bytes() == content


def test_disk_is_reserved_ahead_and_given_back_on_close(tmp_path: Path) -> None:
    file = open_file(tmp_path)
    file.append_bytes(b"x")
    assert file.reserved_bytes == os.stat(file.path).st_size == 4096
    for _ in range(100):
        file.append_bytes(bytes(1000))
        assert file.size_bytes <= file.reserved_bytes == os.stat(file.path).st_size
    file.close()
    assert os.stat(file.path).st_size == 100_001


def test_file_never_grows_past_its_bound(tmp_path: Path) -> None:
    file = open_file(tmp_path, max_bytes=5000)
    file.append_bytes(bytes(5000))
    with pytest.raises(ValueError, match="cannot grow"):
        file.append_bytes(b"x")
    assert file.size_bytes == 5000
    file.close()


def test_view_outlives_growth_rename_unlink_and_close(tmp_path: Path) -> None:
    file = open_file(tmp_path)
    file.append_bytes(b"first")
    view = file.view(0, 5)
    assert view.readonly
    file.append_bytes(bytes(300_000))
    file.rename(str(tmp_path / "renamed"))
    os.unlink(file.path)
    file.close()
    assert bytes(view) == b"first"


def test_truncation_under_a_view_writes_zeros_and_cuts_when_it_is_gone(tmp_path: Path) -> None:
    file = open_file(tmp_path)
    file.append_bytes(b"0123456789" * 1000)
    view = file.view(0, 10_000)
    file.truncate(5)
    assert file.has_views
    assert bytes(view[:5]) == b"01234"
    assert bytes(view[5:]) == bytes(9995)
    assert os.stat(file.path).st_size >= 10_000
    view.release()
    assert not file.has_views
    file.append_bytes(b"x")
    file.close()
    assert (tmp_path / "file").read_bytes() == b"01234x"


def test_trim_keeps_the_bytes_a_view_still_reaches(tmp_path: Path) -> None:
    file = open_file(tmp_path)
    file.append_bytes(bytes(10_000))
    view = file.view(9000, 10_000)
    file.truncate(100)
    file.close()
    assert bytes(view) == bytes(1000)


def test_closed_file_refuses_everything_but_its_views(tmp_path: Path) -> None:
    file = open_file(tmp_path)
    file.append_bytes(b"x")
    file.close()
    file.close()
    for attempt in (lambda: file.append_bytes(b"y"), lambda: file.view(0, 1), file.flush):
        with pytest.raises(LogClosedError):
            attempt()


def test_file_opened_for_reading_is_not_made_and_not_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path, is_writable=False)
    (tmp_path / "file").write_bytes(b"abc")
    file = open_file(tmp_path, is_writable=False)
    assert bytes(file.view(0, 3)) == b"abc"
    with pytest.raises(LogClosedError):
        file.append_bytes(b"d")
    file.close()


def test_many_files_share_few_descriptors(tmp_path: Path) -> None:
    files = [
        MappedFile(str(tmp_path / str(number)), max_bytes=1 << 20)
        for number in range(2 * MAX_OPEN_DESCRIPTORS)
    ]
    for _ in range(2):
        for file in files:
            file.append_bytes(bytes(20_000))
    assert open_descriptor_count() <= MAX_OPEN_DESCRIPTORS
    for file in files:
        file.flush()
        assert file.size_bytes == 40_000
        file.close()
    assert open_descriptor_count() < MAX_OPEN_DESCRIPTORS


def test_dropped_file_gives_its_descriptor_back(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(10):
        MappedFile(str(tmp_path / str(number)), max_bytes=4096)
    assert len(os.listdir("/proc/self/fd")) == before


def test_duplicate_descriptor_syncs_after_the_file_was_closed(tmp_path: Path) -> None:
    file = open_file(tmp_path)
    file.append_bytes(b"x")
    descriptor = file.duplicate_descriptor()
    file.close()
    sync_descriptor(descriptor)
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        sync_descriptor(descriptor)


def test_forked_child_cannot_write(tmp_path: Path) -> None:
    file = open_file(tmp_path)
    file.append_bytes(b"parent")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            file.append_bytes(bytes(100_000))
        except LogClosedError:
            status = 0
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    file.close()


def test_idle_files_share_few_mappings_and_keep_their_views(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    already = idle_mapping_count()
    monkeypatch.setattr(mapped_file, "MAX_IDLE_MAPPINGS", already + 3)
    files, views = [], []
    for number in range(10):
        (tmp_path / str(number)).write_bytes(b"%d" % number * 5000)
        file = MappedFile(str(tmp_path / str(number)), max_bytes=0, is_writable=False)
        files.append(file)
        views.append(file.view(0, 5000))
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):  # without a GIL none is dropped
        assert idle_mapping_count() <= already + 3
    for number, (file, view) in enumerate(zip(files, views, strict=True)):
        assert bytes(view) == bytes(file.view(0, 5000)) == b"%d" % number * 5000
        assert file.has_views
    views.clear()
    del view
    assert not any(file.has_views for file in files)
    for file in files:
        file.close()
    assert idle_mapping_count() <= already


def busy_file(tmp_path: Path, worker: HeldWorker) -> MappedFile:
    """A file whose next step is ordered from `worker`, not yet run: 3 MiB of 4 are written."""
    file = MappedFile(str(tmp_path / "file"), max_bytes=64 << 20, submit=worker.submit)
    while file.size_bytes < 3 << 20:
        file.append_bytes(bytes(1 << 18))
        if file.reserved_bytes < 4 << 20:
            worker.run_all()
    assert file.reserved_bytes == os.stat(file.path).st_size == 4 << 20
    return file


def test_busy_file_is_reserved_by_the_worker_before_it_needs_the_room(tmp_path: Path) -> None:
    worker = HeldWorker()
    file = busy_file(tmp_path, worker)
    assert worker.run_next()
    assert os.stat(file.path).st_size == 8 << 20
    file.append_bytes(bytes(5 << 20))
    assert file.reserved_bytes == 8 << 20
    assert worker.run_next(), "the step after that is ordered"
    assert os.stat(file.path).st_size == 16 << 20
    file.close()
    assert os.stat(file.path).st_size == 8 << 20


def test_writer_reserves_by_itself_where_the_worker_is_late(tmp_path: Path) -> None:
    worker = HeldWorker()
    file = busy_file(tmp_path, worker)
    file.append_bytes(bytes(2 << 20))
    assert file.reserved_bytes == os.stat(file.path).st_size == 8 << 20
    assert worker.run_next(), "the order that was taken back"
    assert os.stat(file.path).st_size == file.reserved_bytes == 8 << 20
    assert worker.run_next(), "the step after that"
    assert os.stat(file.path).st_size == 16 << 20
    file.append_bytes(b"x")
    file.close()
    assert os.stat(file.path).st_size == file.size_bytes


@pytest.mark.parametrize("is_reserved_first", [False, True])
def test_no_reservation_is_left_or_made_behind_a_trimmed_file(
    tmp_path: Path, is_reserved_first: bool
) -> None:
    worker = HeldWorker()
    for end_it in (MappedFile.trim, MappedFile.close):
        file = busy_file(tmp_path, worker)
        if is_reserved_first:
            worker.run_all()
        end_it(file)
        worker.run_all()
        assert os.stat(file.path).st_size == file.size_bytes
        os.unlink(file.path)
        file.close()


def test_disk_too_full_for_a_step_ahead_still_takes_what_fits(
    tmp_path: Path,
) -> None:
    worker = HeldWorker()
    file = busy_file(tmp_path, worker)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6 << 20, hard))
    try:
        worker.run_all()
        assert os.stat(file.path).st_size == 4 << 20
        file.append_bytes(bytes(2 << 20))
        with pytest.raises(OSError, match="too large"):
            file.append_bytes(bytes(2 << 20))
        assert file.size_bytes == 5 << 20
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.append_bytes(b"again")
    file.close()
    assert os.stat(file.path).st_size == (5 << 20) + 5


def test_file_goes_on_without_a_worker_that_was_closed(tmp_path: Path) -> None:
    worker = InlineWorker()
    worker.close()
    file = MappedFile(str(tmp_path / "file"), max_bytes=64 << 20, submit=worker.submit)
    file.append_bytes(bytes(3 << 20))
    file.append_bytes(bytes(3 << 20))
    file.close()
    assert os.stat(file.path).st_size == 6 << 20


def test_writer_and_worker_reserve_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    """A real worker thread beside the writer, which overtakes it now and then."""
    worker = ThreadWorker(lambda call: call())
    pieces = [bytes([number]) * 700_000 for number in range(64)]
    for round_number in range(20):
        file = MappedFile(
            str(tmp_path / str(round_number)), max_bytes=64 << 20, submit=worker.submit
        )
        for piece in pieces[: 7 + round_number * 3]:
            file.append_bytes(piece)
        file.close()
        content = b"".join(pieces[: 7 + round_number * 3])
        assert (tmp_path / str(round_number)).read_bytes() == content
        os.unlink(file.path)
    worker.close()
