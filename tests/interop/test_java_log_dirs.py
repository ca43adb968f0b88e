"""Our script and Kafka's own move a replica between the log.dirs of a broker, in the same words."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.api.cli.__main__ import main as run_headrace
from headrace.api.cli.admin_client import BROKER_RESOURCE, AdminClient
from headrace.api.cli.common import EXIT_USAGE
from headrace.api.cli.kafka_scripts.__main__ import main as run_script
from headrace.api.cli.replica_log_dirs import Replica, ReplicaLogDirs, find_log_dirs
from tests.support.broker_process import BrokerProcess
from tests.support.cluster_processes import wait_until
from tests.support.in_process_broker import batch_of, produce_body
from tests.support.kafka_java import run_kafka_class
from tests.support.requests import Requester

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

REASSIGN = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
LOG_DIRS = "org.apache.kafka.tools.LogDirsCommand"
RATE = "replica.alter.log.dirs.io.max.bytes.per.second"

Run = Callable[..., str]


def ours(*arguments: str) -> str:
    """What kafka-reassign-partitions.sh prints."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = run_script(["kafka-reassign-partitions", *arguments])
    assert code == 0, output.getvalue()
    return output.getvalue()


def theirs(*arguments: str) -> str:
    """The same of Kafka's tool."""
    return run_kafka_class(REASSIGN, *arguments)


class Scene:
    """A broker with two folders and one partition of 4 MiB in one of them."""

    def __init__(self, folder: Path, broker: BrokerProcess) -> None:
        self.folder = folder
        self.broker = broker
        self.server = ("--bootstrap-server", broker.bootstrap)
        self.folders = [folder / "one", folder / "two"]
        with Requester(broker.port) as client:
            for _ in range(32):
                answer = client.ask(0, 9, produce_body("clicks", batch_of(bytes(1 << 17))))
                assert answer["responses"][0]["partition_responses"][0]["error_code"] == 0

    def holder(self) -> Path:
        (found,) = [each for each in self.folders if (each / "clicks-0").exists()]
        return found

    def other(self) -> Path:
        (found,) = [each for each in self.folders if each != self.holder()]
        return found

    def moves_to(self, target: Path) -> list[str]:
        """The arguments that name a file with this one move."""
        row = {"topic": "clicks", "partition": 0, "replicas": [1], "log_dirs": [str(target)]}
        path = self.folder / "moves.json"
        path.write_text(json.dumps({"version": 1, "partitions": [row]}))
        return [*self.server, "--reassignment-json-file", str(path)]

    def rate(self) -> str | None:
        """The rate as it was set for this broker; None where it was not."""
        with AdminClient(self.broker.bootstrap) as admin:
            entries = admin.configs(BROKER_RESOURCE, "1")
        return next(
            (each.value for each in entries if each.name == RATE and each.source == 2), None
        )


@contextlib.contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    folder.mkdir(exist_ok=True)
    config = {"log.dirs": f"{folder / 'one'},{folder / 'two'}"}
    with BrokerProcess(folder, topics={"clicks": 1}, config=config) as broker:
        yield Scene(folder, broker)


def play(folder: Path, run: Run) -> list[str]:
    """What a tool says of a held-back move, of its cancellation, and of a move to its end."""
    said = []
    with scene(folder) as at:
        source, target = at.holder(), at.other()
        asked = at.moves_to(target)
        slowly = ("--replica-alter-log-dirs-throttle", "100")
        said.append(run(*asked, "--execute", *slowly))
        assert at.rate() == "100"
        said.append(run(*asked, "--verify"))
        assert at.rate() == "100", "the move is under way"
        said.append(run(*at.moves_to(folder / "elsewhere"), "--verify"))
        at.moves_to(target)
        said.append(run(*asked, "--cancel", "--preserve-throttles"))
        assert at.holder() == source
        said.append(run(*asked, "--verify"))
        assert at.rate() is None, "nothing is under way any more"
        said.append(run(*asked, "--execute"))
        wait_until((target / "clicks-0").exists, "the replica is moved")
        wait_until(lambda: not (source / "clicks-0").exists(), "the old one is gone")
        said.append(run(*asked, "--verify"))
        said.append(run(*asked, "--cancel"))
    names = {str(source): "SOURCE", str(target): "TARGET", str(folder): "FOLDER"}
    for path, name in names.items():
        said = [text.replace(path, name) for text in said]
    return said


