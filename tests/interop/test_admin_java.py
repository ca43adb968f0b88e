"""Apache Kafka's own configuration, folder and record tools against a broker process."""

import json
from pathlib import Path

import pytest

from tests.support.broker_process import BrokerProcess
from tests.support.kafka_java import run_kafka_class
from tests.support.requests import Requester

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]

CONFIGS = "kafka.admin.ConfigCommand"
TOOLS = "org.apache.kafka.tools"


def run(broker: BrokerProcess, class_name: str, *arguments: str) -> str:
    return run_kafka_class(class_name, "--bootstrap-server", broker.bootstrap, *arguments)


def test_settings_of_topics_and_brokers_are_altered_and_described(broker: BrokerProcess) -> None:
    with Requester(broker.port) as requester:
        requester.create_topics({"set": 1})
    defaults = ("--entity-type", "brokers", "--entity-default")
    run(broker, CONFIGS, "--alter", *defaults, "--add-config", "log.retention.ms=5000")
    topic = ("--entity-type", "topics", "--entity-name", "set")
    added = "cleanup.policy=[compact,delete],retention.ms=77"
    run(broker, CONFIGS, "--alter", *topic, "--add-config", added)
    said = run(broker, CONFIGS, "--describe", *topic)
    assert "cleanup.policy=compact,delete sensitive=false" in said
    assert (
        "retention.ms=77 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=77, "
        "DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=5000, "
        "DEFAULT_CONFIG:log.retention.hours=168}" in said
    )
    run(broker, CONFIGS, "--alter", *defaults, "--delete-config", "log.retention.ms")
    assert "log.retention.ms" not in run(broker, CONFIGS, "--describe", *defaults)


def test_folders_and_deleted_records_are_told(broker: BrokerProcess, tmp_path: Path) -> None:
    with Requester(broker.port) as requester:
        requester.create_topics({"sized": 2})
    said = run(broker, f"{TOOLS}.LogDirsCommand", "--describe", "--topic-list", "sized")
    (node,) = json.loads(said.splitlines()[-1])["brokers"]
    (folder,) = node["logDirs"]
    assert folder["error"] is None
    assert {each["partition"] for each in folder["partitions"]} == {"sized-0", "sized-1"}
    asked = {"partitions": [{"topic": "sized", "partition": 0, "offset": 0}], "version": 1}
    file = tmp_path / "offsets.json"
    file.write_text(json.dumps(asked))
    said = run(broker, f"{TOOLS}.DeleteRecordsCommand", "--offset-json-file", str(file))
    assert "partition: sized-0\tlow_watermark: 0" in said
