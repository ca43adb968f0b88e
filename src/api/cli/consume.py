"""`headrace consume`: records as lines, in a format of one's own or as JSON."""

import argparse
import base64
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ...core.errors import HeadraceError
from .common import (
    add_client_arguments,
    add_command,
    end_properly_on_sigterm,
    parse_name_values,
    positive_seconds,
)
from .group_wait import GroupWait

HELP = "print records"
EXAMPLES = """examples:
  headrace consume clicks --from-beginning -n 10 -f '%t/%p@%o %k=%v\\n'
  headrace consume clicks --group report --json
  headrace consume clicks --partition 0 --offset 100 --exit-at-end

format: %t topic  %p partition  %o offset  %k key  %v value  %T timestamp in ms  %h headers
        %K and %S sizes of key and value (-1 for null)  %% a percent sign  \\n \\t escapes
"""
NULL_TEXT = b"null"
SIGNAL_CHECK_S = 0.5


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = add_command(subparsers, "consume", HELP, EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument("topics", nargs="+", metavar="TOPIC")
    parser.add_argument("--from-beginning", action="store_true", help="default: what comes now")
    parser.add_argument("-n", "--max-records", type=int, metavar="N", help="stop after N records")
    parser.add_argument("-f", "--format", default="%v\\n", metavar="FORMAT")
    parser.add_argument("-g", "--group", metavar="GROUP", help="share the work, keep positions")
    parser.add_argument("--partition", type=int, metavar="N")
    parser.add_argument("--offset", metavar="N", help="with --partition: where to begin")
    parser.add_argument("--exit-at-end", action="store_true", help="stop at the end of the log")
    parser.add_argument("--idle-timeout", type=positive_seconds, metavar="SECONDS")
    parser.add_argument("--read-committed", action="store_true")
    parser.add_argument("--client-config", action="append", default=[], metavar="NAME=VALUE")
    add_client_arguments(parser)


_ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "0": b"\0", "\\": b"\\"}


def compile_format(text: str) -> Callable[[Any], bytes]:
    """A function from a message to its bytes; raises HeadraceError at an unknown `%x` or `\\x`."""
    pieces: list[bytes | Callable[[Any], bytes]] = []
    characters = iter(text)
    for character in characters:
        if character not in "%\\":
            pieces.append(character.encode())
            continue
        letter = next(characters, "")
        if character == "\\" and letter in _ESCAPES:
            pieces.append(_ESCAPES[letter])
        elif character == "%" and letter == "%":
            pieces.append(b"%")
        elif character == "%" and letter in _FIELDS:
            pieces.append(_FIELDS[letter])
        else:
            raise HeadraceError(
                f"--format: {character}{letter} is not known; "
                f"there are %{', %'.join(_FIELDS)} and %%, \\n, \\t, \\r, \\0"
            )
    return lambda message: b"".join(
        piece if isinstance(piece, bytes) else piece(message) for piece in pieces
    )


def _size(value: bytes | None) -> bytes:
    return b"-1" if value is None else str(len(value)).encode()


def _bytes(value: bytes | None) -> bytes:
    return NULL_TEXT if value is None else value


def _headers(message: Any) -> bytes:
    pairs = message.headers() or []
    return b",".join(name.encode() + b"=" + _bytes(value) for name, value in pairs)


_FIELDS: dict[str, Callable[[Any], bytes]] = {
    "t": lambda message: message.topic().encode(),
    "p": lambda message: str(message.partition()).encode(),
    "o": lambda message: str(message.offset()).encode(),
    "k": lambda message: _bytes(message.key()),
    "v": lambda message: _bytes(message.value()),
    "K": lambda message: _size(message.key()),
    "S": lambda message: _size(message.value()),
    "T": lambda message: str(message.timestamp()[1]).encode(),
    "h": _headers,
}


def format_json(message: Any) -> bytes:
    """One record as a line of JSON; bytes that are no UTF-8 stand under `…_base64`."""
    row: dict[str, Any] = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp()[1],
    }
    _put_bytes(row, "key", message.key())
    _put_bytes(row, "value", message.value())
    headers = []
    for name, value in message.headers() or []:
        header: dict[str, Any] = {"name": name}
        _put_bytes(header, "value", value)
        headers.append(header)
    row["headers"] = headers
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _put_bytes(row: dict[str, Any], name: str, value: bytes | None) -> None:
    if value is None:
        row[name] = None
        return
    try:
        row[name] = value.decode()
    except UnicodeDecodeError:
        row[f"{name}_base64"] = base64.b64encode(value).decode()


