"""kafka-run-class.sh: the tools that books call by the name of their Java class."""

import argparse
import importlib

from ....core.errors import HeadraceError
from . import SCRIPTS
from .options import make_parser

# By the class's last name: the packages changed from version to version.
CLASSES = {
    "BrokerApiVersionsCommand": "kafka-broker-api-versions",
    "ClusterTool": "kafka-cluster",
    "ConfigCommand": "kafka-configs",
    "ConsoleConsumer": "kafka-console-consumer",
    "ConsoleProducer": "kafka-console-producer",
    "ConsumerGroupCommand": "kafka-consumer-groups",
    "ConsumerPerformance": "kafka-consumer-perf-test",
    "DeleteRecordsCommand": "kafka-delete-records",
    "DumpLogSegments": "kafka-dump-log",
    "GetOffsetShell": "kafka-get-offsets",
    "Kafka": "kafka-server-start",
    "LeaderElectionCommand": "kafka-leader-election",
    "LogDirsCommand": "kafka-log-dirs",
    "MetadataQuorumCommand": "kafka-metadata-quorum",
    "ProducerPerformance": "kafka-producer-perf-test",
    "ReassignPartitionsCommand": "kafka-reassign-partitions",
    "StorageTool": "kafka-storage",
    "TopicCommand": "kafka-topics",
}


def main(argv: list[str]) -> int:
    parser = make_parser("kafka-run-class", "Runs the script that a Java class stands for.")
    parser.add_argument("class_name", metavar="CLASS")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="those of the script")
    args = parser.parse_args(argv)
    script = CLASSES.get(args.class_name.rpartition(".")[2])
    if script is None:
        raise HeadraceError(
            f"there is no Java here to run {args.class_name}; what stands for a class are: "
            f"{', '.join(CLASSES)}"
        )
    module = importlib.import_module(f".{SCRIPTS[script]}", __package__)
    return int(module.main(args.flags))
