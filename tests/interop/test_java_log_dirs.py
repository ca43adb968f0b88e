"""Kafka's own tools move a partition between the log.dirs of our broker, and find it there."""

import json
from pathlib import Path

import pytest

from tests.support.broker_process import BrokerProcess
from tests.support.cluster_processes import wait_until
from tests.support.kafka_java import run_kafka_class

pytestmark = [pytest.mark.interop, pytest.mark.java, pytest.mark.timeout(600)]

REASSIGN = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
LOG_DIRS = "org.apache.kafka.tools.LogDirsCommand"


def test_kafka_reassign_partitions_moves_a_replica_to_another_folder(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    config = {"log.dirs": ",".join(map(str, folders))}
    with BrokerProcess(tmp_path, topics={"clicks": 1}, config=config) as broker:
        server = ("--bootstrap-server", broker.bootstrap)
        source, target = sorted(folders, key=lambda each: not (each / "clicks-0").exists())
        wanted = tmp_path / "moves.json"
        partition = {"topic": "clicks", "partition": 0, "replicas": [1], "log_dirs": [str(target)]}
        wanted.write_text(json.dumps({"version": 1, "partitions": [partition]}))
        asked = (*server, "--reassignment-json-file", str(wanted))
        told = run_kafka_class(REASSIGN, *asked, "--execute")
        assert f'"log_dirs":["{source}"]' in told
        assert f"Successfully started moving log directory to {target} for replica" in told
        wait_until((target / "clicks-0").exists, "the replica is moved")
        told = run_kafka_class(REASSIGN, *asked, "--verify")
        assert "Reassignment of replica clicks-0-1 completed successfully." in told
        told = run_kafka_class(LOG_DIRS, *server, "--describe")
        (found,) = json.loads(told[told.index("{") :])["brokers"]
        held = {each["logDir"]: each["partitions"] for each in found["logDirs"]}
        assert held[str(source)] == []
        assert [(each["partition"], each["isFuture"]) for each in held[str(target)]] == [
            ("clicks-0", False)
        ]
