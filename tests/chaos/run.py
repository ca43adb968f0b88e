"""One chaos run: a loaded cluster of three, one fault after another, and the judgement."""

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.workload import GroupReader, NumberedProducer, OffsetWatch, read_all
from tests.support.cluster_processes import ClusterProcesses
from tests.support.history import History, Partition, now_s
from tests.support.history_checks import (
    Violation,
    check_history,
    longest_gap_s,
    replicas_agree,
    writes_went_on,
)
from tests.support.replica_bytes import differing

EXACT, PLAIN = "exact", "plain"
PARTITIONS = 3
SETTLE_WITHIN_S = 60.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Round:
    """One fault: what it was, and the longest time without an acknowledgement in its partition."""

    fault: str
    words: str
    gap_s: float
    settled_s: float


@dataclass
class Result:
    """What a run did and what was wrong with it."""

    rounds: list[Round] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    acknowledged_count: int = 0
    unknown_count: int = 0
    seen_count: int = 0

    def gaps_s(self, fault: str) -> list[float]:
        return sorted(each.gap_s for each in self.rounds if each.fault == fault)


class ChaosRun:
    """Two topics under load: one written with idempotence, one without."""

    def __init__(
        self,
        cluster: ClusterProcesses,
        *,
        seed: int,
        say: Say = lambda _: None,
        bound_s: float = 30.0,
    ) -> None:
        self._cluster = cluster
        self._chance = random.Random(seed)
        self._say = say
        self._bound_s = bound_s
        self._history = History()
        self._pause = threading.Event()
        self._result = Result()
        self._partitions: list[Partition] = [
            (topic, index) for topic in (EXACT, PLAIN) for index in range(PARTITIONS)
        ]

    def run(self, faults: Sequence[str]) -> Result:
        """Every fault of `faults` in turn, then the judgement; the cluster is stopped by then."""
        min_isr = min(2, len(self._cluster.brokers))
        for topic in (EXACT, PLAIN):
            self._cluster.create_topic(
                topic, partitions=PARTITIONS, configs={"min.insync.replicas": str(min_isr)}
            )
        producers, others = self._start_clients()
        self._pause.wait(1.0)
        for number, fault in enumerate(faults):
            self._strike(fault, number, len(faults))
        unfinished = sum(producer.finish() for producer in producers)
        assert not unfinished, f"{unfinished} sends never ended"
        self._pause.wait(1.0)
        for each in others:
            each.finish()
        self._judge()
        return self._result

    def _start_clients(
        self,
    ) -> tuple[list[NumberedProducer], list[GroupReader | OffsetWatch]]:
        bootstrap, history = self._cluster.bootstrap, self._history
        exact = [partition for partition in self._partitions if partition[0] == EXACT]
        plain = [partition for partition in self._partitions if partition[0] == PLAIN]
        producers = [
            NumberedProducer(history, "e1", bootstrap, exact, is_idempotent=True),
            NumberedProducer(history, "e2", bootstrap, exact, is_idempotent=True),
            NumberedProducer(history, "p1", bootstrap, plain, is_idempotent=False),
        ]
        topics = (EXACT, PLAIN)
        others: list[GroupReader | OffsetWatch] = [
            GroupReader(history, "r1", bootstrap, topics, "readers"),
            GroupReader(history, "r2", bootstrap, topics, "readers"),
            OffsetWatch(history, bootstrap, self._partitions, "readers"),
        ]
        return producers, others

    def _strike(self, name: str, number: int, count: int) -> None:
        index = self._chance.randrange(PARTITIONS)
        leader = self._cluster.wait_led(EXACT, index)
        fault = FAULTS[name]
        struck_s = now_s()
        strike = fault.strike(self._cluster, leader, self._chance)
        self._pause.wait(self._chance.uniform(*fault.lasts_s))
        strike.heal()
        healed_s = now_s()
        settled_s = self._cluster.wait_in_sync((EXACT, PLAIN), within_s=SETTLE_WITHIN_S)
        self._pause.wait(0.5)
        ended_s = now_s()
        times = self._history.acknowledged_times().get((EXACT, index), [])
        gap_s = longest_gap_s(times, struck_s, ended_s)
        from_s = struck_s if strike.leaves_majority else healed_s
        self._result.violations += writes_went_on(
            times, fault_s=from_s, until_s=ended_s, bound_s=self._bound_s, what=strike.words
        )
        self._result.rounds.append(Round(name, strike.words, gap_s, settled_s))
        self._say(
            f"{number + 1}/{count} {strike.words}: longest gap {gap_s:.2f} s, in sync "
            f"{settled_s:.2f} s after it healed"
        )

    def _judge(self) -> None:
        final = {
            partition: read_all(self._cluster.bootstrap, partition)
            for partition in self._partitions
        }
        result, history = self._result, self._history
        result.violations += check_history(history, final)
        result.acknowledged_count = len(history.acknowledged())
        result.unknown_count = len(history.sends) - result.acknowledged_count
        result.seen_count = len(history.seen)
        for number in self._cluster.running:
            self._cluster.stop(number)
        folders = {number: broker.data for number, broker in self._cluster.brokers.items()}
        for partition, replicas in differing(folders, self._partitions).items():
            result.violations += replicas_agree(partition, replicas)


def run_chaos(
    folder: Path,
    faults: Sequence[str],
    *,
    seed: int,
    count: int = 3,
    say: Say = lambda _: None,
    bound_s: float = 30.0,
) -> Result:
    """A fresh proxied cluster in `folder` under `faults`."""
    with ClusterProcesses(folder, count=count, proxied=True) as cluster:
        return ChaosRun(cluster, seed=seed, say=say, bound_s=bound_s).run(faults)
