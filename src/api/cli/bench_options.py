"""What `headrace bench` is asked for: the words of Kafka's perf tools, read into a load.

A flag of its own comes before a setting of `--command-property`, which comes before one of
`--command-config`.  Settings that change nothing here are named once and passed over.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from .bench_load import FETCH_BYTES, FetchLoad, Payload, ProduceLoad
from .common import (
    DEFAULT_BOOTSTRAP,
    EXIT_USAGE,
    CliError,
    add_client_arguments,
    parse_name_values,
)
from .kafka_scripts.options import read_properties, refuse_security

ACKS = {"0": 0, "1": 1, "all": -1, "-1": -1}
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
DEFAULT_BATCH_RECORDS = 1000
DEFAULT_RECORD_BYTES = 100
# Below the default of max.message.bytes, so that records of any size are taken by the thousand.
DEFAULT_BATCH_BYTES = 1_000_000
# Lengths, attributes and deltas of a record, and the head of a batch.
RECORD_OVERHEAD_BYTES, BATCH_OVERHEAD_BYTES = 12, 61
# Each waits for one answer only, so that a paced load is held up by nothing but the broker.
PACED_IN_FLIGHT = 1000
DEFAULT_IN_FLIGHT = 5
PACED_PER_S = 1000.0
READ_SETTINGS = {
    "bootstrap.servers",
    "client.id",
    "security.protocol",
    "acks",
    "batch.size",
    "compression.type",
    "max.in.flight.requests.per.connection",
    "request.timeout.ms",
    "fetch.max.bytes",
    "max.partition.fetch.bytes",
    "fetch.min.bytes",
    "fetch.max.wait.ms",
}
# Flags of Kafka's consumer that a reader without a group has no use for.
IDLE_FLAGS = ("group", "socket_buffer_size", "date_format")


@dataclass(frozen=True, slots=True)
class Settings:
    """Kafka's client settings by name, from a file and from the command line."""

    given: dict[str, str]

    def number(self, name: str, default: int, least: int = 1) -> int:
        text = self.given.get(name)
        if text is None:
            return default
        if not text.isdecimal() or int(text) < least:
            raise CliError(f"{name}={text}: give a whole number from {least} on", EXIT_USAGE)
        return int(text)

    def word(self, name: str, default: str, known: tuple[str, ...]) -> str:
        text = self.given.get(name, default)
        if text not in known:
            raise CliError(f"{name}={text}: there are {', '.join(known)}", EXIT_USAGE)
        return text


def whole_number(text: str) -> int:
    """A whole number above 0, for argparse; `1_000_000` is one."""
    digits = text.replace("_", "")
    if not digits.isdecimal() or int(digits) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(digits)


def number_or_none(text: str) -> int:
    """A whole number from 0 on, for argparse."""
    return 0 if text == "0" else whole_number(text)


def rate(text: str) -> float:
    """Records a second, for argparse; 0 or less is without limit."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of records a second")
    return max(0.0, found)


def add_topic_argument(parser: argparse.ArgumentParser, *, about: str = "it must exist") -> None:
    """The topic, as a word of its own or as Kafka's tools have it."""
    parser.add_argument("topic_word", metavar="TOPIC", nargs="?", help=about)
    parser.add_argument("--topic", metavar="TOPIC", help="the same, as Kafka's tools have it")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """What every load of a broker takes: settings, how it reports, where the broker is."""
    settings = parser.add_argument_group("client settings")
    settings.add_argument(
        *("--command-property", "--producer-props"),
        dest="command_property",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="Kafka's client settings, as acks=all batch.size=16384",
    )
    settings.add_argument(
        *("--command-config", "--producer.config", "--consumer.config"),
        dest="command_config",
        type=Path,
        metavar="FILE",
        help="a property file of client settings",
    )
    parser.add_argument("--print-metrics", action="store_true", help="what the client counted")
    add_reporting_argument(parser)
    add_client_arguments(parser)


def add_reporting_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reporting-interval",
        type=whole_number,
        metavar="MS",
        help="a line of progress so often (without a terminal 5000; on one a line that is redrawn)",
    )


def add_plot_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="percentiles as PNG, SVG or PDF, or as .txt"
    )


def add_load_arguments(parser: argparse.ArgumentParser, *, is_paced: bool) -> None:
    """Records and how they are sent."""
    payload = parser.add_mutually_exclusive_group()
    payload.add_argument(
        "--record-size", type=whole_number, metavar="BYTES", help="default: 100; random letters"
    )
    payload.add_argument(
        "--payload-file", type=Path, metavar="FILE", help="values, a line each, sent in turn"
    )
    payload.add_argument(
        "--payload-monotonic", action="store_true", help="the values are 0, 1, 2 and so on"
    )
    parser.add_argument("--payload-delimiter", default="\\n", metavar="TEXT", help="default: \\n")
    parser.add_argument(
        "--acks", "--producer-acks", choices=tuple(ACKS), help="default: all", dest="acks"
    )
    parser.add_argument(
        "--throughput",
        type=rate,
        default=PACED_PER_S if is_paced else 0.0,
        metavar="N",
        help="records a second; " + ("default: 1000" if is_paced else "-1 (default): no limit"),
    )
    parser.add_argument(
        "--warmup-records",
        type=number_or_none,
        default=0,
        metavar="N",
        help="the first ones, which a further line of results leaves out",
    )
    add_plot_argument(parser)
    if not is_paced:
        parser.add_argument(
            "--batch-records",
            type=whole_number,
            metavar="N",
            help="default: 1000, or what fits 1 MB, or batch.size",
        )
        parser.add_argument("--in-flight", type=whole_number, metavar="N", help="default: 5")
        parser.add_argument("--compression", choices=CODECS, help="default: none")