def test_our_script_moves_a_replica_to_another_folder(tmp_path: Path) -> None:
    said = play(tmp_path / "ours", ours)
    started = (
        "Successfully started moving log directory to {} for replica clicks-0 with broker 1 \n"
    )
    assert '"replicas":[1],"log_dirs":["SOURCE"]' in said[0]
    assert "The replica-alter-dir throttle limit was set to 100 B/s" in said[0]
    assert said[0].endswith(started.format("TARGET"))
    assert "Reassignment of replica clicks-0-1 is still in progress." in said[1]
    assert "on broker 1 is being moved to log dir TARGET instead of FOLDER/elsewhere." in said[2]
    assert said[3].endswith(started.format("SOURCE"))
    assert "on broker 1 is not being moved from log dir SOURCE to TARGET." in said[4]
    assert "Reassignment of replica clicks-0-1 completed successfully." in said[6]
    assert "None of the specified partition moves are active." in said[7]


@pytest.mark.java
def test_our_script_says_of_folders_what_kafkas_tool_does(tmp_path: Path) -> None:
    of_kafkas_tool = play(tmp_path / "theirs", theirs)
    of_our_script = play(tmp_path / "ours", ours)
    for step, (our, their) in enumerate(zip(of_our_script, of_kafkas_tool, strict=True)):
        assert our == their, step


def test_headrace_cluster_reassign_moves_to_a_folder_and_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scene(tmp_path) as at:
        target = at.other()
        move = ["cluster", "reassign", "clicks", "--to", "1", *at.server]
        assert run_headrace([*move, "--log-dirs", str(target)]) == 0
        assert "1 partitions moved." in capsys.readouterr().out
        found = find_log_dirs_of(at.broker, Replica("clicks", 0, 1))
        assert found == ReplicaLogDirs(str(target))
        assert run_headrace([*move, "--log-dirs", f"{target},{target}"]) == EXIT_USAGE
        assert run_headrace([*move, "--log-dirs", str(tmp_path / "elsewhere")]) == 1
        assert "clicks-0-1" in capsys.readouterr().err


def find_log_dirs_of(broker: BrokerProcess, replica: Replica) -> ReplicaLogDirs:
    with AdminClient(broker.bootstrap) as admin:
        return find_log_dirs(admin, [replica])[replica]


def test_a_folder_that_is_none_of_the_brokers_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scene(tmp_path) as at:
        asked = at.moves_to(tmp_path / "elsewhere")
        assert run_script(["kafka-reassign-partitions", *asked, "--execute"]) == 1
        assert "Error: Failed to alter dir for clicks-0-1" in capsys.readouterr().out


@pytest.mark.java
def test_kafkas_log_dirs_tool_finds_a_replica_where_it_went(tmp_path: Path) -> None:
    with scene(tmp_path) as at:
        source, target = at.holder(), at.other()
        ours(*at.moves_to(target), "--execute")
        wait_until((target / "clicks-0").exists, "the replica is moved")
        told = run_kafka_class(LOG_DIRS, *at.server, "--describe")
        (found,) = json.loads(told[told.index("{") :])["brokers"]
        held = {each["logDir"]: each["partitions"] for each in found["logDirs"]}
        assert held[str(source)] == []
        assert [(each["partition"], each["isFuture"]) for each in held[str(target)]] == [
            ("clicks-0", False)
        ]
