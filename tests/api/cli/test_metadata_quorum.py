"""kafka-metadata-quorum.sh: every node of the quorum with its endpoints, also who only looks on."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.api.cli.kafka_scripts import metadata_quorum

VOTER, OBSERVER, GONE = 0, 3, 4


def replica(node_id: int) -> dict[str, Any]:
    return {"replica_id": node_id, "log_end_offset": 7, "last_caught_up_timestamp": 1_000}


def test_observers_have_their_endpoints_as_voters_have(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quorum = {
        "leader_id": VOTER,
        "leader_epoch": 1,
        "high_watermark": 7,
        "current_voters": [replica(VOTER)],
        "observers": [replica(OBSERVER), replica(GONE)],
    }
    nodes = [
        {"node_id": node_id, "listeners": [{"name": "PLAINTEXT", "host": "h", "port": node_id}]}
        for node_id in (VOTER, OBSERVER)
    ]
    answer = {"topics": [{"partitions": [quorum]}], "nodes": nodes}
    monkeypatch.setattr(metadata_quorum, "describe_quorum", lambda _client: answer)
    client = SimpleNamespace(metadata=lambda _topics: {"cluster_id": "c"})
    metadata_quorum._print_status(cast(Any, client))
    told = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    assert told["CurrentVoters"].strip() == '[{"id": 0, "endpoints": ["PLAINTEXT://h:0"]}]'
    assert told["CurrentObservers"].strip() == (
        '[{"id": 3, "endpoints": ["PLAINTEXT://h:3"]}, {"id": 4}]'
    )
