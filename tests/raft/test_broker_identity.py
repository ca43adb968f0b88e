"""Who a broker is after clean and unclean stops, and on a full disk."""

import errno
from pathlib import Path

import pytest

from headrace.core import checkpoint_file
from headrace.core.clock import SystemClock
from headrace.raft import broker_identity
from headrace.raft.broker_identity import BrokerIdentity, load_identity
from headrace.raft.raft_wal import RaftWal


def identity_in(folder: Path, *, was_clean: bool) -> BrokerIdentity:
    identity = load_identity(folder, was_clean=was_clean, clock=SystemClock())
    RaftWal.open(folder).close()
    return identity


def fill_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_clean_stop_keeps_the_incarnation_and_an_unclean_one_does_not(tmp_path: Path) -> None:
    first = identity_in(tmp_path, was_clean=False)
    clean = identity_in(tmp_path, was_clean=True)
    assert (clean.incarnation, clean.wal_id) == (first.incarnation, first.wal_id)
    unclean = identity_in(tmp_path, was_clean=False)
    assert unclean.incarnation != first.incarnation
    assert unclean.wal_id == first.wal_id
    assert len({first.session, clean.session, unclean.session}) == 3


def test_only_incarnations_since_the_machine_restarted_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def live(boot: str, *, was_clean: bool = False) -> BrokerIdentity:
        monkeypatch.setattr(broker_identity, "_read_boot_id", lambda: boot)
        return identity_in(tmp_path, was_clean=was_clean)

    first, second = live("monday"), live("monday")
    assert (first.kept, second.kept) == (frozenset(), {first.incarnation})
    third = live("tuesday")
    assert (third.has_kept_cache, third.kept) == (False, frozenset())
    fourth = live("tuesday")
    # What the first two lives did not flush is gone, however often the process starts since.
    assert (fourth.has_kept_cache, fourth.kept) == (True, {third.incarnation})
    assert live("tuesday", was_clean=True).kept == {third.incarnation, fourth.incarnation}
    after = live("tuesday")
    assert after.kept == {third.incarnation, fourth.incarnation}


def test_a_broker_that_dies_again_and_again_keeps_a_bounded_number(tmp_path: Path) -> None:
    lives = [identity_in(tmp_path, was_clean=False).incarnation for _ in range(70)]
    last = identity_in(tmp_path, was_clean=False)
    assert last.kept == set(lives[-64:])


def test_lost_write_ahead_log_is_another_one(tmp_path: Path) -> None:
    first = identity_in(tmp_path, was_clean=False)
    for path in tmp_path.glob("*.wal"):
        path.unlink()
    assert identity_in(tmp_path, was_clean=True).wal_id != first.wal_id


def test_incarnation_drawn_on_a_full_disk_is_the_last_of_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = identity_in(tmp_path, was_clean=False)
    with monkeypatch.context() as full:
        full.setattr(checkpoint_file, "replace_file", fill_disk)
        unstored = identity_in(tmp_path, was_clean=False)
    assert unstored.wal_id == first.wal_id
    after = identity_in(tmp_path, was_clean=True)
    assert after.wal_id == first.wal_id
    assert len({first.incarnation, unstored.incarnation, after.incarnation}) == 3


def test_new_folder_on_a_full_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_file, "replace_file", fill_disk)
    with pytest.raises(OSError, match="No space"):
        identity_in(tmp_path, was_clean=False)
