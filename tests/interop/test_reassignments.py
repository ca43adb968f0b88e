"""Moves between three real brokers, throttled or not, by our scripts and by Kafka's own tool."""

import contextlib
import io
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.api.cli.__main__ import main as run_headrace
from headrace.api.cli.admin_client import BROKER_RESOURCE, TOPIC_RESOURCE, AdminClient
from headrace.api.cli.cluster_admin import reassignments
from headrace.api.cli.kafka_scripts.__main__ import main as run_script
from tests.support.cluster_processes import ClusterProcesses, wait_until
from tests.support.history import now_s
from tests.support.in_process_broker import batch_of, produce_body
from tests.support.kafka_java import JVM_FLAGS, RUN_SECONDS, kafka_classpath
from tests.support.requests import Requester

pytestmark = pytest.mark.timeout(600)

KAFKAS_TOOLS = {
    "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
}
MOVES = "kafka-reassign-partitions"
ANSWER_BYTES = 1 << 20
"""replica.fetch.max.bytes: what one answer may bring before the rate is looked at again."""

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterProcesses]:
    with ClusterProcesses(tmp_path_factory.mktemp("moves")) as running:
        yield running


@pytest.fixture
def admin(cluster: ClusterProcesses) -> Iterator[AdminClient]:
    with AdminClient(cluster.bootstrap) as client:
        yield client


def filled_topic(cluster: ClusterProcesses, admin: AdminClient, name: str, mebibytes: int) -> None:
    """A topic of one partition on broker 0, and no copy elsewhere."""
    admin.create_topic(name, assignment={0: [0]})
    cluster.wait_in_sync([name])
    value = bytes(range(256)) * 512
    with Requester(cluster.brokers[0].port) as client:
        for _ in range(8 * mebibytes):
            answer = client.ask(0, 9, produce_body(name, batch_of(value)))
            assert answer["responses"][0]["partition_responses"][0]["error_code"] == 0


def ours(cluster: ClusterProcesses, *arguments: str, script: str = MOVES) -> tuple[int, str]:
    """Exit code and output of a script."""
    address = ["--bootstrap-server", cluster.bootstrap]
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = run_script([script, *address, *arguments])
    return code, output.getvalue()


