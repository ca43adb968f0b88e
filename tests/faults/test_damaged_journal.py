"""The journal of the cluster's state, torn, changed or lost: cut, refused by name, or rebuilt."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker_process import BrokerProcess
from tests.support.refused_start import refused_start
from tests.support.requests import Requester
from tests.support.stored_records import (
    create_topic,
    fetch_all,
    partitions_of,
    produce,
)

NONE = 0
TOPICS = ("clicks", "views", "likes")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path) as process:
        with Requester(process.port) as requester:
            for topic in TOPICS:
                assert create_topic(requester, topic, 2)[0] == NONE
                assert produce(requester, topic, topic.encode()) == (NONE, 0)
        yield process


def journal_of(broker: BrokerProcess) -> Path:
    (file,) = (broker.data / "__headrace_raft").glob("*.wal")
    return file


def written_end(file: Path) -> int:
    """Where the reserved zeros begin."""
    return len(file.read_bytes().rstrip(b"\0"))


def check_topics(broker: BrokerProcess, topics: tuple[str, ...] = TOPICS) -> None:
    with Requester(broker.port) as requester:
        for topic in topics:
            assert partitions_of(requester, topic) == {0: NONE, 1: NONE}
            assert fetch_all(requester, topic) == {0: topic.encode()}


@pytest.mark.parametrize("junk", [b"\x01", b"\0\0\1\0 half a batch", b"\xff" * 10_000])
def test_torn_tail_of_the_journal_is_cut_and_said(broker: BrokerProcess, junk: bytes) -> None:
    broker.kill()
    file = journal_of(broker)
    content = file.read_bytes()
    end = written_end(file)
    file.write_bytes(content[:end] + junk + content[end + len(junk) :])
    broker.start()
    check_topics(broker)
    assert "bytes of a batch that was being written" in broker.log.read_text()


def test_changed_byte_in_the_journal_is_refused_with_file_and_byte(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    """Decisions are not guessed at; with the file restored all is back."""
    broker.terminate()
    file = journal_of(broker)
    intact = file.read_bytes()
    for position in (3, 20, written_end(file) // 2):
        content = bytearray(intact)
        content[position] ^= 0x40
        file.write_bytes(content)
        said = refused_start(tmp_path, broker.data)
        assert f"{file} is corrupt at byte" in said, said
    file.write_bytes(intact)
    broker.start()
    check_topics(broker)


def test_journal_of_junk_is_refused(broker: BrokerProcess, tmp_path: Path) -> None:
    broker.terminate()
    file = journal_of(broker)
    intact = file.read_bytes()
    for junk in (b"", b"junk", b"\xde\xad" * 40_000, bytes(1000)):
        file.write_bytes(junk)
        assert str(file) in refused_start(tmp_path, broker.data)
    file.write_bytes(intact)
    broker.start()
    check_topics(broker)


def test_lost_journal_is_rebuilt_from_the_folders(broker: BrokerProcess) -> None:
    """Topics and their ids come back from partition.metadata; settings of topics do not."""
    broker.terminate()
    shutil.rmtree(broker.data / "__headrace_raft")
    broker.start()
    check_topics(broker)
    broker.restart()
    check_topics(broker)
    with Requester(broker.port) as requester:
        assert produce(requester, "clicks", b"more") == (NONE, 1)


def test_stray_files_beside_the_journal_are_no_matter(broker: BrokerProcess) -> None:
    broker.terminate()
    folder = broker.data / "__headrace_raft"
    (folder / "notes.txt").write_text("not ours")
    (folder / f"{0:020d}.wal.tmp").write_bytes(b"an unfinished checkpoint")
    broker.start()
    check_topics(broker)
    assert (folder / "notes.txt").exists()
