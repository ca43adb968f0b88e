"""kafka-console-consumer.sh: prints the records of topics."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ....core.errors import HeadraceError
from ..common import end_properly_on_sigterm
from ..consume import follow
from .options import (
    add_config_alias,
    client_properties,
    make_parser,
    parse_pairs,
    read_properties,
)

FORMATTER_PROPERTIES = {
    "print.timestamp": "false",
    "print.key": "false",
    "print.offset": "false",
    "print.epoch": "false",
    "print.partition": "false",
    "print.headers": "false",
    "print.value": "true",
    "key.separator": "\t",
    "line.separator": "\n",
    "headers.separator": ",",
    "null.literal": "null",
}
TIMESTAMP_TYPES = {0: "NoTimestampType", 1: "CreateTime", 2: "LogAppendTime"}


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("kafka-console-consumer", "Prints the records of topics.")
    parser.add_argument("--bootstrap-server")
    parser.add_argument("--zookeeper", help="read as the bootstrap address, with a warning")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--topic")
    what.add_argument("--include", "--whitelist", dest="include", help="a regular expression")
    parser.add_argument("--from-beginning", action="store_true")
    parser.add_argument("--max-messages", type=int)
    parser.add_argument("--timeout-ms", type=int)
    parser.add_argument("--group")
    parser.add_argument("--partition", type=int)
    parser.add_argument("--offset")
    parser.add_argument("--isolation-level", default="read_uncommitted")
    parser.add_argument("--property", "--formatter-property", action="append", default=[])
    parser.add_argument(
        "--consumer-property", "--command-property", action="append", default=[], dest="client"
    )
    parser.add_argument("--command-config", type=Path)
    add_config_alias(parser, "--consumer.config")
    parser.add_argument("--formatter-config", type=Path)
    parser.add_argument("--formatter", help=argparse.SUPPRESS)
    parser.add_argument("--key-deserializer", help=argparse.SUPPRESS)
    parser.add_argument("--value-deserializer", help=argparse.SUPPRESS)
    parser.add_argument("--skip-message-on-error", action="store_true")
    parser.add_argument("--enable-systest-events", action="store_true", help=argparse.SUPPRESS)
    return parser


def compile_formatter(properties: dict[str, str]) -> Callable[[Any], bytes]:
    """Kafka's DefaultMessageFormatter: a function from a message to the bytes of its line."""
    settings = FORMATTER_PROPERTIES | {
        name: value for name, value in properties.items() if not name.endswith("deserializer")
    }
    unknown = set(settings) - set(FORMATTER_PROPERTIES)
    if unknown:
        raise HeadraceError(
            f"--property {sorted(unknown)[0]} is not known; "
            f"there are {', '.join(FORMATTER_PROPERTIES)}"
        )
    null = settings["null.literal"].encode()
    headers_separator = settings["headers.separator"].encode()

    def headers_of(message: Any) -> bytes:
        pairs = message.headers()
        if not pairs:
            return b"NO_HEADERS"
        return headers_separator.join(
            name.encode() + b":" + (null if value is None else value) for name, value in pairs
        )

    def timestamp_of(message: Any) -> bytes:
        kind, milliseconds = message.timestamp()
        return f"{TIMESTAMP_TYPES[kind]}:{milliseconds}".encode()

    parts: list[Callable[[Any], bytes]] = []
    for name, render in {
        "print.timestamp": timestamp_of,
        "print.partition": lambda message: b"Partition:%d" % message.partition(),
        "print.offset": lambda message: b"Offset:%d" % message.offset(),
        "print.epoch": lambda message: b"Epoch:%d" % (message.leader_epoch() or 0),
        "print.headers": headers_of,
        "print.key": lambda message: null if message.key() is None else message.key(),
        "print.value": lambda message: null if message.value() is None else message.value(),
    }.items():
        if settings[name] == "true":
            parts.append(render)
    separator = settings["key.separator"].encode()
    line_end = settings["line.separator"].encode()
    return lambda message: separator.join(part(message) for part in parts) + line_end


