"""1,000 partitions and 1,024 descriptors: files are opened and closed again, clients wait."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker_process import BrokerProcess
from tests.support.cluster_processes import wait_until
from tests.support.raw_client import RawClient
from tests.support.requests import Requester
from tests.support.stored_records import create_topic, fetch_all, produce

NONE = 0
PARTITIONS = 1000
DESCRIPTORS = 1024


def limit_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path, before_exec=limit_descriptors) as process:
        yield process


def open_descriptors(broker: BrokerProcess) -> int:
    return len(list(Path(f"/proc/{broker.pid}/fd").iterdir()))


def test_thousand_partitions_fit_a_limit_of_1024_descriptors(broker: BrokerProcess) -> None:
    with Requester(broker.port, timeout_s=60) as requester:
        assert create_topic(requester, "wide", PARTITIONS)[0] == NONE
        for turn in range(2):
            for index in range(PARTITIONS):
                value = b"%d %d" % (index, turn)
                assert produce(requester, "wide", value, partition=index) == (NONE, turn)
        wait_until(lambda: open_descriptors(broker) < DESCRIPTORS // 2, "idle files are closed")
    for is_clean in (True, False):
        if is_clean:
            assert broker.terminate() == 0
        broker.restart()
        with Requester(broker.port) as requester:
            for index in range(0, PARTITIONS, 37):
                found = fetch_all(requester, "wide", partition=index)
                assert found == {turn: b"%d %d" % (index, turn) for turn in range(2)}
        wait_until(lambda: open_descriptors(broker) < DESCRIPTORS // 2, "idle files are closed")


def test_more_clients_than_descriptors_are_kept_waiting_and_harm_no_record(
    broker: BrokerProcess,
) -> None:
    """Whoever is connected goes on; segments are rolled and topics made all the same."""
    with Requester(broker.port) as requester:
        configs = {"segment.bytes": str(1 << 20)}
        assert create_topic(requester, "clicks", configs=configs)[0] == NONE
        assert produce(requester, "clicks", b"x" * 600_000) == (NONE, 0)
        with contextlib.ExitStack() as stack:
            for _ in range(DESCRIPTORS + 200):
                newest = stack.enter_context(RawClient(broker.port))
            for number in range(1, 5):
                assert produce(requester, "clicks", b"x" * 600_000) == (NONE, number)
            assert create_topic(requester, "views")[0] == NONE
            assert produce(requester, "views", b"one") == (NONE, 0)
            assert len(fetch_all(requester, "clicks")) == 5
            # The queue of the listener is served in order: now all of them were seen.
            assert newest.is_closed_by_peer()
        assert produce(requester, "clicks", b"after") == (NONE, 5)
        with Requester(broker.port) as newcomer:
            assert fetch_all(newcomer, "views") == {0: b"one"}
    said = broker.log.read_text()
    assert "goes offline" not in said, said
    assert "raise `ulimit -n`" in said, said
