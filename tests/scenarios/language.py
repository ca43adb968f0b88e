"""The language of the scenario files: commands, a rule, and what was seen.

    # a comment                        a block ends with an empty line
    append 1 a,b                       one batch at broker 1, acks=all
    append 1 c acks=1
    ----
    broker 1: log_end_offset=3 ...     only brokers whose line is another than before

Commands: brokers IDS [setting=value ...] | append BROKER VALUES [acks=N] | fetch BROKER ... |
settle | elect BROKER [restarted|unclean] | no-leader | kill BROKER [lost=N] | start BROKER
[same-incarnation] | part BROKER | tick MS | hold | decide | fail | delete-records BROKER OFFSET |
read BROKER | list BROKER
"""

from collections.abc import Callable
from pathlib import Path

from headrace.core.errors import HeadraceError
from headrace.core.log_config import parse_topic_configs
from headrace.raft.errors import UnknownOutcomeError
from headrace.raft.partition_state import ElectKind, Outcome
from tests.support.replica_stage import ReplicaStage


class Scenario:
    """Carries out the commands of one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stage: ReplicaStage | None = None
        self._shown: dict[int, str] = {}

    @property
    def stage(self) -> ReplicaStage:
        assert self._stage is not None, "a scenario begins with `brokers`"
        return self._stage

    def close(self) -> None:
        if self._stage is not None:
            self._stage.close()

    def run_block(self, commands: list[str]) -> list[str]:
        """Everything that was said, then the brokers that are not as they were."""
        said: list[str] = []
        for command in commands:
            name, *words = command.split()
            carry_out: Callable[..., str | None] = getattr(self, "_do_" + name.replace("-", "_"))
            try:
                answer = carry_out(*words)
            except HeadraceError as error:
                answer = type(error).__name__
            if answer:
                said.append(f"{command}: {answer}")
            said += self.stage.said
            self.stage.said.clear()
        for broker_id in self.stage.brokers:
            line = self.stage.describe(broker_id)
            if self._shown.get(broker_id) != line:
                self._shown[broker_id] = line
                said.append(f"broker {broker_id}: {line}")
        return said

    # ---- the commands

    def _do_brokers(self, ids: str, *settings: str) -> None:
        config = parse_topic_configs(dict(each.split("=") for each in settings))
        self._stage = ReplicaStage(self._folder, tuple(map(int, ids.split(","))), config)

    def _do_append(self, broker: str, values: str, acks: str = "acks=-1") -> None:
        self.stage.append(int(broker), *values.split(","), acks=int(acks.removeprefix("acks=")))

    def _do_fetch(self, *brokers: str) -> str:
        return "; ".join(self.stage.fetch(int(broker)) for broker in brokers)

    def _do_settle(self) -> None:
        """Every live follower fetches until nothing changes."""
        before = None
        while (now := [self.stage.describe(each) for each in self.stage.brokers]) != before:
            before = now
            for broker_id, broker in self.stage.brokers.items():
                if broker.is_live:
                    self.stage.fetch(broker_id)

    def _do_elect(self, broker: str, kind: str = "clean") -> str | None:
        outcome = self.stage.elect(int(broker), ElectKind[kind.upper()])
        return None if outcome == Outcome.APPLIED else outcome.name

    def _do_no_leader(self) -> None:
        self.stage.lose_leader()

    def _do_kill(self, broker: str, lost: str = "lost=0") -> None:
        self.stage.brokers[int(broker)].kill(lost=int(lost.removeprefix("lost=")))

    def _do_start(self, broker: str, life: str = "") -> None:
        started = self.stage.brokers[int(broker)]
        if life != "same-incarnation":
            started.incarnation += 1
        started.start()

    def _do_part(self, broker: str) -> None:
        """The others take it for dead, and it lives on."""
        self.stage.brokers[int(broker)].is_live = False

    def _do_tick(self, milliseconds: str) -> None:
        """Time passes, and every replica looks whether somebody lags."""
        self.stage.clock.advance(int(milliseconds))
        for partition in list(self.stage.group.replicas):
            partition.review_isr(self.stage.clock.monotonic_ms())

    def _do_hold(self) -> None:
        self.stage.group.is_held = True

    def _do_decide(self) -> None:
        self.stage.group.is_held = False
        self.stage.group.decide_all()

    def _do_fail(self) -> None:
        self.stage.group.fail_all(UnknownOutcomeError("the scenario says so"))

    def _do_delete_records(self, broker: str, offset: str) -> None:
        self.stage.brokers[int(broker)].partition.delete_records(int(offset))

    def _do_read(self, broker: str) -> str:
        """What a consumer sees."""
        partition = self.stage.brokers[int(broker)].partition
        assert partition.is_leader, partition
        read = self.stage.brokers[int(broker)].values(partition.high_watermark)
        return ",".join(read) or "nothing"

    def _do_list(self, broker: str) -> str:
        """Where a consumer begins that wants only what is new."""
        return str(self.stage.brokers[int(broker)].partition.offset_for_timestamp(-1).offset)