def client_settings(args: argparse.Namespace) -> dict[str, str]:
    """librdkafka's settings for the options given."""
    settings = {
        "bootstrap.servers": args.bootstrap_server,
        "client.id": "headrace-cli",
        "group.id": args.group or "headrace-cli-without-group",
        "enable.auto.commit": str(args.group is not None).lower(),
        "auto.offset.reset": "earliest" if args.from_beginning else "latest",
        "enable.partition.eof": "true",
        "isolation.level": "read_committed" if args.read_committed else "read_uncommitted",
        "fetch.wait.max.ms": "100",
    }
    settings |= parse_name_values("--client-config", args.client_config)
    return settings


def assignment_of(consumer: Any, args: argparse.Namespace) -> list[Any]:
    """Every partition of the topics, or the one asked for, each with its first offset to read."""
    from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, TopicPartition

    start = OFFSET_BEGINNING if args.from_beginning else OFFSET_END
    if args.offset is not None:
        words = {"earliest": OFFSET_BEGINNING, "latest": OFFSET_END}
        if args.offset not in words and not args.offset.isdigit():
            raise HeadraceError(f"--offset {args.offset}: a number, 'earliest' or 'latest'")
        start = words.get(args.offset, int(args.offset) if args.offset.isdigit() else start)
    chosen = []
    for topic in args.topics:
        listed = consumer.list_topics(topic, timeout=args.timeout).topics[topic]
        if listed.error is not None:
            raise HeadraceError(f"topic {topic}: {listed.error.str()}")
        indexes = sorted(listed.partitions)
        if args.partition is not None:
            if args.partition not in indexes:
                raise HeadraceError(f"topic {topic} has no partition {args.partition}")
            indexes = [args.partition]
        chosen += [TopicPartition(topic, index, start) for index in indexes]
    return chosen


def follow(
    consumer: Any,
    *,
    partitions: int,
    exit_at_end: bool,
    idle_timeout_s: float | None,
    on_idle: Callable[[Any], None] = lambda _consumer: None,
) -> Iterator[Any]:
    """Messages as they come, until the end of every partition or the time without one is up.

    `on_idle(consumer)` is called whenever none came for a moment.
    """
    from confluent_kafka import KafkaError

    at_end: set[tuple[str, int]] = set()
    idle_s = 0.0
    # The client's wait does not see Ctrl-C: it comes back once in a while for that alone.
    wait_s = SIGNAL_CHECK_S if idle_timeout_s is None else min(SIGNAL_CHECK_S, idle_timeout_s)
    while True:
        message = consumer.poll(wait_s)
        if message is None:
            on_idle(consumer)
            idle_s += wait_s
            if idle_timeout_s is not None and idle_s >= idle_timeout_s:
                return
            continue
        idle_s = 0.0
        error = message.error()
        if error is None:
            at_end.discard((message.topic(), message.partition()))
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            at_end.add((message.topic(), message.partition()))
            if exit_at_end and len(at_end) >= (partitions or len(consumer.assignment())):
                return
        elif error.fatal() or not error.retriable():
            raise HeadraceError(error.str())


def run(args: argparse.Namespace) -> int:
    from confluent_kafka import Consumer, KafkaException

    if args.offset is not None and args.partition is None:
        raise HeadraceError("--offset needs --partition")
    if args.group is not None and args.partition is not None:
        raise HeadraceError("--group assigns partitions itself: leave out --partition")
    render = format_json if args.json else compile_format(args.format)
    end_properly_on_sigterm()
    try:
        consumer = Consumer(client_settings(args), logger=None)
    except KafkaException as error:
        raise HeadraceError(f"the client refused its settings: {error}") from None
    try:
        partitions = 0
        if args.group is not None:
            consumer.subscribe(args.topics)
        else:
            chosen = assignment_of(consumer, args)
            partitions = len(chosen)
            consumer.assign(chosen)
        _print_records(consumer, args, partitions, render)
    except KafkaException as error:
        raise HeadraceError(str(error.args[0].str())) from None
    finally:
        consumer.close()
    return 0


def _print_records(
    consumer: Any, args: argparse.Namespace, partitions: int, render: Callable[[Any], bytes]
) -> None:
    left = args.max_records
    if left is not None and left <= 0:
        return
    for message in follow(
        consumer,
        partitions=partitions,
        exit_at_end=args.exit_at_end,
        idle_timeout_s=args.idle_timeout,
        **({} if args.group is None else {"on_idle": GroupWait(args).look}),
    ):
        sys.stdout.buffer.write(render(message))
        sys.stdout.buffer.flush()
        if left is not None:
            left -= 1
            if left == 0:
                return