def consumer_settings(args: argparse.Namespace) -> dict[str, str]:
    """librdkafka's settings for Kafka's flags."""
    given = read_properties(args.command_config) if args.command_config else {}
    given |= parse_pairs("--consumer-property", args.client)
    named_group = args.group or given.get("group.id")
    settings = {
        "bootstrap.servers": args.bootstrap_server,
        "client.id": "console-consumer",
        "group.id": "console-consumer-without-group",
        "auto.offset.reset": "earliest" if args.from_beginning else "latest",
        "enable.auto.commit": str(named_group is not None).lower(),
        "enable.partition.eof": "false",
        "isolation.level": args.isolation_level,
        "fetch.wait.max.ms": "100",
        # Topics that come to match --include later are seen without delay.
        "topic.metadata.refresh.interval.ms": "5000",
    } | client_properties(given)
    if args.group is not None:
        settings["group.id"] = args.group
    return settings


def _start(consumer: Any, args: argparse.Namespace, *, has_group: bool) -> int:
    """Assigns or subscribes; the number of partitions assigned, 0 with a group."""
    from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, TopicPartition

    topic = args.topic if args.topic is not None else f"^({args.include.replace(',', '|')})$"
    if has_group or args.topic is None:
        if args.partition is not None:
            raise HeadraceError("Options group and partition cannot be specified together.")
        consumer.subscribe([topic])
        return 0
    start = OFFSET_BEGINNING if args.from_beginning else OFFSET_END
    if args.partition is not None and not args.from_beginning:
        words = {"earliest": OFFSET_BEGINNING, "latest": OFFSET_END}
        offset = args.offset or "latest"
        if offset not in words and not offset.isdigit():
            raise HeadraceError(
                f"The provided offset value '{offset}' is incorrect. Valid values are "
                "'earliest', 'latest', or a non-negative long."
            )
        start = words[offset] if offset in words else int(offset)
    listed = consumer.list_topics(topic, timeout=30).topics[topic]
    if listed.error is not None and not listed.partitions:
        # Kafka's consumer asks for a topic by subscribing, and the broker may create it.
        consumer.subscribe([topic])
        return 0
    indexes = sorted(listed.partitions) if args.partition is None else [args.partition]
    consumer.assign([TopicPartition(topic, index, start) for index in indexes])
    return len(indexes)


def main(argv: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    if args.bootstrap_server is None and args.zookeeper is not None:
        print(
            "WARNING: --zookeeper is read as --bootstrap-server: there is no ZooKeeper here.",
            file=sys.stderr,
        )
        args.bootstrap_server = args.zookeeper
    if args.bootstrap_server is None:
        parser.error('Missing required argument "[bootstrap-server]"')
    if args.offset is not None and args.partition is None:
        parser.error("The partition is required when offset is specified.")
    if args.offset is not None and args.from_beginning:
        parser.error("Options from-beginning and offset cannot be specified together.")
    from confluent_kafka import Consumer, KafkaException

    properties = read_properties(args.formatter_config) if args.formatter_config else {}
    render = compile_formatter(properties | parse_pairs("--property", args.property))
    settings = consumer_settings(args)
    has_group = settings["group.id"] != "console-consumer-without-group"
    end_properly_on_sigterm()
    try:
        consumer = Consumer(settings, logger=None)
    except KafkaException as error:
        raise HeadraceError(f"the client refused its settings: {error}") from None
    try:
        partitions = _start(consumer, args, has_group=has_group)
        _print_records(consumer, args, partitions, render)
    except KafkaException as error:
        raise HeadraceError(str(error.args[0].str())) from None
    finally:
        consumer.close()
    return 0


def _print_records(
    consumer: Any, args: argparse.Namespace, partitions: int, render: Callable[[Any], bytes]
) -> None:
    count = 0
    idle_s = None if args.timeout_ms is None else args.timeout_ms / 1000
    output = sys.stdout.buffer
    try:
        if args.max_messages == 0:
            return
        for message in follow(
            consumer, partitions=partitions, exit_at_end=False, idle_timeout_s=idle_s
        ):
            output.write(render(message))
            output.flush()
            count += 1
            if count == args.max_messages:
                break
        else:
            print(
                "ERROR Error processing message, terminating consumer process: "
                "org.apache.kafka.common.errors.TimeoutException",
                file=sys.stderr,
            )
    finally:
        print(f"Processed a total of {count} messages", file=sys.stderr)
