"""Workloads of the OpenMessaging Benchmark against headrace and real brokers.

    python -m benchmarks.openmessaging simple-workload --seconds 30
    python -m benchmarks.openmessaging path/to/workload.yaml --driver exactly-once --peers headrace

A workload and a driver are YAML files in OpenMessaging's keys, by path or by name in
benchmarks/workloads and its drivers/.  A workload lasts as long as it says unless --seconds is
given.  A driver's three replicas are had with `--peers headrace-3,kafka-3`; one broker keeps one.
One topic, one producer and one consumer; the load is load/paced_load.c, in an open loop: latency
counts from when a message was due.
"""

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .harness import (
    build_load_program,
    command_shown,
    commit,
    keep_json,
    machine,
    run_loads,
    stop_on_sigterm,
    time_limit,
)
from .peers.brokers import PEERS
from .peers.install import PeerUnavailableError, need_file, need_module
from .peers.peer import Peer
from .plots import plot_percentiles, require_matplotlib
from .resident_memory import TOUCH_BYTES, touch_memory
from .topics import create_topic

WORKLOADS = Path(__file__).with_name("workloads")
DRIVERS = WORKLOADS / "drivers"
PLAYERS = ("headrace", "kafka", "kfake")
# Only what can be played: anything else is refused, not passed over.
MUST_BE_ONE = ("topics", "producersPerTopic", "subscriptionsPerTopic", "consumerPerSubscription")
PERCENTILES = ("p50", "p75", "p95", "p99", "p99.9", "p99.99", "max")
# A rate that no producer reaches is OpenMessaging's way to say "as fast as it goes".
UNLIMITED_RATE = 10_000_000
# Starting, stopping, and reading what is left of the messages.
BESIDE_S = 60.0


class WorkloadError(Exception):
    """A workload that cannot be read or played; the text says what to change."""


@dataclass(frozen=True)
class Workload:
    """What a file asks for; a rate of 0 is without limit."""

    name: str
    partitions: int
    message_bytes: int
    rate: float
    seconds: float


@dataclass(frozen=True)
class Driver:
    """How a workload's topic, producer and consumer are set, as name=value."""

    name: str
    replicas: int
    topic: dict[str, str]
    producer: tuple[str, ...]
    consumer: tuple[str, ...]


def read_driver(name: str) -> Driver:
    """The driver of that path, or of that name in benchmarks/workloads/drivers."""
    path, content = _read_yaml(name, DRIVERS, "driver")
    return Driver(
        name=str(content.get("name", path.stem)),
        replicas=int(content.get("replicationFactor", 1)),
        topic=dict(pair.split("=", 1) for pair in _properties(path, content, "topicConfig")),
        producer=_properties(path, content, "producerConfig"),
        consumer=_properties(path, content, "consumerConfig"),
    )


def _properties(path: Path, content: dict[str, Any], key: str) -> tuple[str, ...]:
    lines = [line.strip() for line in str(content.get(key, "")).splitlines()]
    wrong = [line for line in lines if line and "=" not in line]
    if wrong:
        raise WorkloadError(f"{path}: {key} has {wrong[0]!r}, which is no name=value")
    return tuple(line for line in lines if line)


def _read_yaml(name: str, folder: Path, kind: str) -> tuple[Path, dict[str, Any]]:
    """A file by its path, or by its name in `folder`; raises WorkloadError."""
    try:
        need_module("yaml", pypi="PyYAML")
    except PeerUnavailableError as error:
        raise WorkloadError(f"a {kind} is YAML: {error}") from None
    import yaml

    path = Path(name) if Path(name).is_file() else folder / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.yaml")))
        raise WorkloadError(f"{name}: no such file, and no {kind} of that name; there are {known}")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise WorkloadError(f"{path} is no YAML: {error}") from None
    if not isinstance(content, dict):
        raise WorkloadError(f"{path}: a {kind} is a mapping of names to values")
    return path, content


def read_workload(name: str) -> Workload:
    """The workload of that path, or of that name in benchmarks/workloads; raises WorkloadError."""
    path, content = _read_yaml(name, WORKLOADS, "workload")
    for key in MUST_BE_ONE:
        if content.get(key, 1) != 1:
            raise WorkloadError(f"{path}: {key} is {content[key]}, and only 1 can be played here")
    try:
        rate = float(content["producerRate"])
        workload = Workload(
            name=str(content.get("name", path.stem)),
            partitions=int(content["partitionsPerTopic"]),
            message_bytes=int(content["messageSize"]),
            rate=0.0 if rate >= UNLIMITED_RATE else rate,
            seconds=60 * float(content["testDurationMinutes"]),
        )
    except KeyError as error:
        raise WorkloadError(f"{path} does not say {error.args[0]}") from None
    except (TypeError, ValueError) as error:
        raise WorkloadError(f"{path}: {error}") from None
    if workload.message_bytes < 8:
        raise WorkloadError(f"{path}: messageSize must be 8 or more: it carries the due time")
    return workload


