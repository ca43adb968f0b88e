"""`headrace dump`, `headrace verify` and kafka-dump-log on a folder that our engine wrote."""

import json
from pathlib import Path

import pytest

from headrace.api.cli.__main__ import main as headrace
from headrace.api.cli.kafka_scripts.dump_log import main as kafka_dump_log
from headrace.core.batch_builder import BatchBuilder
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.worker import InlineWorker
from tests.support.broker_process import BrokerProcess
from tests.support.manual_clock import ManualClock

NAME = "00000000000000000000"


@pytest.fixture
def partition(tmp_path: Path) -> Path:
    """A partition folder with two batches, closed cleanly."""
    folder = tmp_path / "data" / "clicks-0"
    clock = ManualClock()
    log = Log.open(
        folder,
        topic="clicks",
        partition=0,
        config=LogConfig(),
        clock=clock,
        worker=InlineWorker(),
        is_clean=True,
    )
    for compression in ("none", "gzip"):
        builder = BatchBuilder(compression=compression)
        builder.append_record(timestamp=clock.now_ms(), key=b"user", value=compression.encode())
        builder.append_record(timestamp=clock.now_ms(), key=b"gone", value=None)
        log.append_as_leader(builder.build(), leader_epoch=0)
    log.close()
    return folder


def test_dump_prints_batches_and_records(
    partition: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert headrace(["dump", str(partition / f"{NAME}.log"), "--records", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["kind"] for row in rows] == ["batch", "record", "record"] * 2
    assert rows[0]["base_offset"] == 0
    assert rows[3]["compression"] == "gzip"
    assert rows[5] == rows[5] | {"offset": 3, "key": "gone", "value": None}


def test_dump_of_a_foreign_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert headrace(["dump", str(tmp_path / "notes.txt")]) == 1
    assert "notes.txt" in capsys.readouterr().err
    assert headrace(["dump", str(tmp_path / "none.log")]) == 1


def test_verify_of_a_sound_folder_finds_nothing(
    partition: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert headrace(["verify", str(partition.parent)]) == 0
    assert "1 segments checked: 0 errors" in capsys.readouterr().out


def test_verify_of_the_folder_that_a_broker_left_finds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with BrokerProcess(tmp_path, topics={"clicks": 1}) as broker:
        assert broker.terminate() == 0
    assert (broker.data / "__headrace_raft" / "broker.properties").exists()
    assert headrace(["verify", str(broker.data)]) == 0
    assert capsys.readouterr().out.endswith("segments checked: 0 errors, 0 warnings\n")


def test_verify_names_file_and_position_of_a_flipped_bit(
    partition: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = partition / f"{NAME}.log"
    content = bytearray(path.read_bytes())
    content[70] ^= 1
    path.write_bytes(content)
    assert headrace(["verify", str(partition.parent), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["errors"] == 1
    assert answer["findings"][0]["path"] == str(path)
    assert answer["findings"][0]["position"] == 0
    assert headrace(["dump", str(path)]) == 1


def test_kafka_dump_log_prints_kafkas_lines(
    partition: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = partition / f"{NAME}.log"
    assert kafka_dump_log(["--files", str(path), "--print-data-log"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"Dumping {path}", "Log starting offset: 0"]
    assert lines[2].startswith("baseOffset: 0 lastOffset: 1 count: 2 baseSequence: -1 ")
    assert " isvalid: true" in lines[2]
    assert lines[3].startswith("| offset: 0 CreateTime: 1700000000000 keySize: 4 valueSize: 4 ")
    assert lines[3].endswith("headerKeys: [] key: user payload: none")
    assert lines[4].endswith("headerKeys: [] key: gone")
    assert "compresscodec: gzip" in lines[5]
    for suffix in ("index", "timeindex"):
        index = str(partition / f"{NAME}.{suffix}")
        assert kafka_dump_log(["--files", index, "--verify-index-only"]) == 0
        assert "passed sanity check." in capsys.readouterr().out
