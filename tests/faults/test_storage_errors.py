"""A disk that is full or fails: nothing half-visible, and no answer that was not earned."""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headrace.core import log_flusher
from headrace.core.errors import KafkaStorageError
from headrace.core.log_config import LogConfig
from headrace.core.mapped_file import sync_descriptor
from tests.support.held_worker import HeldWorker
from tests.support.log_stage import ONE_SEGMENT, LogStage, make_batch, rows_of


@contextmanager
def files_limited_to(size_bytes: int) -> Iterator[None]:
    """No file may grow past this: EFBIG stands in for ENOSPC, and comes from the same calls."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)


def failing_sync(descriptor: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("value_bytes", [100, 40_000])
def test_full_disk_refuses_the_append_and_the_next_one_works(
    tmp_path: Path, value_bytes: int
) -> None:
    stage = LogStage(tmp_path)
    log = stage.open(is_clean=True)
    failures: list[OSError] = []
    log.on_storage_failure = lambda path, error: failures.append(error)
    batch = make_batch([bytes(value_bytes)])
    with files_limited_to(100_000):
        while True:
            before = (log.log_end_offset, log.size_bytes, rows_of(log))
            try:
                log.append_as_leader(batch, leader_epoch=1)
            except KafkaStorageError:
                break
        assert (log.log_end_offset, log.size_bytes, rows_of(log)) == before
        with pytest.raises(KafkaStorageError, match="too large"):
            log.append_as_leader(batch, leader_epoch=1)
    assert not log.is_offline
    assert not failures
    assert log.append_as_leader(batch, leader_epoch=1).base_offset == before[0]
    rows = rows_of(log)
    log.close(clean=False)
    log = stage.open()
    assert rows_of(log) == rows
    log.close()


def test_full_disk_at_a_roll_keeps_the_old_segment(tmp_path: Path) -> None:
    stage = LogStage(tmp_path, config=LogConfig(segment_bytes=50_000, index_interval_bytes=256))
    log = stage.open(is_clean=True)
    batch = make_batch([bytes(1000)], producer_id=5, producer_epoch=0, base_sequence=0)
    log.append_as_leader(batch, leader_epoch=1)
    rows = rows_of(log)
    with files_limited_to(10):
        with pytest.raises(KafkaStorageError):
            log.roll()
        assert rows_of(log) == rows
    sequel = make_batch([b"x"], producer_id=5, producer_epoch=0, base_sequence=1)
    assert log.append_as_leader(sequel, leader_epoch=1).base_offset == 1
    log.roll()
    assert len(log.segments) == 2
    log.close()


def test_failed_append_does_not_advance_the_producer(tmp_path: Path) -> None:
    stage = LogStage(tmp_path)
    log = stage.open(is_clean=True)
    batch = make_batch([bytes(9000)], producer_id=5, producer_epoch=0, base_sequence=0)
    with files_limited_to(4096), pytest.raises(KafkaStorageError):
        log.append_as_leader(batch, leader_epoch=1)
    info = log.append_as_leader(batch, leader_epoch=1)
    assert not info.is_duplicate
    assert log.append_as_leader(batch, leader_epoch=1).is_duplicate
    log.close()


def test_failed_sync_takes_the_log_offline_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = HeldWorker()
    stage = LogStage(tmp_path, worker=worker)
    log = stage.open(is_clean=True)
    failures: list[OSError] = []
    log.on_storage_failure = lambda path, error: failures.append(error)
    log.append_as_leader(make_batch([b"one"]), leader_epoch=1)
    flushed: list[int] = []
    errors: list[BaseException] = []
    log.flush_async(flushed.append, errors.append)
    log.flush_async(flushed.append, errors.append)
    monkeypatch.setattr(log_flusher, "sync_descriptor", failing_sync)
    worker.run_next()
    monkeypatch.undo()
    assert not flushed
    assert [type(error) for error in errors] == [KafkaStorageError, KafkaStorageError]
    assert log.is_offline
    assert [error.errno for error in failures] == [errno.EIO]
    with pytest.raises(KafkaStorageError):
        log.append_as_leader(make_batch([b"two"]), leader_epoch=1)
    with pytest.raises(KafkaStorageError):
        log.flush()
    log.flush_async(flushed.append, errors.append)
    assert len(errors) == 3
    assert log.recovery_point == 0
    assert rows_of(log) == [(0, b"one")]
    log.close()


def test_waiters_share_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = HeldWorker()
    stage = LogStage(tmp_path, worker=worker, config=ONE_SEGMENT)
    log = stage.open(is_clean=True)
    log.assign_epoch(1, 0)
    log.flush()
    syncs: list[int] = []

    def counted_sync(descriptor: int) -> None:
        syncs.append(descriptor)
        sync_descriptor(descriptor)

    monkeypatch.setattr(log_flusher, "sync_descriptor", counted_sync)
    flushed: list[int] = []
    errors: list[BaseException] = []
    for number in range(10):
        log.append_as_leader(make_batch([b"%d" % number]), leader_epoch=1)
        log.flush_async(flushed.append, errors.append)
    worker.run_all()
    # The first sync covered what was there when it began, the second one everybody else.
    assert flushed == [1] + [10] * 9
    assert not errors
    assert len(syncs) == 2
    assert log.recovery_point == 10
    log.close()