def theirs(cluster: ClusterProcesses, *arguments: str, script: str = MOVES) -> tuple[int, str]:
    """The same of Kafka's tool."""
    command = ["java", *JVM_FLAGS, "-cp", kafka_classpath(), KAFKAS_TOOLS[script]]
    done = subprocess.run(
        [*command, "--bootstrap-server", cluster.bootstrap, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    return done.returncode, done.stdout


def target_file(folder: Path, topic: str, *replicas: int) -> str:
    row = {"topic": topic, "partition": 0, "replicas": list(replicas)}
    path = folder / f"{topic}-to-{replicas[0]}.json"
    path.write_text(json.dumps({"version": 1, "partitions": [row]}))
    return str(path)


def own_settings(admin: AdminClient, kind: int, name: str) -> dict[str, str | None]:
    """What is throttled or how much, as it was set."""
    sources = {TOPIC_RESOURCE: 1, BROKER_RESOURCE: 2}
    return {
        entry.name: entry.value
        for entry in admin.configs(kind, name)
        if entry.source == sources[kind] and "throttled" in entry.name
    }


def all_throttles(admin: AdminClient, topic: str) -> dict[str, str | None]:
    found = own_settings(admin, TOPIC_RESOURCE, topic)
    for broker in "012":
        found.update(own_settings(admin, BROKER_RESOURCE, broker))
    return found


def seconds_to_move(
    cluster: ClusterProcesses, admin: AdminClient, topic: str, target: str, *flags: str
) -> float:
    started = now_s()
    code, said = ours(cluster, "--execute", "--reassignment-json-file", target, *flags)
    assert code == 0, said
    wait_until(lambda: not reassignments(admin, [(topic, 0)]), "the move is done", within_s=240)
    return now_s() - started


def test_a_throttled_move_takes_the_time_its_rate_allows_and_verify_lifts_it(
    cluster: ClusterProcesses, admin: AdminClient, tmp_path: Path
) -> None:
    mebibytes, rate = 12, 2_000_000
    filled_topic(cluster, admin, "paced", mebibytes)
    freely = seconds_to_move(cluster, admin, "paced", target_file(tmp_path, "paced", 1))
    slow_target = target_file(tmp_path, "paced", 2)
    paced = seconds_to_move(
        cluster, admin, "paced", slow_target, "--throttle", str(rate), "--timeout", "1000"
    )
    # The first and the last answer need not wait for their bytes' share of time.
    assert paced > (mebibytes - 2) * ANSWER_BYTES / rate
    assert paced > freely
    assert all_throttles(admin, "paced") == {
        "leader.replication.throttled.replicas": "0:1",
        "follower.replication.throttled.replicas": "0:2",
        "leader.replication.throttled.rate": str(rate),
        "follower.replication.throttled.rate": str(rate),
    }
    code, said = ours(cluster, "--verify", "--reassignment-json-file", slow_target)
    assert code == 0
    assert "Reassignment of partition paced-0 is completed." in said
    assert all_throttles(admin, "paced") == {}


def test_headrace_cluster_reassign_lifts_its_throttle_itself(
    cluster: ClusterProcesses, admin: AdminClient, capsys: pytest.CaptureFixture[str]
) -> None:
    filled_topic(cluster, admin, "lifted", 3)
    address = ["--bootstrap-server", cluster.bootstrap]
    move = ["cluster", "reassign", "lifted", "--to", "2", "--throttle", "1000000"]
    started = now_s()
    assert run_headrace([*move, *address]) == 0
    assert now_s() - started > (3 - 2) * ANSWER_BYTES / 1_000_000
    assert "1 partitions moved." in capsys.readouterr().out
    assert all_throttles(admin, "lifted") == {}
    assert cluster.partitions("lifted")[0]["replica_nodes"] == [2]


@pytest.mark.parametrize("preserves", [False, True])
def test_what_a_killed_command_left_throttled_is_lifted_as_its_move_is_called_off(
    cluster: ClusterProcesses,
    admin: AdminClient,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    preserves: bool,
) -> None:
    topic = f"killed-{preserves}".lower()
    filled_topic(cluster, admin, topic, 8)
    to = ["--reassignment-json-file", target_file(tmp_path, topic, 1)]
    assert ours(cluster, "--execute", *to, "--throttle", "100")[0] == 0
    address = ["--bootstrap-server", cluster.bootstrap]
    again = ["cluster", "reassign", topic, "--to", "1", "--no-wait", *address]
    assert run_headrace(again) == 0
    assert f"Throttled by another command, which may be gone: {topic}." in capsys.readouterr().err
    call_off = ["cluster", "reassign", topic, "--cancel", *address]
    assert run_headrace([*call_off, *(["--preserve-throttles"] if preserves else [])]) == 0
    if preserves:
        assert len(all_throttles(admin, topic)) == 4
        assert "lifted" not in capsys.readouterr().err
        # The next move of its partitions is not to be held back by it.
        assert run_headrace(["cluster", "reassign", topic, "--to", "1", *address]) == 0
        assert cluster.partitions(topic)[0]["replica_nodes"] == [1]
    assert f"Throttles of an earlier move are lifted: {topic}." in capsys.readouterr().err
    assert all_throttles(admin, topic) == {}


def is_back(cluster: ClusterProcesses, topic: str) -> bool:
    """Whether every broker tells of no copy but the first one any more."""
    told = [cluster.partitions(topic, number)[0]["replica_nodes"] for number in cluster.running]
    return told == [[0]] * len(cluster.running)


def play_a_move(cluster: ClusterProcesses, run: Run, topic: str, folder: Path) -> list[object]:
    """What a tool says of one move from its beginning to its cancellation, and what it sets."""
    file = ["--reassignment-json-file", target_file(folder, topic, 1)]
    said: list[object] = []

    def describe(*flags: str) -> tuple[int, str]:
        code, text = run(cluster, "--describe", "--topic", topic, *flags, script="kafka-topics")
        return code, re.sub(r"TopicId: \S+|Configs: \S+", "", text)

    with AdminClient(cluster.bootstrap) as admin:
        filled_topic(cluster, admin, topic, 8)  # 100 bytes a second: 1 MiB every 11 s
        said.append(run(cluster, "--execute", *file, "--throttle", "100"))
        said.append(all_throttles(admin, topic))
        said.append(run(cluster, "--list"))
        said.append(describe())
        said.append(describe("--under-replicated-partitions"))
        said.append(run(cluster, "--execute", *file))
        said.append(run(cluster, "--execute", *file, "--additional", "--throttle", "90"))
        said.append(run(cluster, "--verify", *file))
        said.append(all_throttles(admin, topic))
        said.append(run(cluster, "--cancel", *file, "--preserve-throttles"))
        wait_until(lambda: is_back(cluster, topic), "it is back where it was")
        said.append(describe())
        said.append(all_throttles(admin, topic))
        said.append(run(cluster, "--verify", *file, "--preserve-throttles"))
        said.append(run(cluster, "--verify", *file))
        said.append(all_throttles(admin, topic))
        said.append(run(cluster, "--cancel", *file))
        said.append(run(cluster, "--list"))
    return json.loads(json.dumps(said).replace(topic, "TOPIC"))  # type: ignore[no-any-return]


REFUSED_FILES: dict[str, object] = {
    "unknown-topic": [{"topic": "nosuch", "partition": 0, "replicas": [0]}],
    "unknown-partition": [{"topic": "named", "partition": 9, "replicas": [0]}],
    "unknown-broker": [{"topic": "named", "partition": 0, "replicas": [9]}],
    "twice": [{"topic": "named", "partition": 0, "replicas": [each]} for each in (1, 2)],
    "nobody": [{"topic": "named", "partition": 0, "replicas": []}],
    "no-field": [{"topic": "named", "partition": 0}],
    "nothing": [],
}


@pytest.mark.java
def test_files_are_refused_in_the_words_of_kafkas_tool(
    cluster: ClusterProcesses, admin: AdminClient, tmp_path: Path
) -> None:
    kafka_classpath()
    admin.create_topic("named", assignment={0: [0, 1]})
    cluster.wait_in_sync(["named"])

    def refusals(run: Run, *arguments: str) -> tuple[int, list[str]]:
        """Code and output, without the traces of Java's exceptions."""
        code, said = run(cluster, *arguments)
        lines = [line for line in said.splitlines() if line and not line.startswith("\t")]
        return code, [line for line in lines if not re.match(r"org\.|java\.|com\.|Caused", line)]

    for name, rows in REFUSED_FILES.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"version": 1, "partitions": rows}))
        file = ["--reassignment-json-file", str(path)]
        assert refusals(ours, "--execute", *file) == refusals(theirs, "--execute", *file), name
        if name in ("unknown-topic", "twice", "nothing"):
            assert refusals(ours, "--verify", *file) == refusals(theirs, "--verify", *file), name
            assert refusals(ours, "--cancel", *file) == refusals(theirs, "--cancel", *file), name
    more = ["--reassignment-json-file", target_file(tmp_path, "named", 0, 1, 2)]
    more += ["--execute", "--disallow-replication-factor-change"]
    refused = refusals(ours, *more)
    assert refused == refusals(theirs, *more)
    assert refused[1][-1] == "named-0: The replication factor is changed from 2 to 3"