def add_fetch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fetch-size", type=whole_number, metavar="BYTES", help="a partition and request, 1 MiB"
    )
    parser.add_argument("--from-latest", action="store_true", help="only what is written from now")
    parser.add_argument("--show-detailed-stats", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--hide-header", action="store_true", help=argparse.SUPPRESS)
    for flag in IDLE_FLAGS:
        parser.add_argument(f"--{flag.replace('_', '-')}", help=argparse.SUPPRESS)


def topic_of(args: argparse.Namespace) -> str:
    """The topic that was named; CliError where none was, or two."""
    named = [name for name in (args.topic_word, args.topic) if name]
    if not named:
        raise CliError(f"bench {args.verb}: name a TOPIC", EXIT_USAGE)
    if len(set(named)) > 1:
        raise CliError(f"bench {args.verb}: {named[0]} or {named[1]}? Name one TOPIC", EXIT_USAGE)
    return str(named[0])


def settings_of(args: argparse.Namespace) -> Settings:
    """Client settings of file and command line; what is without effect is said on stderr."""
    given = read_properties(args.command_config) if args.command_config else {}
    given |= parse_name_values("--command-property", args.command_property)
    refuse_security(given)
    idle = [name for name in given if name not in READ_SETTINGS]
    idle += [f"--{flag.replace('_', '-')}" for flag in IDLE_FLAGS if getattr(args, flag, None)]
    if idle:
        print(f"without effect here: {', '.join(idle)}", file=sys.stderr)
    return Settings(given)


def bootstrap_of(args: argparse.Namespace, settings: Settings) -> str:
    """The address that was typed, else the one of the settings, else the default."""
    typed = str(args.bootstrap_server)
    if typed == DEFAULT_BOOTSTRAP:
        return settings.given.get("bootstrap.servers", typed)
    return typed


def produce_load(args: argparse.Namespace, settings: Settings) -> ProduceLoad:
    """What the options ask for; CliError for what cannot be done."""
    is_paced = args.verb != "produce"
    if is_paced and not args.throughput:
        raise CliError("--throughput must be above 0: this load is paced", EXIT_USAGE)
    if args.warmup_records >= args.num_records:
        raise CliError("--warmup-records must be fewer than --num-records", EXIT_USAGE)
    payload = _payload(args)
    acks = args.acks or settings.word("acks", "all", tuple(ACKS))
    in_flight = settings.number("max.in.flight.requests.per.connection", DEFAULT_IN_FLIGHT)
    return ProduceLoad(
        records=args.num_records,
        payload=payload,
        batch_records=1 if is_paced else _batch_records(args, settings, payload),
        acks=ACKS[acks],
        in_flight=PACED_IN_FLIGHT if is_paced else args.in_flight or in_flight,
        compression="none"
        if is_paced
        else args.compression or settings.word("compression.type", "none", CODECS),
        records_per_s=args.throughput,
        timeout_ms=settings.number("request.timeout.ms", 30_000),
        warmup_records=args.warmup_records,
    )


def _batch_records(args: argparse.Namespace, settings: Settings, payload: Payload) -> int:
    if args.batch_records:
        return int(args.batch_records)
    limit = settings.number("batch.size", DEFAULT_BATCH_BYTES, least=0)
    fitting = (limit - BATCH_OVERHEAD_BYTES) // (payload.largest_bytes + RECORD_OVERHEAD_BYTES)
    most = args.num_records if "batch.size" in settings.given else DEFAULT_BATCH_RECORDS
    return max(1, min(most, fitting))


def _payload(args: argparse.Namespace) -> Payload:
    if args.payload_monotonic:
        return Payload.counting(args.num_records)
    if args.payload_file is None:
        return Payload.letters(args.record_size or DEFAULT_RECORD_BYTES)
    delimiter = args.payload_delimiter.encode().decode("unicode_escape").encode()
    if not delimiter:
        raise CliError("--payload-delimiter must not be empty", EXIT_USAGE)
    try:
        content = args.payload_file.read_bytes()
    except OSError as error:
        raise CliError(f"{args.payload_file}: {error.strerror}") from None
    values = [value for value in content.split(delimiter) if value]
    if not values:
        raise CliError(f"{args.payload_file}: the payload file is empty")
    return Payload.of(values)


def fetch_load(args: argparse.Namespace, settings: Settings) -> FetchLoad:
    of_partition = args.fetch_size or settings.number("max.partition.fetch.bytes", FETCH_BYTES)
    return FetchLoad(
        records=args.num_records,
        partition_bytes=of_partition,
        max_bytes=settings.number("fetch.max.bytes", 50 * FETCH_BYTES),
        min_bytes=settings.number("fetch.min.bytes", 1),
        max_wait_ms=settings.number("fetch.max.wait.ms", 500),
        is_from_latest=args.from_latest,
    )
