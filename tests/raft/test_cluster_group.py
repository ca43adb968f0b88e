"""Decisions of the cluster: journaled before they are applied, the same after every restart."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import KafkaStorageError
from headrace.raft.cluster_commands import AllocateProducerIds, CreateTopic, DeleteTopic
from headrace.raft.cluster_group import ClusterGroup
from headrace.raft.errors import TopicExistsError
from headrace.raft.raft_wal import RaftWal

ID_A = b"a" * 16


def test_a_decision_is_applied_told_to_listeners_and_answered_in_this_order(
    tmp_path: Path,
) -> None:
    told: list[Any] = []
    group = ClusterGroup(
        RaftWal.open(tmp_path),
        broker_id=4,
        on_applied=lambda command, topic: told.append((command, topic.name)),
    )
    group.add_listener(lambda command, topic: told.append("second"))
    command = CreateTopic("clicks", ID_A, ((4,),))
    group.propose(command, told.append)
    assert told == [(command, "clicks"), "second", group.state.topics["clicks"]]
    assert group.controller_id == 4


def test_a_refused_command_is_answered_with_its_error_and_told_to_nobody(tmp_path: Path) -> None:
    told: list[Any] = []
    answers: list[Any] = []
    group = ClusterGroup(RaftWal.open(tmp_path), broker_id=0)
    group.propose(CreateTopic("clicks", ID_A, ((0,),)))
    group.add_listener(lambda command, _: told.append(command))
    group.propose(CreateTopic("clicks", b"b" * 16, ((0,),)), answers.append)
    assert told == []
    assert isinstance(answers[0], TopicExistsError)


def test_a_restart_replays_entries_without_telling_listeners(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path)
    group = ClusterGroup(wal, broker_id=0)
    group.propose(CreateTopic("clicks", ID_A, ((0,),)))
    group.propose(CreateTopic("clicks", ID_A, ((0,),)), lambda _: None)
    group.propose(AllocateProducerIds(0, 1000))
    wal.close()
    told: list[Any] = []
    again = ClusterGroup(
        RaftWal.open(tmp_path), broker_id=0, on_applied=lambda *news: told.append(news)
    )
    assert again.state.to_bytes() == group.state.to_bytes()
    assert told == []


def test_the_state_survives_checkpoints_of_a_small_log(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path, checkpoint_bytes=2048)
    group = ClusterGroup(wal, broker_id=0)
    for number in range(1, 61):
        group.propose(CreateTopic(f"t{number}", number.to_bytes(16, "big"), ((0,),)))
        if number % 2:
            group.propose(DeleteTopic(number.to_bytes(16, "big")))
    assert int(wal.path.stem) > 0
    wal.close()
    again = ClusterGroup(RaftWal.open(tmp_path), broker_id=0)
    assert again.state.to_bytes() == group.state.to_bytes()
    assert list(again.state.topics) == [f"t{n}" for n in range(2, 61, 2)]


def test_a_decision_that_could_not_be_journaled_is_not_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = ClusterGroup(RaftWal.open(tmp_path), broker_id=0)
    answers: list[Any] = []

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(KafkaStorageError):
        group.propose(CreateTopic("clicks", ID_A, ((0,),)), answers.append)
    assert answers == []
    assert group.state.topics == {}
