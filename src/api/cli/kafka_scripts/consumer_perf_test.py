"""kafka-consumer-perf-test.sh: reads records as fast as they come and prints the rate."""

import argparse
import datetime
import time
from pathlib import Path
from typing import Any

from ....core.errors import HeadraceError
from .options import (
    add_config_alias,
    client_properties,
    make_parser,
    parse_pairs,
    read_properties,
)

COLUMNS = (
    "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, "
    "rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"
)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("kafka-consumer-perf-test", "Verifies consumer performance.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--bootstrap-server")
    where.add_argument("--broker-list", dest="bootstrap_server")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--messages", "--num-records", dest="messages", type=int, required=True)
    parser.add_argument("--group")
    parser.add_argument("--timeout", type=int, default=10_000, metavar="MS")
    parser.add_argument("--fetch-size", type=int, default=1024 * 1024)
    parser.add_argument("--command-property", action="append", default=[])
    parser.add_argument("--command-config", type=Path)
    add_config_alias(parser, "--consumer.config")
    parser.add_argument("--hide-header", action="store_true")
    parser.add_argument("--from-latest", action="store_true")
    parser.add_argument("--date-format", default="yyyy-MM-dd HH:mm:ss:SSS", help=argparse.SUPPRESS)
    parser.add_argument("--print-metrics", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--show-detailed-stats", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--reporting-interval", type=int, default=5000, help=argparse.SUPPRESS)
    parser.add_argument("--socket-buffer-size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    return parser


def _clock_text() -> str:
    now = datetime.datetime.now()
    return f"{now:%Y-%m-%d %H:%M:%S}:{now.microsecond // 1000:03d}"


def read_messages(consumer: Any, wanted: int, timeout_s: float) -> tuple[int, int]:
    """(messages, bytes) read until `wanted` or until nothing came for `timeout_s`."""
    count = size_bytes = 0
    while count < wanted:
        messages = consumer.consume(min(10_000, wanted - count), timeout=timeout_s)
        if not messages:
            print(
                f"WARNING: Exiting before consuming the expected number of messages: timeout "
                f"({int(timeout_s * 1000)} ms) exceeded. You can use the --timeout option to "
                f"increase the timeout."
            )
            break
        for message in messages:
            if message.error() is not None:
                raise HeadraceError(message.error().str())
            count += 1
            size_bytes += len(message.value() or b"") + len(message.key() or b"")
    return count, size_bytes


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    from confluent_kafka import Consumer, KafkaException

    given = read_properties(args.command_config) if args.command_config else {}
    given |= parse_pairs("--command-property", args.command_property)
    group = args.group or f"perf-consumer-{time.time_ns() % 100_000}"
    settings = {
        "auto.offset.reset": "latest" if args.from_latest else "earliest",
        "fetch.message.max.bytes": str(args.fetch_size),
        "client.id": "perf-consumer-client",
        "check.crcs": "false",
    } | client_properties(given)
    settings |= {"bootstrap.servers": args.bootstrap_server, "group.id": group}
    try:
        consumer = Consumer(settings, logger=None)
    except KafkaException as error:
        raise HeadraceError(f"the client refused its settings: {error}") from None
    joined_at = 0.0

    def on_assign(_consumer: Any, _partitions: Any) -> None:
        nonlocal joined_at
        joined_at = time.perf_counter()

    if not args.hide_header:
        print(COLUMNS)
    start_text, started = _clock_text(), time.perf_counter()
    consumer.subscribe([args.topic], on_assign=on_assign)
    try:
        count, size_bytes = read_messages(consumer, args.messages, args.timeout / 1000)
        ended, end_text = time.perf_counter(), _clock_text()
    finally:
        consumer.close()
    elapsed_s = ended - started
    join_ms = int(1000 * (joined_at - started)) if joined_at else 0
    fetch_s = max(elapsed_s - join_ms / 1000, 1e-9)
    megabytes = size_bytes / 1048576
    print(
        f"{start_text}, {end_text}, {megabytes:.4f}, {megabytes / elapsed_s:.4f}, {count}, "
        f"{count / elapsed_s:.4f}, {join_ms}, {int(fetch_s * 1000)}, {megabytes / fetch_s:.4f}, "
        f"{count / fetch_s:.4f}"
    )
    return 0
