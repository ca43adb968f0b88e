"""Apache Kafka from Maven Central: its libraries, and the commands that run one or three brokers.

KRaft, broker and controller in one process each; the JVM gets what Kafka's own start script gives.
"""

from pathlib import Path

from .install import BUILD, ROOT, need_program, run_quietly

KAFKA_VERSION = "4.3.1"
KAFKA_LIBRARIES = BUILD / "kafka-libraries"
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
# A broker takes two ports: the second one is its controller's.
PORT_STEP = 2


def prepare_kafka() -> None:
    """Fetches the libraries once."""
    need_program("java", debian="default-jre-headless")
    if not any(KAFKA_LIBRARIES.glob(f"kafka_2.13-{KAFKA_VERSION}.jar")):
        need_program("mvn", debian="maven")
        goal = ["mvn", "-q", "-B", "dependency:copy-dependencies"]
        run_quietly(
            [*goal, f"-DoutputDirectory={KAFKA_LIBRARIES}"],
            ROOT / "benchmarks" / "peers" / "kafka",
            "Apache Kafka needs mvn (Debian: maven)",
        )


def java_command(main: str, *arguments: str, heap: str = "512M") -> list[str]:
    """One of Kafka's own programs, by its class."""
    java = ["java", f"-Xmx{heap}", "-XX:+UseG1GC", "-cp", f"{KAFKA_LIBRARIES}/*"]
    return [*java, main, *arguments]


def kafka_commands(
    port: int, data: Path, settings: dict[str, str], *, brokers: int
) -> list[list[str]]:
    """A command a broker; formats the folders where they are new."""
    voters = ",".join(f"{node}@127.0.0.1:{port + PORT_STEP * node + 1}" for node in range(brokers))
    java = ["java", *KAFKA_JVM, "-cp", f"{KAFKA_LIBRARIES}/*"]
    # Settings are about what runs beside a load: it shall not wait for its first half minute.
    more = {"log.initial.task.delay.ms": "0"} | settings if settings else {}
    commands = []
    for node in range(brokers):
        folder = data / f"broker-{node}" if brokers > 1 else data
        properties = data.parent / f"kafka-{port}-{node}.properties"
        own_port = port + PORT_STEP * node
        properties.write_text(
            f"process.roles=broker,controller\nnode.id={node}\n"
            f"listeners=PLAINTEXT://127.0.0.1:{own_port},CONTROLLER://127.0.0.1:{own_port + 1}\n"
            f"controller.quorum.voters={voters}\n"
            "controller.listener.names=CONTROLLER\n"
            f"log.dirs={folder}\noffsets.topic.replication.factor={brokers}\n"
            f"transaction.state.log.replication.factor={brokers}\n"
            "transaction.state.log.min.isr=1\ngroup.initial.rebalance.delay.ms=0\n"
            + "".join(f"{name}={value}\n" for name, value in more.items())
        )
        if not (folder / "meta.properties").exists():
            tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)]
            run_quietly([*java, *tool], data.parent, "Apache Kafka needs java")
        commands.append([*java, "kafka.Kafka", str(properties)])
    return commands
