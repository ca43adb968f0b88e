"""What `headrace up` says before and after the broker runs."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from headrace.api.broker_config import config_from_up, make_broker_config
from headrace.api.cli.__main__ import main
from headrace.api.cli.common import CliError
from headrace.api.cli.up import different_count, durability, parse_topic, welcome


def test_topic_option_takes_a_name_with_or_without_partitions() -> None:
    assert parse_topic("clicks") == ("clicks", 1)
    assert parse_topic("clicks:3") == ("clicks", 3)


@pytest.mark.parametrize("text", ["", ":3", "clicks:", "clicks:0", "clicks:x", "clicks:-1"])
def test_malformed_topic_option_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(CliError, match="clicks:3"):
        parse_topic(text)


def test_one_broker_and_several_do_not_use_the_same_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, several = tmp_path / "one", tmp_path / "several"
    for folder in (one, several / "broker-0", several / "broker-1"):
        folder.mkdir(parents=True)
        (folder / "meta.properties").write_text("version=1\n")
    assert main(["up", "--data", str(one), "--brokers", "3", "--listen", "127.0.0.1:0"]) == 1
    assert "is the folder of one broker" in capsys.readouterr().err
    assert main(["up", "--data", str(several), "--listen", "127.0.0.1:0"]) == 1
    assert f"headrace up --brokers 2 --data {several}" in capsys.readouterr().err


def test_welcome_is_ready_to_paste(tmp_path: Path) -> None:
    broker = SimpleNamespace(bootstrap="127.0.0.1:4711", node_id=1, cluster_id="abc")
    text = welcome(config_from_up(tmp_path), broker, "orders")  # type: ignore[arg-type]
    assert "  bootstrap   127.0.0.1:4711\n" in text
    assert f"  data        {tmp_path}\n" in text
    assert "kcat -b 127.0.0.1:4711 -t orders -C -o beginning" in text
    start = text.index("from confluent_kafka")
    producer = text[start : text.index("\n\n", start)]
    compile(producer, "pasted", "exec")
    assert len(producer.splitlines()) == 3


def test_durability_says_when_answers_wait_for_the_disk() -> None:
    assert "power cut" in durability(make_broker_config({}))
    synced = make_broker_config({"log.flush.interval.messages": "1"})
    assert "before each answer (flush.messages=1)" in durability(synced)


def test_refused_address_is_a_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--listen", "0.0.0.0"]) == 2
    assert "--advertise HOST:PORT" in capsys.readouterr().err


def test_a_topic_with_another_count_is_left_alone_and_said_so() -> None:
    assert different_count("clicks", 5, 3).endswith("headrace topics alter clicks --partitions 5")
    assert different_count("clicks", 2, 3).endswith("is there with 3 partitions; keep it")
