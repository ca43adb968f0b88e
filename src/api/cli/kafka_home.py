"""`headrace kafka-home DIR`: Kafka's scripts and settings, so that tutorials run as printed."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from .common import add_command, add_json_argument, print_json
from .kafka_scripts import SCRIPTS

HELP = "write DIR/bin/kafka-*.sh and DIR/config/*.properties for Kafka tutorials"
EXAMPLES = """examples:
  headrace kafka-home ~/kafka
  export KAFKA_HOME=~/kafka PATH=~/kafka/bin:$PATH
  kafka-topics.sh --list --bootstrap-server localhost:9092
"""

SERVER_PROPERTIES = """\
# One broker on this machine.  For a second one copy this file and change these three.
broker.id=0
listeners=PLAINTEXT://localhost:9092
log.dir=/tmp/kafka-logs

# Where the cluster is found: the broker that listens there begins it, the others join.
controller.quorum.bootstrap.servers=localhost:9092

num.partitions=1
group.initial.rebalance.delay.ms=0

log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
"""
CONFIG_FILES = {
    "server.properties": SERVER_PROPERTIES,
    "broker.properties": SERVER_PROPERTIES,
    "zookeeper.properties": (
        "# Nothing here is read: this broker needs no ZooKeeper.\n"
        "dataDir=/tmp/zookeeper\nclientPort=2181\n"
    ),
    "producer.properties": "bootstrap.servers=localhost:9092\ncompression.type=none\n",
    "consumer.properties": "bootstrap.servers=localhost:9092\ngroup.id=test-consumer-group\n",
}


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = add_command(subparsers, "kafka-home", HELP, EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument("directory", metavar="DIR", type=Path)
    parser.add_argument("--force", action="store_true", help="overwrite changed config files")
    add_json_argument(parser)


def script_text(name: str) -> str:
    """A shell script that runs our translator of one of Kafka's scripts with this Python."""
    return (
        "#!/bin/sh\n"
        f'exec {shlex.quote(sys.executable)} -m headrace.api.cli.kafka_scripts {name} "$@"\n'
    )


def run(args: argparse.Namespace) -> int:
    home = args.directory.expanduser().absolute()
    (home / "bin").mkdir(parents=True, exist_ok=True)
    (home / "config").mkdir(exist_ok=True)
    for name in SCRIPTS:
        path = home / "bin" / f"{name}.sh"
        path.write_text(script_text(name))
        path.chmod(0o755)
    kept = []
    for name, text in CONFIG_FILES.items():
        path = home / "config" / name
        if path.exists() and path.read_text() != text and not args.force:
            kept.append(str(path))
            continue
        path.write_text(text)
    if args.json:
        print_json({"kafka_home": str(home), "scripts": sorted(SCRIPTS), "kept": kept})
        return 0
    for kept_path in kept:
        print(f"kept {kept_path}: it was changed (--force overwrites it)")
    print(f"export KAFKA_HOME={shlex.quote(str(home))}")
    print('export PATH="$KAFKA_HOME/bin:$PATH"')
    return 0
