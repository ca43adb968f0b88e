"""SIGKILL while names and segments change: topics come and go, logs are cut and compacted."""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.core.log_verify import verify_log_dir
from tests.support.broker_process import BrokerProcess
from tests.support.cluster_processes import wait_until
from tests.support.requests import Requester
from tests.support.stored_records import (
    create_topic,
    delete_topic,
    fetch_once,
    grow_topic,
    list_offset,
    partitions_of,
    produce,
)

NONE, OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PARTITION = 0, 1, 3
EARLIEST = -2
TOPIC_CYCLES, LOG_CYCLES = 15, 10
KILL_AFTER_S = (0.0, 0.15)


@contextlib.contextmanager
def killed_soon(broker: BrokerProcess, chance: random.Random) -> Iterator[None]:
    """The broker dies at some moment of the block, which ends with the first lost answer."""
    timer = threading.Timer(chance.uniform(*KILL_AFTER_S), broker.kill)
    timer.start()
    try:
        with contextlib.suppress(OSError):
            yield
    finally:
        timer.join()


class Topics:
    """What the broker has promised about topics: name -> the partition counts it may have."""

    def __init__(self) -> None:
        self.possible: dict[str, set[int]] = {}
        self._made = 0

    def step(self, requester: Requester, chance: random.Random) -> None:
        """One change; while it is under way both the old and the new count are possible."""
        name, old, new, ask = self._choose(requester, chance)
        self.possible[name] = {old, new}
        assert ask() == NONE
        self.possible[name] = {new}

    def _choose(
        self, requester: Requester, chance: random.Random
    ) -> tuple[str, int, int, Callable[[], int]]:
        living = [name for name, counts in self.possible.items() if min(counts) > 0]
        kind = chance.choice(("create", "grow", "delete")) if living else "create"
        if kind == "create":
            name, count = f"topic{self._made}", chance.randint(1, 6)
            self._made += 1
            return name, 0, count, lambda: create_topic(requester, name, count)[0]
        name = chance.choice(living)
        (old,) = self.possible[name]
        if kind == "grow":
            return name, old, old + 2, lambda: grow_topic(requester, name, old + 2)[0]
        return name, old, 0, lambda: delete_topic(requester, name)

    def check(self, broker: BrokerProcess, requester: Requester) -> None:
        """Every topic is whole or gone, and nothing lies around that no topic owns."""
        owned = set()
        for name, counts in self.possible.items():
            found = partitions_of(requester, name)
            assert len(found) in counts, (name, counts, found)
            assert found == dict.fromkeys(range(len(found)), NONE), (name, found)
            self.possible[name] = {len(found)}
            owned |= {f"{name}-{index}" for index in found}
            if found:
                last = len(found) - 1
                assert produce(requester, name, b"x", partition=last)[0] == NONE
        on_disk = {path.name for path in broker.data.glob("topic*") if "-delete" not in path.name}
        assert on_disk == owned


def test_kills_while_topics_change_leave_each_topic_whole_or_gone(tmp_path: Path) -> None:
    chance = random.Random(20261123)
    topics = Topics()
    with BrokerProcess(tmp_path) as broker:
        for _ in range(TOPIC_CYCLES):
            with Requester(broker.port) as requester, killed_soon(broker, chance):
                while True:
                    topics.step(requester, chance)
            broker.start()
            with Requester(broker.port) as requester:
                topics.check(broker, requester)


class KeyedLog:
    """What was acknowledged in one partition: value and key by offset, in the order of offsets."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.acknowledged: dict[int, bytes] = {}
        self.unanswered: bytes | None = None
        self._number = 0

    def step(self, requester: Requester, chance: random.Random) -> None:
        key = b"key%d" % chance.randint(0, 9)
        value = key + b" %d " % self._number + b"." * 60_000
        self._number += 1
        self.unanswered = value
        error_code, offset = produce(requester, self.topic, value, keys=[key])
        assert error_code == NONE
        self.unanswered = None
        self.acknowledged[offset] = value

    def read(self, requester: Requester) -> dict[int, bytes]:
        """Everything that is served, from the log's start on."""
        found: dict[int, bytes] = {}
        offset = list_offset(requester, self.topic, EARLIEST)
        while True:
            error_code, values = fetch_once(requester, self.topic, offset)
            if error_code == OFFSET_OUT_OF_RANGE:  # retention was faster
                offset = list_offset(requester, self.topic, EARLIEST)
                continue
            assert error_code == NONE
            if not values:
                return found
            found |= {at: value for at, value in values.items() if value is not None}
            offset = max(values) + 1

    def settle_unanswered(self, found: dict[int, bytes]) -> None:
        """The request that the kill interrupted may have been carried out."""
        for offset, value in found.items():
            if value == self.unanswered:
                self.acknowledged[offset] = value
        self.unanswered = None


def check_compacted(log: KeyedLog, found: dict[int, bytes]) -> None:
    """Each offset holds what was acknowledged there, and the newest of each key is there."""
    assert found.items() <= log.acknowledged.items()
    newest = {value.split()[0]: offset for offset, value in sorted(log.acknowledged.items())}
    assert set(newest.values()) <= set(found)


def check_retained(log: KeyedLog, found: dict[int, bytes]) -> None:
    """What is there is the newest part of what was acknowledged, without a gap."""
    start = min(found)
    assert found == {at: value for at, value in log.acknowledged.items() if at >= start}


@pytest.mark.slow
def test_kills_during_compaction_and_retention_lose_only_what_was_to_go(tmp_path: Path) -> None:
    chance = random.Random(20261124)
    config = {
        "log.cleaner.backoff.ms": "20",
        "log.retention.check.interval.ms": "20",
        "log.segment.delete.delay.ms": "0",
    }
    with BrokerProcess(tmp_path, config=config) as broker:
        small = {"segment.bytes": str(1 << 20)}
        compacted = {**small, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"}
        retained = {**small, "retention.bytes": str(2 << 20), "retention.ms": "-1"}
        logs = (KeyedLog("compacted"), KeyedLog("retained"))
        with Requester(broker.port) as requester:
            assert create_topic(requester, "compacted", configs=compacted)[0] == NONE
            assert create_topic(requester, "retained", configs=retained)[0] == NONE
            for _ in range(60):
                for log in logs:
                    log.step(requester, chance)
        for _ in range(LOG_CYCLES):
            with Requester(broker.port) as requester, killed_soon(broker, chance):
                while True:
                    for log in logs:
                        log.step(requester, chance)
            broker.start()
            with Requester(broker.port) as requester:
                for log, check in zip(logs, (check_compacted, check_retained), strict=True):
                    found = log.read(requester)
                    log.settle_unanswered(found)
                    check(log, found)
        # A machine that was too slow for it between the kills has the time now.
        wait_until(lambda: "compacted compacted-0 below" in broker.log.read_text(), "compaction")
        with Requester(broker.port) as requester:
            wait_until(lambda: list_offset(requester, "retained", EARLIEST) > 0, "retention")
        assert broker.terminate() == 0
    assert [found for found in verify_log_dir(broker.data) if found.severity == "error"] == []
