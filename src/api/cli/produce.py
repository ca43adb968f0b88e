"""`headrace produce`: lines of standard input become records."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from ...core.errors import HeadraceError
from .common import (
    add_client_arguments,
    add_command,
    end_properly_on_sigterm,
    parse_name_values,
    print_json,
)
from .progress import Progress
from .standard_input import standard_input

HELP = "send lines of standard input as records"
EXAMPLES = """examples:
  headrace produce clicks < file
  echo 'user-1:hello' | headrace produce clicks --key-separator :
  headrace produce users --key-separator : --null-value NULL   (a tombstone for NULL)
"""
COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = add_command(subparsers, "produce", HELP, EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument("topic", metavar="TOPIC")
    parser.add_argument("--key-separator", metavar="TEXT", help="what stands before it is the key")
    parser.add_argument("--key", metavar="TEXT", help="one key for every record")
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--null-value", metavar="TEXT", help="this value becomes a tombstone")
    parser.add_argument("--partition", type=int, default=-1, metavar="N")
    parser.add_argument("--acks", choices=("0", "1", "all"), default="all")
    parser.add_argument("--compression", choices=COMPRESSIONS, default="none")
    parser.add_argument("--idempotent", action="store_true", help="no duplicates on retries")
    parser.add_argument(
        "--client-config", action="append", default=[], metavar="NAME=VALUE", help="librdkafka's"
    )
    add_client_arguments(parser)


def split_records(
    stream: BinaryIO, *, key_separator: bytes | None, key: bytes | None, null_value: bytes | None
) -> Iterator[tuple[bytes | None, bytes | None]]:
    """(key, value) of each line, its line end taken off; raises where a key is missing."""
    for number, line in enumerate(stream, 1):
        value: bytes | None = line.rstrip(b"\n")
        record_key = key
        if key_separator is not None:
            assert value is not None
            before, found, after = value.partition(key_separator)
            if not found:
                raise HeadraceError(
                    f"line {number} has no key separator {key_separator.decode()!r}; "
                    f"what came before it was sent"
                )
            record_key, value = before, after
        yield record_key, None if null_value is not None and value == null_value else value


class DeliveryCounter:
    """Counts what the broker acknowledged and keeps the first refusal."""

    def __init__(self) -> None:
        self.delivered = 0
        self.first_error: str | None = None

    def __call__(self, error: Any, message: Any) -> None:
        if error is None:
            self.delivered += 1
        elif self.first_error is None:
            self.first_error = str(error.str())


def client_settings(args: argparse.Namespace) -> dict[str, str]:
    """librdkafka's settings for the options given; `--client-config` has the last word."""
    settings = {
        "bootstrap.servers": args.bootstrap_server,
        "client.id": "headrace-cli",
        "message.timeout.ms": str(int(args.timeout * 1000)),
        "acks": args.acks,
        "compression.type": args.compression,
        "enable.idempotence": str(args.idempotent).lower(),
        "linger.ms": "5",
        "message.max.bytes": "1000000000",
        # A topic's own limit is the broker's to enforce; its answer names the setting.
    }
    settings |= parse_name_values("--client-config", args.client_config)
    return settings


def send_all(
    producer: Any,
    topic: str,
    records: Iterator[tuple[bytes | None, bytes | None]],
    *,
    partition: int,
    headers: list[tuple[str, bytes]],
    counter: DeliveryCounter,
    progress: Progress,
) -> None:
    """Hands every record to the client, waiting for room where its queue is full."""
    for key, value in records:
        while True:
            try:
                producer.produce(
                    topic,
                    value=value,
                    key=key,
                    partition=partition,
                    headers=headers or None,
                    on_delivery=counter,
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
        progress.advance(1, len(value or b""))
        if counter.first_error is not None:
            return


def run(args: argparse.Namespace) -> int:
    from confluent_kafka import KafkaException, Producer

    counter = DeliveryCounter()
    end_properly_on_sigterm()
    try:
        producer = Producer(client_settings(args), logger=None)
    except KafkaException as error:
        raise HeadraceError(f"the client refused its settings: {error}") from None
    headers = [
        (name, text.encode()) for name, text in parse_name_values("--header", args.header).items()
    ]
    with (
        standard_input() as stream,
        Progress("sent", enabled=sys.stderr.isatty() and not sys.stdin.isatty()) as progress,
    ):
        records = split_records(
            stream,
            key_separator=args.key_separator.encode() if args.key_separator else None,
            key=args.key.encode() if args.key is not None else None,
            null_value=args.null_value.encode() if args.null_value is not None else None,
        )
        try:
            send_all(
                producer,
                args.topic,
                records,
                partition=args.partition,
                headers=headers,
                counter=counter,
                progress=progress,
            )
        finally:
            unsent = producer.flush(args.timeout)
    if args.json:
        print_json({"delivered": counter.delivered, "error": counter.first_error})
    if counter.first_error is not None or unsent:
        reason = counter.first_error or "no answer from the broker"
        raise HeadraceError(f"{counter.delivered} records delivered, then: {reason}")
    return 0
