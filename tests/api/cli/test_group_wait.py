"""What a consumer of a group that is given no partition says it waits for."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from headrace.api.cli import group_wait
from headrace.api.cli.admin_client import AdminClient, AdminError
from headrace.api.cli.consume import follow
from headrace.api.cli.group_wait import GroupWait
from headrace.api.wire.error_codes import ErrorCode
from tests.support.in_process_broker import InProcessBroker


class Idle:
    """A consumer that gets nothing."""

    def __init__(self) -> None:
        self.assigned: list[int] = []

    def poll(self, _wait_s: float) -> None:
        return None

    def assignment(self) -> list[int]:
        return self.assigned


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_wait, "PATIENCE_S", 0.0)


def waits(bootstrap: str) -> GroupWait:
    return GroupWait(Namespace(group="report", bootstrap_server=bootstrap))


def test_each_reason_is_said_once_while_nothing_is_assigned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_self: Any, group: str) -> None:
        raise AdminError(ErrorCode.COORDINATOR_NOT_AVAILABLE, f"group {group}")

    monkeypatch.setattr(AdminClient, "find_coordinator", refuse)
    consumer, wait = Idle(), waits("127.0.0.1:1")
    for _ in follow(
        consumer, partitions=0, exit_at_end=False, idle_timeout_s=0.01, on_idle=wait.look
    ):
        raise AssertionError("nothing came")
    wait.look(consumer)
    said = capsys.readouterr().err
    assert said.startswith("headrace: group report: waiting for its coordinator: ")
    assert said.endswith("(COORDINATOR_NOT_AVAILABLE)\n")
    assert said.count("\n") == 1
    consumer.assigned = [0]
    wait.look(consumer)
    assert capsys.readouterr().err == ""


def test_a_coordinator_that_is_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with InProcessBroker(tmp_path) as broker:
        wait = waits(f"127.0.0.1:{broker.port}")
        monkeypatch.setattr(group_wait, "ASK_S", 60.0)
        wait.look(Idle())
    assert "waiting for broker 1, its coordinator" in capsys.readouterr().err