@pytest.mark.parametrize(
    ("flags", "refusal"),
    [
        (["--list", "--timeout", "5"], 'Option "[timeout]" can\'t be used with action "[list]"'),
        (["--list", "--throttle", "5"], 'Option "[throttle]" can\'t be used with action "[list]"'),
        (
            ["--verify", "--reassignment-json-file", "x", "--additional"],
            'Option "[additional]" can\'t be used with action "[verify]"',
        ),
    ],
)
def test_options_that_an_action_does_not_take_are_refused_as_by_kafkas_tool(
    cluster: ClusterProcesses,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    refusal: str,
) -> None:
    with pytest.raises(SystemExit, match="1"):
        ours(cluster, *flags)
    assert capsys.readouterr().err.splitlines()[0] == refusal


@pytest.mark.java
def test_our_script_says_and_sets_what_kafkas_tool_does(
    cluster: ClusterProcesses, tmp_path: Path
) -> None:
    kafka_classpath()
    of_kafkas_tool = play_a_move(cluster, theirs, "by-kafkas-tool", tmp_path)
    of_our_script = play_a_move(cluster, ours, "by-our-script", tmp_path)
    for step, (our, their) in enumerate(zip(of_our_script, of_kafkas_tool, strict=True)):
        assert our == their, step
    assert of_kafkas_tool[1] != {}, "it was throttled"
    described = str(of_kafkas_tool[3]).replace("\\t", " ")
    assert "Replicas: 1,0 Isr: 0 Adding Replicas: 1 Removing Replicas: 0" in described
    assert of_kafkas_tool[4] == [0, ""], "a copy that is to come is not missed"
    assert of_kafkas_tool[14] == {}, "and is not any more"
