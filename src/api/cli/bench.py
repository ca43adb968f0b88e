"""`headrace bench`: loads any Kafka broker and tells rate and latency; needs no other client."""

import argparse
import sys
from pathlib import Path
from typing import Any

from .admin_client import AdminClient
from .bench_load import (
    ProduceLoad,
    Result,
    run_consume,
    run_end_to_end,
    run_produce,
    topic_info,
)
from .bench_stats import require_matplotlib, save_plot
from .broker_connection import BrokerConnection
from .common import EXIT_OK, CliError, add_client_arguments, add_command, connect, print_json
from .progress import Progress

HELP = "measure a broker: produce, consume, latency, end-to-end"
EXAMPLES = """examples:
  headrace bench produce bench --num-records 5000000 --record-size 100
  headrace bench latency bench --num-records 10000 --throughput 1000
  headrace bench end-to-end bench --num-records 10000 --throughput 1000 --plot e2e.png
  headrace bench consume bench --num-records 5000000

produce sends batches as fast as the broker answers, latency one record a request at a fixed rate,
end-to-end the same and waits until a consumer sees it.  The topic must exist."""
ACKS = {"0": 0, "1": 1, "all": -1, "-1": -1}


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = add_command(subparsers, "bench", HELP, EXAMPLES)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, about in (
        ("produce", "rate of large batches"),
        ("latency", "one record a request at a fixed rate, due to acknowledged"),
        ("end-to-end", "one record a request at a fixed rate, due to consumed"),
        ("consume", "rate of reading from the beginning"),
    ):
        sub = verbs.add_parser(verb, help=about)
        sub.add_argument("topic", metavar="TOPIC")
        sub.add_argument("--num-records", type=_count, default=100_000, metavar="N")
        if verb != "consume":
            _add_load_arguments(sub, is_paced=verb != "produce")
        add_client_arguments(sub)
    parser.set_defaults(run=run)


def _add_load_arguments(parser: argparse.ArgumentParser, *, is_paced: bool) -> None:
    parser.add_argument("--record-size", type=_count, default=100, metavar="BYTES")
    parser.add_argument("--acks", choices=tuple(ACKS), default="all")
    parser.add_argument(
        "--throughput",
        type=float,
        default=1000.0 if is_paced else 0.0,
        metavar="N",
        help="records a second" + ("" if is_paced else "; 0 (default) is without limit"),
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="percentiles as PNG")
    if not is_paced:
        parser.add_argument("--batch-records", type=_count, default=1000, metavar="N")
        parser.add_argument("--in-flight", type=_count, default=5, metavar="N")
        codecs = ("none", "gzip", "snappy", "lz4", "zstd")
        parser.add_argument("--compression", choices=codecs, default="none")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def load_of(args: argparse.Namespace) -> ProduceLoad:
    """What the options ask for; CliError for a rate that cannot be kept."""
    is_paced = args.verb != "produce"
    if args.throughput < 0 or (is_paced and not args.throughput):
        raise CliError("--throughput must be above 0")
    return ProduceLoad(
        records=args.num_records,
        record_bytes=args.record_size,
        batch_records=1 if is_paced else args.batch_records,
        acks=ACKS[args.acks],
        in_flight=1000 if is_paced else args.in_flight,
        compression="none" if is_paced else args.compression,
        records_per_s=args.throughput,
    )


def run(args: argparse.Namespace) -> int:
    """Runs one load and prints what came of it."""
    if getattr(args, "plot", None) is not None:
        require_matplotlib()
    with connect(args) as client:
        topic = topic_info(client, args.topic)
        leader = topic.partitions[0].leader
        progress = Progress(args.verb, total=args.num_records, enabled=sys.stderr.isatty())
        with progress:
            result = _run_verb(args, client, client.broker(leader), progress)
    _print_result(args, result)
    return EXIT_OK


def _run_verb(
    args: argparse.Namespace,
    client: AdminClient,
    connection: BrokerConnection,
    progress: Progress,
) -> Result:
    topic = topic_info(client, args.topic)
    if args.verb == "consume":
        return run_consume(connection, client, topic, args.num_records, progress.advance)
    load = load_of(args)
    if args.verb == "end-to-end":
        host, _, port = connection.address.rpartition(":")
        second = BrokerConnection(host, int(port), timeout_s=args.timeout)
        try:
            return run_end_to_end(connection, second, client, topic, load, progress.advance)
        finally:
            second.close()
    return run_produce(connection, topic, load, progress.advance)


def _print_result(args: argparse.Namespace, result: Result) -> None:
    seconds = max(result.seconds, 1e-9)
    percentiles = result.latencies.percentiles_ms()
    plot = getattr(args, "plot", None)
    if plot is not None:
        save_plot(plot, f"headrace bench {args.verb} {args.topic}", result.latencies)
    if args.json:
        print_json(
            {
                "load": args.verb,
                "records": result.records,
                "bytes": result.size_bytes,
                "seconds": round(seconds, 6),
                "records_per_s": round(result.records / seconds, 1),
                "mb_per_s": round(result.size_bytes / seconds / 1e6, 3),
                "latency_ms": percentiles,
            }
        )
        return
    megabytes = result.size_bytes / 1e6
    rates = f"{result.records / seconds:,.0f} records/s, {megabytes / seconds:,.1f} MB/s"
    print(f"{result.records:,} records in {seconds:.3f} s: {rates}")
    if percentiles:
        print("latency [ms]  " + "  ".join(f"{key} {ms:g}" for key, ms in percentiles.items()))
        print(result.latencies.text_plot())
