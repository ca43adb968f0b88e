"""Which life of a broker came later, told by sessions, and what a copied folder comes back as."""

import shutil
from pathlib import Path

from headrace.core.clock import SystemClock
from headrace.raft.broker_identity import BrokerIdentity, load_identity
from headrace.raft.broker_life import (
    NO_LIVES,
    KnownLife,
    is_overtaken,
    session_of,
    with_registrations,
)
from headrace.raft.cluster_commands import RegisterBroker
from headrace.raft.raft_wal import RaftWal


def life_in(folder: Path, *, was_clean: bool = True) -> BrokerIdentity:
    identity = load_identity(folder, was_clean=was_clean, clock=SystemClock())
    RaftWal.open(folder).close()
    return identity


def known(identity: BrokerIdentity) -> KnownLife:
    return KnownLife(identity.wal_id, identity.session)


def has_overtaken(last: BrokerIdentity, life: BrokerIdentity) -> bool:
    return is_overtaken(life.wal_id, life.session, known(last))


def registration(wal_id: int, session: int) -> RegisterBroker:
    return RegisterBroker(1, 5, "localhost", 9092, None, session, wal_id)


def test_a_folder_that_is_put_back_from_a_copy_begins_no_later_life(tmp_path: Path) -> None:
    folder, copy = tmp_path / "raft", tmp_path / "copy"
    life_in(folder)
    shutil.copytree(folder, copy)
    last = [life_in(folder, was_clean=was_clean) for was_clean in (True, False)][-1]
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    assert has_overtaken(last, life_in(folder))
    assert has_overtaken(last, life_in(folder, was_clean=False))


def test_lives_that_follow_each_other_and_another_log_overtake_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "raft"
    last = life_in(folder)
    for was_clean in (True, False, True):
        life = life_in(folder, was_clean=was_clean)
        assert not has_overtaken(last, life)
        assert has_overtaken(life, last)
        last = life
    assert not has_overtaken(last, last)
    shutil.rmtree(folder)
    assert not has_overtaken(last, life_in(folder))
    assert not is_overtaken(last.wal_id, last.session, None)


def test_a_folder_of_an_earlier_version_begins_to_count(tmp_path: Path) -> None:
    folder = tmp_path / "raft"
    life_in(folder)
    stored = folder / "broker.properties"
    lines = stored.read_text().splitlines(keepends=True)
    stored.write_text("".join(line for line in lines if not line.startswith("life=")))
    drawn = KnownLife(life_in(folder).wal_id, 0xFF_FFFF_FFFF_FFFF)
    life = life_in(folder)
    assert not is_overtaken(life.wal_id, life.session, drawn)


def test_sessions_without_a_life_are_never_overtaken() -> None:
    drawn = session_of(0, 0x1234)
    assert not is_overtaken(3, drawn, KnownLife(3, session_of(9, 0)))
    assert not is_overtaken(3, session_of(1, 0), KnownLife(3, drawn))


def test_an_earlier_registration_that_is_applied_later_changes_nothing() -> None:
    second, third = session_of(2, 77), session_of(3, 55)
    lives = with_registrations(NO_LIVES, [registration(3, third), registration(3, second)])
    assert lives == {1: KnownLife(3, third)}
    assert with_registrations(lives, [registration(4, second)]) == {1: KnownLife(4, second)}