def play(peer: Peer, workload: Workload, driver: Driver, seconds: float) -> dict[str, Any]:
    """One run on fresh brokers: rates, latencies in microseconds, the brokers' own CPU."""
    need_file("/usr/include/librdkafka/rdkafka.h", debian="librdkafka-dev")
    program = build_load_program("paced_load", ("rdkafka", "pthread"))
    folder = Path(tempfile.mkdtemp(prefix="headrace-openmessaging-"))
    (folder / "data").mkdir()
    replicas = min(driver.replicas, peer.brokers)
    settings = [*driver.producer, *(f"consumer.{pair}" for pair in driver.consumer)]
    try:
        running = peer.start(folder / "data")
        try:
            create_topic(
                running,
                workload.name,
                workload.partitions,
                replicas=replicas,
                configs=driver.topic if replicas == driver.replicas else {},
            )
            before = running.cpu_s()
            load = (running.bootstrap, workload.name, workload.rate, seconds, seconds / 10)
            command = [program, *load, workload.message_bytes, *settings]
            (result,) = run_loads([command], limit_s=load_limit_s(seconds))
            result["broker_cpu_s"] = round(running.cpu_s() - before, 3)
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def load_limit_s(seconds: float) -> float:
    """How long a load may take: a warm-up of a tenth, the workload, what is read behind it."""
    return 2 * seconds + BESIDE_S


def markdown(results: dict[str, dict[str, Any]]) -> str:
    names = list(results)
    lines = [f"| {' | '.join(['figure', *names])} |", f"|{'---|' * (len(names) + 1)}"]

    def add(title: str, cells: list[str]) -> None:
        lines.append(f"| {' | '.join([title, *cells])} |")

    for key, title in (("produce_rate", "produced, msg/s"), ("consume_rate", "consumed, msg/s")):
        add(title, [f"{results[name][key]:,.0f}" for name in names])
    add("broker, CPU-s", [f"{results[name]['broker_cpu_s']:.2f}" for name in names])
    for key, title in (("publish_us", "publish"), ("end_to_end_us", "end to end")):
        for percentile in PERCENTILES:
            cells = [f"{results[name][key][percentile] / 1000:.3f}" for name in names]
            add(f"{title} {percentile}, ms", cells)
    return "\n".join(lines)


def main() -> int:
    args = _parse_arguments()
    stop_on_sigterm()
    if args.plot:
        require_matplotlib()
    try:
        workload, driver = read_workload(args.workload), read_driver(args.driver)
    except WorkloadError as error:
        sys.exit(str(error))
    seconds = args.seconds or workload.seconds
    results: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    versions: dict[str, str] = {}
    heading = {
        "workload": f"{workload}, {seconds:g} s after {seconds / 10:g} s of warm-up",
        "driver": f"{driver.name}: {' '.join(driver.producer)}",
        "machine": machine(),
        "commit": commit(),
        "versions": versions,
        "command": command_shown("openmessaging"),
        "fsync": "none (page cache) for every broker",
        "left out": left_out,
    }
    for name in args.peers.split(","):
        peer = PEERS[name]()
        try:
            peer.prepare()
            # A run that only shows that it works needs little.
            touch_memory(TOUCH_BYTES if seconds >= 5 else TOUCH_BYTES >> 6)
            with time_limit(load_limit_s(seconds) + BESIDE_S, name):
                results[name] = play(peer, workload, driver, seconds)
            versions[name] = peer.version
        except PeerUnavailableError as error:
            left_out[name] = str(error)
            print(f"without {name}: {error}", file=sys.stderr)
        if args.json:
            keep_json(args.json, heading | {"results": results})
    print("\n".join(f"{key}: {value}  " for key, value in heading.items()) + "\n")
    print(markdown(results))
    if args.plot and results:
        in_ms = {
            name: {key: result["end_to_end_us"][key] / 1000 for key in PERCENTILES}
            for name, result in results.items()
        }
        title = f"{workload.name}, {driver.name}: end to end"
        print(f"plot: {plot_percentiles(args.plot, title, in_ms)}")
    return 0 if results else 1


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload", help="a file, or a name in benchmarks/workloads")
    parser.add_argument("--seconds", type=float, help="instead of the workload's own duration")
    parser.add_argument("--driver", default="latency", help="a file, or latency or exactly-once")
    parser.add_argument("--peers", default=",".join(PLAYERS), help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="percentiles, as PNG or SVG")
    args = parser.parse_args()
    playing = [name for name, make in PEERS.items() if make().protocol == "kafka"]
    unknown = [name for name in args.peers.split(",") if name not in playing]
    if unknown:
        parser.error(f"--peers {unknown[0]}: there are {', '.join(playing)}")
    return args


if __name__ == "__main__":
    sys.exit(main())
