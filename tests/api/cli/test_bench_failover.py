"""`headrace bench failover` and `embedded`: what they count is what was there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import headrace
from tests.support.broker_process import BrokerProcess
from tests.support.cluster_processes import ClusterProcesses

DEADLINE_S = 120
HEADRACE = [sys.executable, "-m", "headrace.api.cli", "bench"]


def test_a_killed_broker_is_an_outage_and_loses_nothing(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, topics={"clicks": 1}) as broker:
        load = ["failover", "clicks", "--num-records", "600", "--throughput", "400", "--json"]
        bench = subprocess.Popen(
            [*HEADRACE, *load, "--kill", str(broker.pid), "-b", broker.bootstrap],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert broker.wait_for_exit() == -9
        broker.start()
        said, complaint = bench.communicate(timeout=DEADLINE_S)
    assert bench.returncode == 0, complaint
    found: dict[str, Any] = json.loads(said)
    assert found["records"] == 600
    assert (found["lost"], found["leaders"]) == (0, [1])
    assert found["longest_outage_s"] > 0
    # Records that were due while nobody answered waited for as long as that.
    assert found["latency_ms"]["max"] >= 1000 * found["longest_outage_s"] - 100
    assert "kill -9" in complaint


def test_it_goes_on_at_the_next_leader_when_the_first_is_killed(tmp_path: Path) -> None:
    with ClusterProcesses(tmp_path) as cluster:
        cluster.create_topic("clicks")
        leader = cluster.leader_of("clicks")
        # The others are found through the one that will be killed.
        load = ["failover", "clicks", "-b", f"127.0.0.1:{cluster.ports[leader]}", "--json"]
        load += ["--num-records", "900", "--throughput", "300"]
        done = subprocess.run(
            [*HEADRACE, *load, "--kill", str(cluster.pid_of(leader))],
            check=False,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 0, done.stderr
        assert cluster.brokers[leader].wait_for_exit() == -9
        next_leader = cluster.leader_of("clicks")
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["leaders"][0] == leader
    assert found["leaders"][-1] == next_leader != leader
    assert (found["records"], found["lost"]) == (900, 0)


def test_a_topic_with_several_leaders_is_written_and_read(tmp_path: Path) -> None:
    with ClusterProcesses(tmp_path) as cluster:
        cluster.create_topic("clicks", partitions=6)
        bootstrap = ["-b", f"127.0.0.1:{cluster.ports[1]}", "--json"]
        for load in (
            ["produce", "clicks", "--num-records", "3000", "--batch-records", "10"],
            ["consume", "clicks", "--num-records", "3000"],
            ["latency", "clicks", "--num-records", "300"],
        ):
            done = subprocess.run(
                [*HEADRACE, *load, *bootstrap],
                check=False,
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
            )
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["records"] == int(load[3])


def test_failover_wants_a_topic_of_one_partition(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, topics={"clicks": 2}) as broker:
        command = [*HEADRACE, "failover", "clicks", "-b", broker.bootstrap]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "needs one partition" in done.stderr


def test_embedded_reads_what_it_appended_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    size = ["--num-records", "2000", "--batch-records", "100", "--record-size", "10"]
    done = subprocess.run(
        [*HEADRACE, "embedded", *size, "--data", str(folder), "--json"],
        check=True,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    rows = {row["load"]: row["records"] for row in json.loads(done.stdout)}
    assert rows == {"append": 200, "append_many": 2000, "append_array": 2000, "read": 4200}
    with headrace.open(folder) as store:
        assert not list(store)
