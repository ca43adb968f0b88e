"""kafka-producer-perf-test.sh: sends records as fast as asked and prints rate and latency."""

import argparse
import os
import sys
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

WINDOW_S = 5.0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("kafka-producer-perf-test", "Verifies producer performance.")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--num-records", type=int, required=True)
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--record-size", type=int)
    size.add_argument("--payload-file", type=Path)
    size.add_argument("--payload-monotonic", action="store_true")
    parser.add_argument("--payload-delimiter", default="\\n")
    parser.add_argument("--throughput", type=float, required=True)
    parser.add_argument("--bootstrap-server")
    parser.add_argument("--producer-props", "--command-property", nargs="+", default=[], dest="p")
    parser.add_argument("--command-config", type=Path)
    add_config_alias(parser, "--producer.config")
    parser.add_argument("--print-metrics", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--warmup-records", type=int, default=0)
    return parser


class LatencyStats:
    """Counts, bytes and latencies of a window and of the whole run, in milliseconds."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self.window_s = window_s
        self.started = self.window_started = time.perf_counter()
        self.latencies_ms: list[float] = []
        self.errors = 0
        self.size_bytes = 0
        self._window_at = 0
        self._window_bytes = 0

    def record(self, latency_s: float, size_bytes: int) -> None:
        self.latencies_ms.append(latency_s * 1000)
        self.size_bytes += size_bytes
        self._window_bytes += size_bytes
        now = time.perf_counter()
        if now - self.window_started >= self.window_s:
            window = self.latencies_ms[self._window_at :]
            seconds = now - self.window_started
            print(
                f"{len(window)} records sent, {len(window) / seconds:.1f} records/sec "
                f"({self._window_bytes / seconds / 1048576:.2f} MB/sec), "
                f"{sum(window) / len(window):.1f} ms avg latency, {max(window):.1f} ms max latency."
            )
            self.window_started, self._window_at = now, len(self.latencies_ms)
            self._window_bytes = 0

    def total_line(self) -> str:
        """Kafka's last line: rate, mean, maximum and four percentiles."""
        seconds = time.perf_counter() - self.started
        ordered = sorted(self.latencies_ms)
        count = len(ordered)
        if not count:
            return "0 records sent"
        marks = [ordered[min(count - 1, int(share * count))] for share in (0.5, 0.95, 0.99, 0.999)]
        return (
            f"{count} records sent, {count / seconds:.1f} records/sec "
            f"({self.size_bytes / seconds / 1048576:.2f} MB/sec), "
            f"{sum(ordered) / count:.2f} ms avg latency, {ordered[-1]:.2f} ms max latency, "
            f"{marks[0]:.0f} ms 50th, {marks[1]:.0f} ms 95th, "
            f"{marks[2]:.0f} ms 99th, {marks[3]:.0f} ms 99.9th."
        )


def payloads(args: argparse.Namespace) -> list[bytes]:
    """The values that are sent in turn."""
    if args.payload_file is not None:
        delimiter = args.payload_delimiter.encode().decode("unicode_escape").encode()
        try:
            pieces = args.payload_file.read_bytes().split(delimiter)
        except OSError as error:
            raise HeadraceError(f"{args.payload_file}: {error.strerror}") from None
        if not any(pieces):
            raise HeadraceError("Payload file is empty.")
        return [piece for piece in pieces if piece]
    if args.payload_monotonic:
        return []
    if args.record_size <= 0:
        raise HeadraceError("--record-size should be greater than zero.")
    letters = bytes(65 + byte % 26 for byte in os.urandom(args.record_size))
    return [letters]


def producer_settings(args: argparse.Namespace) -> dict[str, str]:
    given = read_properties(args.command_config) if args.command_config else {}
    given |= parse_pairs("--producer-props", args.p)
    settings = client_properties(given)
    if args.bootstrap_server is not None:
        settings["bootstrap.servers"] = args.bootstrap_server
    if "bootstrap.servers" not in settings:
        raise HeadraceError("give --bootstrap-server, or bootstrap.servers in --producer-props")
    defaults = {"client.id": "perf-producer-client", "queue.buffering.max.messages": "1000000"}
    return defaults | settings


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    values = payloads(args)
    settings = producer_settings(args)
    from confluent_kafka import KafkaException, Producer

    try:
        producer = Producer(settings, logger=None)
    except KafkaException as error:
        raise HeadraceError(f"the client refused its settings: {error}") from None
    stats = LatencyStats()
    send_paced(producer, args, values, stats)
    unsent = producer.flush(120)
    print(stats.total_line())
    if stats.errors or unsent:
        print(f"{stats.errors + unsent} records were not acknowledged", file=sys.stderr)
        return 1
    return 0


def send_paced(
    producer: Any, args: argparse.Namespace, values: list[bytes], stats: LatencyStats
) -> None:
    """Sends --num-records at --throughput a second; a negative throughput is without limit."""
    for number in range(args.num_records):
        value = values[number % len(values)] if values else str(number).encode()
        sent_at = time.perf_counter()

        def delivered(
            error: Any, message: Any, sent_at: float = sent_at, size: int = len(value)
        ) -> None:
            if error is None:
                stats.record(time.perf_counter() - sent_at, size)
            else:
                stats.errors += 1

        while True:
            try:
                producer.produce(args.topic, value=value, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
        if args.throughput > 0:
            ahead_s = stats.started + (number + 1) / args.throughput - time.perf_counter()
            while ahead_s > 0.001:
                producer.poll(ahead_s)
                ahead_s = stats.started + (number + 1) / args.throughput - time.perf_counter()
