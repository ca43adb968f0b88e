"""Moves between folders that cannot begin at once: asked for again, or given up."""

from typing import Any, cast

import pytest

from headrace.api.cli.admin_client import AdminClient, AdminError
from headrace.api.cli.kafka_scripts.log_dir_moves import (
    MovesTimedOutError,
    execute_moves,
    verify_moves,
)
from headrace.api.cli.replica_log_dirs import Replica
from headrace.api.wire.error_codes import ErrorCode
from headrace.core.errors import HeadraceError

HERE, THERE = Replica("clicks", 0, 1), Replica("clicks", 0, 2)


class Brokers:
    """Answers AlterReplicaLogDirs with one code after another, the last again and again."""

    def __init__(self, *codes: ErrorCode) -> None:
        self.codes = list(codes)
        self.asked: list[tuple[int, str]] = []

    def broker(self, node_id: int) -> "Asked":
        return Asked(self, node_id)

    def log_dirs(self, node_id: int) -> list[dict[str, Any]]:
        return [{"log_dir": "/one", "topics": []}]


class Asked:
    def __init__(self, brokers: Brokers, node_id: int) -> None:
        self.brokers = brokers
        self.node_id = node_id

    def request(self, _api_key: int, body: dict[str, Any]) -> dict[str, Any]:
        codes = self.brokers.codes
        code = codes.pop(0) if len(codes) > 1 else codes[0]
        (log_dir,) = body["dirs"]
        self.brokers.asked.append((self.node_id, log_dir["path"]))
        (topic,) = log_dir["topics"]
        parts = [{"partition_index": each, "error_code": code} for each in topic["partitions"]]
        return {"results": [{"topic_name": topic["name"], "partitions": parts}]}


def execute(brokers: Brokers, *replicas: Replica, timeout_ms: int) -> None:
    wanted = dict.fromkeys(replicas, "/two")
    execute_moves(cast(AdminClient, brokers), wanted, timeout_ms)


def test_a_replica_that_its_broker_lacks_is_asked_for_until_it_has_come(
    capsys: pytest.CaptureFixture[str],
) -> None:
    brokers = Brokers(ErrorCode.NONE, ErrorCode.REPLICA_NOT_AVAILABLE, ErrorCode.NONE)
    execute(brokers, HERE, THERE, timeout_ms=60_000)
    assert brokers.asked == [(1, "/two"), (2, "/two"), (2, "/two")]
    assert capsys.readouterr().out == "".join(
        f"Successfully started moving log directory to /two for replica clicks-0 with broker {n} \n"
        for n in (1, 2)
    )


@pytest.mark.parametrize(
    ("replicas", "told"),
    [
        ([HERE], "move could be started for: clicks-0-1"),
        ([THERE, HERE], "moves could be started for: clicks-0-1,clicks-0-2"),
    ],
)
def test_what_does_not_come_in_time_is_named(replicas: list[Replica], told: str) -> None:
    brokers = Brokers(ErrorCode.REPLICA_NOT_AVAILABLE)
    with pytest.raises(MovesTimedOutError, match=f"Timed out before log directory {told}"):
        execute(brokers, *replicas, timeout_ms=0)


def test_any_other_refusal_ends_it() -> None:
    with pytest.raises(HeadraceError, match="Failed to alter dir for clicks-0-1") as failure:
        execute(Brokers(ErrorCode.LOG_DIR_NOT_FOUND), HERE, timeout_ms=60_000)
    cause = failure.value.__cause__
    assert isinstance(cause, AdminError)
    assert cause.code == ErrorCode.LOG_DIR_NOT_FOUND


def test_a_replica_in_no_live_folder_is_told_and_not_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    brokers = cast(AdminClient, Brokers(ErrorCode.NONE))
    assert verify_moves(brokers, {HERE: "/two"})
    assert capsys.readouterr().out == (
        "Partition clicks-0 is not found in any live log dir on broker 1. There is likely an "
        "offline log directory on the broker.\n"
    )
