"""headrace, Apache Kafka and kfake, each as a `Peer`; PEERS has them by name."""

import compileall
import subprocess
import sys
from pathlib import Path

import headrace

from .peer import BUILD, ROOT, Peer, run_quietly

KAFKA_VERSION = "4.3.1"
KAFKA_LIBRARIES = BUILD / "kafka-libraries"
KFAKE_PROGRAM = BUILD / "kfake"
# What bin/kafka-run-class.sh and kafka-server-start.sh of that version give to the JVM.
KAFKA_JVM = [
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
]
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qk"


def _headrace_command(port: int, data: Path) -> list[str]:
    up = [sys.executable, "-m", "headrace.api.cli", "up", "--data", str(data)]
    return [*up, "--listen", f"127.0.0.1:{port}"]


def _prepare_kafka() -> None:
    if not any(KAFKA_LIBRARIES.glob(f"kafka_2.13-{KAFKA_VERSION}.jar")):
        goal = ["mvn", "-q", "-B", "dependency:copy-dependencies"]
        run_quietly(
            [*goal, f"-DoutputDirectory={KAFKA_LIBRARIES}"],
            ROOT / "benchmarks" / "peers" / "kafka",
            "Apache Kafka needs a JVM and mvn (Debian: default-jre-headless, maven)",
        )


def _kafka_command(port: int, data: Path) -> list[str]:
    """Formats the folder where it is new; KRaft, broker and controller in one process."""
    java = ["java", *KAFKA_JVM, "-cp", f"{KAFKA_LIBRARIES}/*"]
    properties = data.parent / f"kafka-{port}.properties"
    properties.write_text(
        "process.roles=broker,controller\nnode.id=0\n"
        f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{port + 1}\n"
        f"controller.quorum.voters=0@127.0.0.1:{port + 1}\n"
        "controller.listener.names=CONTROLLER\n"
        f"log.dirs={data}\noffsets.topic.replication.factor=1\n"
        "transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"
        "group.initial.rebalance.delay.ms=0\n"
    )
    if not (data / "meta.properties").exists():
        run_quietly(
            [*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)],
            data.parent,
            "Apache Kafka needs java",
        )
    return [*java, "kafka.Kafka", str(properties)]


def _prepare_kfake() -> None:
    if not KFAKE_PROGRAM.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        run_quietly(
            ["go", "build", "-o", str(KFAKE_PROGRAM), "."],
            ROOT / "benchmarks" / "peers" / "kfake",
            "kfake needs go 1.26 or newer",
        )


def _kfake_version() -> str:
    for line in (ROOT / "benchmarks/peers/kfake/go.mod").read_text().splitlines():
        if "pkg/kfake v" in line:
            return line.split()[-1]
    return "unknown"


def _headrace_version() -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return f"{headrace.__version__} {commit}"


def _prepare_headrace() -> None:
    """headrace is this very package; its bytecode is written here, as pip does on installing."""
    compileall.compile_dir(Path(headrace.__file__).parent, quiet=2)


PEERS = {
    "headrace": lambda: Peer("headrace", _headrace_version(), _prepare_headrace, _headrace_command),
    "kafka": lambda: Peer("kafka", KAFKA_VERSION, _prepare_kafka, _kafka_command),
    "kfake": lambda: Peer(
        "kfake",
        _kfake_version(),
        _prepare_kfake,
        lambda port, data: [str(KFAKE_PROGRAM), "-port", str(port), "-data", str(data)],
    ),
}
