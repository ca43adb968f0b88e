"""`headrace bench`: Kafka's words become the load they ask for, and a slip is said in words."""

from pathlib import Path
from typing import Any

import pytest

from headrace.api.cli.__main__ import main, make_parser
from headrace.api.cli.bench_load import FetchLoad, Payload, ProduceLoad, whole_batches
from headrace.api.cli.bench_options import (
    DEFAULT_BATCH_BYTES,
    bootstrap_of,
    fetch_load,
    produce_load,
    settings_of,
    topic_of,
)
from headrace.core.batch_encoder import encode_values


def parsed(*words: str) -> Any:
    return make_parser("bench").parse_args(["bench", *words])


def produce(*words: str) -> ProduceLoad:
    args = parsed("produce", "clicks", *words)
    return produce_load(args, settings_of(args))


def test_a_command_line_of_kafkas_producer_tool_is_read() -> None:
    args = parsed(
        *("produce", "--topic", "clicks", "--num-records", "5000", "--record-size", "200"),
        *("--throughput", "-1", "--print-metrics", "--reporting-interval", "1000"),
        *("--producer-props", "bootstrap.servers=b:1", "acks=1", "batch.size=16384"),
        *("--command-property", "compression.type=lz4"),
    )
    settings = settings_of(args)
    load = produce_load(args, settings)
    assert (topic_of(args), bootstrap_of(args, settings)) == ("clicks", "b:1")
    assert (load.records, load.acks, load.records_per_s, load.compression) == (5000, 1, 0, "lz4")
    assert load.batch_records * (200 + 12) <= 16384 < (load.batch_records + 2) * (200 + 12)


def test_a_command_line_of_kafkas_consumer_tool_is_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = parsed(
        *("consume", "--topic", "clicks", "--messages", "7", "--fetch-size", "1000"),
        *("--from-latest", "--show-detailed-stats", "--hide-header", "--group", "g"),
        *("--command-property", "fetch.max.wait.ms=100"),
    )
    assert fetch_load(args, settings_of(args)) == FetchLoad(
        records=7, partition_bytes=1000, max_wait_ms=100, is_from_latest=True
    )
    assert capsys.readouterr().err == "without effect here: --group\n"


def test_a_flag_comes_before_a_property_and_that_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    path.write_text("acks=0\ncompression.type=gzip\nmax.in.flight.requests.per.connection=2\n")
    words = ("--command-config", str(path), "--command-property", "compression.type=zstd")
    load = produce(*words, "--acks", "1")
    assert (load.acks, load.compression, load.in_flight) == (1, "zstd", 2)


def test_records_of_any_size_fit_what_a_broker_takes_by_default() -> None:
    for size, count in ((10, 1000), (100, 1000), (10_000, 99), (5_000_000, 1)):
        load = produce("--record-size", str(size))
        assert load.batch_records == count
        assert count == 1 or count * size < DEFAULT_BATCH_BYTES


def test_values_of_a_file_are_sent_in_turn_and_numbers_count_up(tmp_path: Path) -> None:
    path = tmp_path / "values"
    path.write_text("one|two|three|")
    payload = produce("--payload-file", str(path), "--payload-delimiter", "|").payload
    assert payload.batch(1, 4) == [b"two", b"three", b"one", b"two"]
    assert produce("--payload-monotonic").payload.batch(9, 2) == [b"9", b"10"]
    (letters,) = set(map(len, Payload.letters(50).batch(0, 100)))
    assert letters == 50


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["produce"], "name a TOPIC"),
        (["produce", "a", "--topic", "b"], "a or b? Name one"),
        (["produce", "a", "--producer-props", "acks=2"], "acks=2: there are 0, 1, all"),
        (["produce", "a", "--command-property", "acks"], "give NAME=VALUE"),
        (["produce", "a", "--command-property", "batch.size=x"], "whole number from 0"),
        (["produce", "a", "--command-property", "security.protocol=SSL"], "only PLAINTEXT"),
        (["produce", "a", "--command-config", "/nowhere"], "/nowhere: No such file"),
        (["produce", "a", "--payload-file", "/nowhere"], "/nowhere: No such file"),
        (["produce", "a", "--plot", "/nowhere/x.png"], "there is no folder /nowhere"),
        (["latency", "a", "--throughput", "0"], "--throughput must be above 0"),
        (["latency", "a", "--num-records", "5", "--warmup-records", "5"], "must be fewer"),
        (["failover", "a", "--record-size", "5"], "--record-size must be 16 or more"),
        (["failover", "a", "--kill", "4194304"], "there is no such process"),
        (["produce", "a"], "no Kafka broker answers at 127.0.0.1:1"),
    ],
)
def test_a_slip_is_said_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    assert main(["bench", *words, "-b", "127.0.0.1:1"]) in (1, 2)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--throughput", "nan"], ["--num-records", "0"]])
def test_a_number_that_is_none_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("produce", "clicks", *words)


def test_a_batch_that_the_broker_cut_off_is_left_for_the_next_fetch() -> None:
    batch = bytes(encode_values([b"x" * 100] * 3, timestamp=1))
    for tail in (0, 1, 11, 12, 60, len(batch) - 1):
        found = list(whole_batches(memoryview(batch * 2 + batch[:tail])))
        assert [each.record_count for each in found] == [3, 3], tail
    assert not list(whole_batches(None))
