"""kafka-console-producer.sh: lines of standard input become records."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ....core.errors import HeadraceError
from ..common import end_properly_on_sigterm
from ..produce import DeliveryCounter
from ..standard_input import standard_input
from .options import (
    add_config_alias,
    client_properties,
    make_parser,
    parse_pairs,
    read_properties,
)

READER_PROPERTIES = {
    "parse.key": "false",
    "key.separator": "\t",
    "parse.headers": "false",
    "headers.delimiter": "\t",
    "headers.separator": ",",
    "headers.key.separator": ":",
    "ignore.error": "false",
    "null.marker": "",
    "topic": "",
}


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "kafka-console-producer", "Reads lines from standard input and sends them to a topic."
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--bootstrap-server")
    where.add_argument("--broker-list", dest="bootstrap_server")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--property", "--reader-property", action="append", default=[])
    parser.add_argument(
        "--producer-property", "--command-property", action="append", default=[], dest="client"
    )
    parser.add_argument("--command-config", type=Path)
    add_config_alias(parser, "--producer.config")
    parser.add_argument("--reader-config", type=Path)
    parser.add_argument("--sync", action="store_true")
    parser.add_argument("--compression-codec", nargs="?", const="gzip", default="none")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--message-send-max-retries", type=int)
    parser.add_argument("--retry-backoff-ms", type=int)
    parser.add_argument("--timeout", type=int, help="how long a batch is collected, in ms")
    parser.add_argument("--request-required-acks", default="-1")
    parser.add_argument("--request-timeout-ms", type=int)
    parser.add_argument("--metadata-expiry-ms", type=int)
    parser.add_argument("--max-block-ms", type=int)
    parser.add_argument("--max-memory-bytes", type=int)
    parser.add_argument("--max-partition-memory-bytes", type=int)
    parser.add_argument("--socket-buffer-size", type=int)
    parser.add_argument("--line-reader", help=argparse.SUPPRESS)
    return parser


def producer_settings(args: argparse.Namespace) -> dict[str, str]:
    """librdkafka's settings for Kafka's flags."""
    settings = {
        "bootstrap.servers": args.bootstrap_server,
        "client.id": "console-producer",
        "acks": {"-1": "all"}.get(args.request_required_acks, args.request_required_acks),
        "compression.type": args.compression_codec,
        "linger.ms": str(args.timeout if args.timeout is not None else 5),
        "message.max.bytes": "1000000000",
    }
    optional = {
        "batch.size": args.batch_size,
        "retries": args.message_send_max_retries,
        "retry.backoff.ms": args.retry_backoff_ms,
        "request.timeout.ms": args.request_timeout_ms,
        "metadata.max.age.ms": args.metadata_expiry_ms,
    }
    settings |= {name: str(value) for name, value in optional.items() if value is not None}
    given = read_properties(args.command_config) if args.command_config else {}
    return settings | client_properties(given | parse_pairs("--producer-property", args.client))


class LineReader:
    """Kafka's LineMessageReader: headers, key and value of a line, as the reader properties say."""

    def __init__(self, properties: dict[str, str]) -> None:
        unknown = set(properties) - set(READER_PROPERTIES)
        if unknown:
            raise HeadraceError(
                f"--property {sorted(unknown)[0]} is not known; "
                f"there are {', '.join(sorted(READER_PROPERTIES))}"
            )
        settings = READER_PROPERTIES | properties
        self._parses_key = settings["parse.key"] == "true"
        self._key_separator = settings["key.separator"].encode()
        self._parses_headers = settings["parse.headers"] == "true"
        self._headers_delimiter = settings["headers.delimiter"].encode()
        self._headers_separator = settings["headers.separator"].encode()
        self._headers_key_separator = settings["headers.key.separator"].encode()
        self._ignores_errors = settings["ignore.error"] == "true"
        self._null_marker = settings["null.marker"].encode() or None

    def parse_line(
        self, line: bytes, number: int
    ) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]:
        """(key, value, headers); raises HeadraceError where a separator is missing."""
        headers: list[tuple[str, bytes | None]] = []
        key: bytes | None = None
        if self._parses_headers:
            text, line = self._split(line, self._headers_delimiter, "headers delimiter", number)
            if text is not None and text != self._null_marker:
                headers = [
                    self._header(pair, number) for pair in text.split(self._headers_separator)
                ]
        if self._parses_key:
            key, line = self._split(line, self._key_separator, "key separator", number)
        return self._null_or(key), self._null_or(line), headers

    def _split(
        self, line: bytes, separator: bytes, what: str, number: int
    ) -> tuple[bytes | None, bytes]:
        before, found, after = line.partition(separator)
        if found:
            return before, after
        if self._ignores_errors:
            return None, line
        raise HeadraceError(
            f"No {what} found on line number {number}: '{line.decode(errors='replace')}'"
        )

    def _header(self, pair: bytes, number: int) -> tuple[str, bytes | None]:
        name, found, value = pair.partition(self._headers_key_separator)
        if not found and not self._ignores_errors:
            raise HeadraceError(
                f"No header key separator found in pair '{pair.decode(errors='replace')}' "
                f"on line number {number}"
            )
        return name.decode(), self._null_or(value) if found else None

    def _null_or(self, value: bytes | None) -> bytes | None:
        return None if value == self._null_marker else value


def _lines(stream: BinaryIO, *, prompt: bool) -> Iterator[bytes]:
    """Lines of standard input; on a terminal each after the prompt that Kafka shows."""
    while True:
        if prompt:
            print(">", end="", flush=True)
        line = stream.readline()
        if not line:
            return
        yield line.rstrip(b"\n").removesuffix(b"\r") if prompt else line.rstrip(b"\n")


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    from confluent_kafka import KafkaException, Producer

    properties = read_properties(args.reader_config) if args.reader_config else {}
    reader = LineReader(properties | parse_pairs("--property", args.property))
    counter = DeliveryCounter()
    end_properly_on_sigterm()
    try:
        producer = Producer(producer_settings(args), logger=None)
    except KafkaException as error:
        raise HeadraceError(f"the client refused its settings: {error}") from None
    try:
        with standard_input() as stream:
            for number, line in enumerate(_lines(stream, prompt=sys.stdin.isatty()), 1):
                key, value, headers = reader.parse_line(line, number)
                _send(producer, args, key, value, headers, counter)
                _report(counter)
    finally:
        unsent = producer.flush(60)
        _report(counter)
    if unsent:
        raise HeadraceError(f"{unsent} messages were not acknowledged within 60 s")
    return 0


def _send(
    producer: Any,
    args: argparse.Namespace,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes | None]],
    counter: DeliveryCounter,
) -> None:
    while True:
        try:
            producer.produce(
                args.topic, value=value, key=key, headers=headers or None, on_delivery=counter
            )
            break
        except BufferError:
            producer.poll(0.1)
    if args.sync:
        producer.flush()
    producer.poll(0)


def _report(counter: DeliveryCounter) -> None:
    if counter.first_error is not None:
        print(
            f"ERROR Error when sending message: {counter.first_error} "
            "(org.apache.kafka.clients.producer.internals.ErrorLoggingCallback)",
            file=sys.stderr,
        )
        counter.first_error = None
