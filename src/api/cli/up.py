"""`headrace up`: a broker in this terminal, with what to paste next to it."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.checkpoint_file import META_PROPERTIES_NAME
from .common import (
    EXIT_USAGE,
    CliError,
    HelpFormatter,
    load_without_collecting,
    parse_name_value,
)

if TYPE_CHECKING:
    from ..broker import Broker
    from ..broker_config import BrokerConfig

_EPILOG = """\
examples:
  headrace up
  headrace up --data /var/lib/headrace --listen 127.0.0.1:9095
  headrace up --topic clicks:3 --topic orders
  headrace up --listen 0.0.0.0 --advertise broker.example:9092
  headrace up --brokers 3              three processes on 9092, 9093, 9094

Ctrl-C or SIGTERM stops it cleanly."""
_DEFAULT_TOPIC = "clicks"


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "up",
        help="run a broker in this terminal",
        description="Runs one broker until Ctrl-C; nothing else needs to be installed or running.",
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("headrace-data"),
        metavar="DIR",
        help="the data folder, made if it is not there (default: ./headrace-data)",
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1:9092",
        metavar="HOST:PORT",
        help="where to listen (default: %(default)s); port 0 takes a free one",
    )
    parser.add_argument(
        "--advertise",
        metavar="HOST:PORT",
        help="what clients are told to connect to, where it differs from --listen",
    )
    parser.add_argument(
        "--topic",
        action="append",
        default=[],
        metavar="NAME[:PARTITIONS]",
        help="a topic to create if it is not there; may be repeated",
    )
    parser.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a broker setting of Kafka's, as in --override num.partitions=3; may be repeated",
    )
    parser.add_argument(
        "--brokers",
        type=int,
        metavar="N",
        help="run a cluster: N processes on consecutive ports, with folders DIR/broker-0 ...",
    )
    parser.add_argument("--verbose", action="store_true", help="log what happens, on stderr")
    parser.set_defaults(run=run)


def parse_topic(text: str) -> tuple[str, int]:
    """`NAME:PARTITIONS` or `NAME` as a pair; CliError where it is neither."""
    name, separator, count = text.partition(":")
    if not name or (separator and not (count.isdecimal() and int(count) > 0)):
        raise CliError(f"--topic {text}: give NAME or NAME:PARTITIONS, as in clicks:3", EXIT_USAGE)
    return name, int(count) if separator else 1


def run(args: argparse.Namespace) -> int:
    """Serves until it is told to stop; the exit code."""
    topics = [parse_topic(text) for text in args.topic]
    overrides = dict(parse_name_value("--override", text) for text in args.override)
    if args.brokers is not None:
        from . import up_cluster

        return up_cluster.run(args, topics, overrides)
    refuse_folder_of_a_cluster(args.data)
    load_without_collecting()
    from ..broker_config import config_from_up
    from .serving import log_to_stderr, serve, usage_errors

    with usage_errors():
        config = config_from_up(args.data, args.listen, args.advertise, overrides)
    log_to_stderr(verbose=args.verbose)

    def on_started(broker: "Broker") -> None:
        existing = broker.cluster_group.state.topics
        for name, count in topics:
            found = existing[name].partition_count
            if f"{name}:{count}" in args.topic and found != count:
                print(different_count(name, count, found), file=sys.stderr)
        print(welcome(config, broker, topics[0][0] if topics else _DEFAULT_TOPIC), flush=True)

    return serve(config, topics=topics, on_started=on_started)


def refuse_folder_of_a_cluster(data: Path) -> None:
    """CliError where `--brokers` was used with this folder: a broker in it would have nothing."""
    brokers = list(data.glob(f"broker-*/{META_PROPERTIES_NAME}"))
    if brokers and not (data / META_PROPERTIES_NAME).exists():
        raise CliError(
            f"{data} has the folders that `--brokers` made: serve them with `headrace up "
            f"--brokers {len(brokers)} --data {data}`, or choose another --data"
        )


def different_count(name: str, asked: int, found: int) -> str:
    """Says that `--topic` creates topics only, and changes none that is there."""
    advice = f"headrace topics alter {name} --partitions {asked}" if asked > found else "keep it"
    return f"--topic {name}:{asked}: the topic is there with {found} partitions; {advice}"


def welcome(config: "BrokerConfig", broker: "Broker", topic: str) -> str:
    """What a person pastes next: addresses, a producer in Python, a consumer with kcat."""
    folder = config.log_dirs[0].absolute()
    bootstrap = broker.bootstrap
    return f"""\
headrace is up: node {broker.node_id} of cluster {broker.cluster_id}

  bootstrap   {bootstrap}
  data        {folder}
  durability  {durability(config)}

produce with Python:

from confluent_kafka import Producer
producer = Producer({{"bootstrap.servers": "{bootstrap}"}})
producer.produce("{topic}", b"hello"); producer.flush()

consume with kcat:

kcat -b {bootstrap} -t {topic} -C -o beginning

Ctrl-C stops it."""


def durability(config: "BrokerConfig") -> str:
    """In words, when an acknowledged record is safe from what."""
    if config.log_config.flush_messages == 1:
        return "synced to disk before each answer (flush.messages=1)"
    return (
        "page cache, as Kafka: survives a killed process, not a power cut; "
        "flush.messages=1 on a topic syncs before each answer"
    )
