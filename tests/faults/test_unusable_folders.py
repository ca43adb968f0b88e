"""Folders that cannot be used, are used by another, or vanish under a running broker."""

import ctypes
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker_process import BrokerProcess
from tests.support.refused_start import EXIT_FAILURE, WITHIN_S, refused_start
from tests.support.requests import Requester
from tests.support.stored_records import (
    create_topic,
    delete_topic,
    fetch_all,
    fetch_once,
    produce,
)

NONE, KAFKA_STORAGE_ERROR = 0, 56
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path) as process:
        yield process


def obey_permissions() -> None:
    """Let even root be stopped by the permissions of a folder, from the next exec on."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "data"):
        said = refused_start(tmp_path, folder)
        assert str(folder) in said
        assert "no folder of log.dirs works" in said, said


def test_read_only_folder_is_named_and_left_as_it_was(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as process:
        process.terminate()
        process.start()
        with Requester(process.port) as requester:
            assert create_topic(requester, "clicks")[0] == NONE
            assert produce(requester, "clicks", b"one") == (NONE, 0)
        process.terminate()
        before = sorted(path.name for path in process.data.iterdir())
        process.data.chmod(0o555)
        try:
            said = refused_start(tmp_path, process.data, before_exec=obey_permissions)
        finally:
            process.data.chmod(0o755)
        assert str(process.data) in said
        assert "Permission denied" in said, said
        assert sorted(path.name for path in process.data.iterdir()) == before
        process.start()
        with Requester(process.port) as requester:
            assert fetch_all(requester, "clicks") == {0: b"one"}


def test_one_unusable_folder_of_two_leaves_the_other_in_service(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    folders = f"{tmp_path / 'data'},{tmp_path / 'file'}"
    with BrokerProcess(tmp_path, config={"log.dirs": folders}) as process:
        with Requester(process.port) as requester:
            assert create_topic(requester, "clicks", 3)[0] == NONE
            assert produce(requester, "clicks", b"one", partition=2) == (NONE, 0)
        assert f"{tmp_path / 'file'} goes offline" in process.log.read_text()


def test_second_broker_on_a_folder_or_a_port_names_the_first(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    said = refused_start(tmp_path, broker.data)
    assert str(broker.data) in said
    assert str(broker.pid) in said, said
    said = refused_start(tmp_path, tmp_path / "other", port=broker.port)
    assert f"127.0.0.1:{broker.port}" in said
    assert str(broker.pid) in said, said
    with Requester(broker.port) as requester:
        assert create_topic(requester, "clicks")[0] == NONE


def test_folder_of_another_node_is_refused(broker: BrokerProcess, tmp_path: Path) -> None:
    broker.terminate()
    said = refused_start(tmp_path, broker.data, settings={"node.id": "7"})
    assert "node.id=1" in said, said


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00junk", b"version=1\n", b"version=9\n"])
def test_damaged_meta_properties_is_refused_by_name(
    broker: BrokerProcess, tmp_path: Path, content: bytes
) -> None:
    """It says whose the folder is, so nothing is guessed; with the file restored all is back."""
    with Requester(broker.port) as requester:
        assert create_topic(requester, "clicks")[0] == NONE
        assert produce(requester, "clicks", b"one") == (NONE, 0)
    broker.terminate()
    file = broker.data / "meta.properties"
    intact = file.read_bytes()
    file.write_bytes(content)
    assert "meta.properties" in refused_start(tmp_path, broker.data)
    file.write_bytes(intact)
    broker.start()
    with Requester(broker.port) as requester:
        assert fetch_all(requester, "clicks") == {0: b"one"}


def test_missing_meta_properties_is_made_anew_and_topics_stay(broker: BrokerProcess) -> None:
    """A new cluster id, as for a new folder; the topics are in the journal, the records beside."""
    with Requester(broker.port) as requester:
        assert create_topic(requester, "clicks")[0] == NONE
        assert produce(requester, "clicks", b"one") == (NONE, 0)
    broker.terminate()
    (broker.data / "meta.properties").unlink()
    broker.start()
    with Requester(broker.port) as requester:
        assert fetch_all(requester, "clicks") == {0: b"one"}


def produce_until_refused(requester: Requester, topic: str) -> int:
    """Append, not too fast, for longer than the broker takes to look; the error that ends it."""
    pace = threading.Event()
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        error_code, _ = produce(requester, topic, b"x" * 50_000)
        if error_code != NONE:
            return error_code
        pace.wait(0.01)
    raise AssertionError("nobody noticed")


def test_deleted_partition_folder_ends_in_an_error_and_harms_nobody_else(
    broker: BrokerProcess,
) -> None:
    """Noticed at the next name that is needed there: a new segment at the latest."""
    configs = {"segment.bytes": str(1 << 20)}
    with Requester(broker.port) as requester:
        for topic in ("clicks", "views"):
            assert create_topic(requester, topic, configs=configs)[0] == NONE
            assert produce(requester, topic, b"one") == (NONE, 0)
        shutil.rmtree(broker.data / "clicks-0")
        assert produce_until_refused(requester, "clicks") == KAFKA_STORAGE_ERROR
        assert produce(requester, "views", b"two") == (NONE, 1)
        assert fetch_all(requester, "views") == {0: b"one", 1: b"two"}
        assert delete_topic(requester, "clicks") == NONE
        assert create_topic(requester, "clicks")[0] == NONE
        assert produce(requester, "clicks", b"anew") == (NONE, 0)
        assert produce(requester, "views", b"three") == (NONE, 2)
    assert broker.terminate() == 0
    broker.start()
    with Requester(broker.port) as requester:
        assert fetch_all(requester, "clicks") == {0: b"anew"}
        assert fetch_all(requester, "views") == {0: b"one", 1: b"two", 2: b"three"}


def delete_under_use(folder: Path) -> None:
    """Delete a folder of log.dirs; its broker may write a checkpoint there just then."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def test_deleted_data_folder_is_noticed_and_the_broker_stops(broker: BrokerProcess) -> None:
    """With no folder left it ends with exit code 1, as Kafka does, and can be started anew."""
    with Requester(broker.port) as requester:
        assert create_topic(requester, "clicks")[0] == NONE
        assert produce(requester, "clicks", b"one") == (NONE, 0)
        delete_under_use(broker.data)
    assert broker.wait_for_exit() == EXIT_FAILURE
    said = broker.log.read_text()
    assert f"{broker.data} goes offline until the next start" in said, said
    assert "Traceback" not in said, said
    broker.start()
    with Requester(broker.port) as requester:
        assert create_topic(requester, "clicks")[0] == NONE
        assert produce(requester, "clicks", b"anew") == (NONE, 0)


def test_deleted_folder_of_two_leaves_the_other_in_service(tmp_path: Path) -> None:
    second = tmp_path / "second"
    folders = f"{tmp_path / 'data'},{second}"
    with BrokerProcess(tmp_path, config={"log.dirs": folders}) as process:
        with Requester(process.port) as requester:
            for topic in ("clicks", "views"):
                assert create_topic(requester, topic)[0] == NONE
                assert produce(requester, topic, b"one") == (NONE, 0)
            gone = "clicks" if (second / "clicks-0").exists() else "views"
            kept = "views" if gone == "clicks" else "clicks"
            delete_under_use(second)
            assert produce_until_refused(requester, gone) == KAFKA_STORAGE_ERROR
            assert fetch_once(requester, gone, 0).error_code == KAFKA_STORAGE_ERROR
            assert produce(requester, kept, b"two") == (NONE, 1)
            assert fetch_all(requester, kept) == {0: b"one", 1: b"two"}
        assert "Traceback" not in process.log.read_text()
