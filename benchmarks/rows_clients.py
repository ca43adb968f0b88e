"""What people with other clients feel: Kafka's own perf tools in Java, confluent-kafka, aiokafka.

The client is the limit of most of these; the brokers' CPU stands beside each rate.
"""

import re
import subprocess
import sys
from pathlib import Path

from .harness import LOAD_LIMIT_S, run_loads
from .loads import produce_command
from .peers.apache_kafka import java_command, prepare_kafka
from .peers.install import PeerUnavailableError, need_module, python_environment
from .peers.peer import RunningPeer
from .row import Figures, Row
from .topics import create_ready_topic

MESSAGES = {"smoke": 2_000, "quick": 500_000, "full": 3_000_000}
PYTHON_MESSAGES = {"smoke": 1_000, "quick": 200_000, "full": 1_000_000}
MESSAGE_BYTES = 100
PYTHON_CLIENT = Path(__file__).with_name("load") / "python_client.py"
# client -> what it imports
PYTHON_CLIENTS = {"confluent": "confluent_kafka", "aiokafka": "aiokafka"}


def java_tools(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """kafka-producer-perf-test and kafka-consumer-perf-test of Kafka 4.3.1, 100-byte records."""
    prepare_kafka()
    count, topic = MESSAGES[scale], f"java-{turn}"
    create_ready_topic(peer, topic)
    load = ["--topic", topic, "--num-records", str(count)]
    settings = ["--producer-props", f"bootstrap.servers={peer.bootstrap}", "acks=1"]
    size = ["--record-size", str(MESSAGE_BYTES), "--throughput", "-1"]
    producer = java_command("org.apache.kafka.tools.ProducerPerformance", *load, *size, *settings)
    said, cpu_s = _run_java(peer, producer)
    found = re.findall(r"([\d.]+) records/sec", said)
    if not found:
        raise PeerUnavailableError(f"kafka-producer-perf-test said: {said[-200:]}")
    title = "kafka-producer-perf-test"
    figures = _figures(title, float(found[-1]), cpu_s, count)
    consumer = java_command(
        "org.apache.kafka.tools.ConsumerPerformance",
        *(*load, "--bootstrap-server", peer.bootstrap, "--timeout", "30000"),
    )
    said, cpu_s = _run_java(peer, consumer)
    return figures | _figures("kafka-consumer-perf-test", fetched_rate(said), cpu_s, count)


def fetched_rate(said: str) -> float:
    """Messages a second while fetching, from the table that kafka-consumer-perf-test prints."""
    lines = [line.split(", ") for line in said.splitlines() if ", " in line]
    heads = [head for head in lines if "fetch.nMsg.sec" in head]
    if not heads or len(lines[-1]) != len(heads[0]):
        raise PeerUnavailableError(f"kafka-consumer-perf-test said: {said[-200:]}")
    return float(dict(zip(heads[0], lines[-1], strict=True))["fetch.nMsg.sec"])


def _run_java(peer: RunningPeer, command: list[str]) -> tuple[str, float]:
    before = peer.cpu_s()
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=LOAD_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise PeerUnavailableError(f"{command[-1]}: over {LOAD_LIMIT_S} s") from None
    if done.returncode:
        raise PeerUnavailableError((done.stdout + done.stderr).strip()[-300:])
    return done.stdout, peer.cpu_s() - before


def _figures(title: str, rate: float, cpu_s: float, count: int) -> Figures:
    return {
        title: (rate, "msg/s", "more"),
        f"{title}, broker": (cpu_s / (count * MESSAGE_BYTES) * 1e9, "CPU-s/GB", "less"),
    }


def python_clients(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """Produce and consume, a Python call a message (aiokafka) or a batch of 10,000 (confluent)."""
    figures: Figures = {}
    count = PYTHON_MESSAGES[scale]
    for client, module in PYTHON_CLIENTS.items():
        need_module(module, pypi=module.replace("_", "-"))
        topic = f"python-{client}-{turn}"
        create_ready_topic(peer, topic)
        # What is consumed was all produced in the same way, by the load on librdkafka.
        read_topic = f"python-read-{turn}"
        if client == "confluent":
            create_ready_topic(peer, read_topic)
            run_loads([produce_command(peer, read_topic, count, MESSAGE_BYTES)])
        for verb, of in (("produce", topic), ("consume", read_topic)):
            command = [sys.executable, PYTHON_CLIENT, client, verb, peer.bootstrap, of, count]
            before = peer.cpu_s()
            (result,) = run_loads([[*command, MESSAGE_BYTES]], python_environment())
            cpu_s = peer.cpu_s() - before
            rate = result["messages"] / result["seconds"]
            figures |= _figures(f"{client} {verb}, Python", rate, cpu_s, count)
    return figures


ROWS = {"java-tools": Row(java_tools, 14), "python-clients": Row(python_clients, 22)}
