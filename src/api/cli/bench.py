"""`headrace bench`: loads any Kafka broker, or the log in this process; needs no other client."""

import argparse
import sys
from pathlib import Path
from typing import Any

from .admin_client import AdminClient
from .bench_failover import FailoverLoad, FailoverResult, run_failover
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
from .common import (
    EXIT_FAILURE,
    EXIT_OK,
    CliError,
    add_client_arguments,
    add_command,
    add_json_argument,
    connect,
    print_json,
    print_table,
)
from .progress import Progress

HELP = "measure a broker (produce, consume, latency, end-to-end, failover) or the embedded log"
EXAMPLES = """examples:
  headrace bench produce bench --num-records 5000000 --record-size 100
  headrace bench latency bench --num-records 10000 --throughput 1000
  headrace bench end-to-end bench --num-records 10000 --throughput 1000 --plot e2e.png
  headrace bench consume bench --num-records 5000000
  headrace bench failover bench --num-records 30000 --throughput 1000 --kill 4711
  headrace bench embedded --num-records 1000000

produce sends batches as fast as the broker answers, latency one record a request at a fixed rate,
end-to-end the same and waits until a consumer sees it.  failover goes on while the topic's leader
dies: it kills the process that --kill names, or you stop it.  The topic must exist.  embedded needs
no broker: it appends to a log in a folder of its own and reads it."""
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
    _register_failover(verbs)
    _register_embedded(verbs)
    parser.set_defaults(run=run)


def _register_failover(verbs: Any) -> None:
    about = "one record a request, acks=all, while the leader dies: how long nobody could write"
    sub = verbs.add_parser("failover", help=about)
    sub.add_argument("topic", metavar="TOPIC", help="one partition")
    sub.add_argument("--num-records", type=_count, default=10_000, metavar="N")
    sub.add_argument("--record-size", type=_count, default=100, metavar="BYTES", help="16 or more")
    sub.add_argument("--throughput", type=float, default=1000.0, metavar="N", help="records/s")
    sub.add_argument(
        "--kill",
        type=_count,
        metavar="PID",
        default=0,
        help="kill -9 this process when a third of the records is acknowledged",
    )
    sub.add_argument("--plot", type=Path, metavar="FILE", help="percentiles as PNG")
    add_client_arguments(sub)


def _register_embedded(verbs: Any) -> None:
    sub = verbs.add_parser("embedded", help="append and read inside this process, no broker")
    sub.add_argument("--num-records", type=_count, default=1_000_000, metavar="N")
    sub.add_argument("--record-size", type=_count, default=100, metavar="BYTES")
    sub.add_argument("--batch-records", type=_count, default=1000, metavar="N")
    sub.add_argument(
        "--data", type=Path, metavar="DIR", help="a log folder (default: a new one, removed again)"
    )
    add_json_argument(sub)


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
    if args.verb == "failover":
        return _run_failover(args)
    if args.verb == "embedded":
        return _run_embedded(args)
    with connect(args) as client:
        topic = topic_info(client, args.topic)
        leader = topic.partitions[0].leader
        progress = Progress(args.verb, total=args.num_records, enabled=sys.stderr.isatty())
        with progress:
            result = _run_verb(args, client, client.broker(leader), progress)
    _print_result(args, result)
    return EXIT_OK


def _run_failover(args: argparse.Namespace) -> int:
    if args.throughput <= 0:
        raise CliError("--throughput must be above 0")
    load = FailoverLoad(
        topic=args.topic,
        records=args.num_records,
        record_bytes=args.record_size,
        records_per_s=args.throughput,
        kill_pid=args.kill,
        give_up_s=args.timeout,
    )

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    progress = Progress(args.verb, total=args.num_records, enabled=sys.stderr.isatty())
    with progress:
        result = run_failover(args.bootstrap_server, load, say, progress.advance)
    longest_s = max((length for _, length in result.outages), default=0.0)
    more = {
        "leaders": result.leaders,
        "outages_s": [[round(at, 3), round(length, 3)] for at, length in result.outages],
        "longest_outage_s": round(longest_s, 3),
        "sent_again": result.sent_again,
        "lost": result.lost,
        "duplicated": result.duplicated,
    }
    _print_result(args, result, more)
    if not args.json:
        led = " -> ".join(str(leader) for leader in result.leaders)
        print(f"leaders {led}; longest time without an acknowledgement {longest_s:.3f} s")
        print(
            f"{result.lost} acknowledged records lost, {result.duplicated} twice, "
            f"{result.sent_again} sent again"
        )
    return EXIT_FAILURE if result.lost else EXIT_OK


def _run_embedded(args: argparse.Namespace) -> int:
    from .bench_embedded import run_embedded

    progress = Progress(args.verb, enabled=sys.stderr.isatty())
    with progress:
        results = run_embedded(
            args.data,
            records=args.num_records,
            record_bytes=args.record_size,
            batch_records=args.batch_records,
            on_progress=progress.advance,
        )
    rows = [
        {
            "load": each.load,
            "records": each.records,
            "bytes": each.size_bytes,
            "seconds": round(each.seconds, 6),
            "records_per_s": round(each.records / each.seconds, 1),
            "mb_per_s": round(each.size_bytes / each.seconds / 1e6, 3),
            "ns_per_record": round(each.ns_per_record, 1),
        }
        for each in results
    ]
    if args.json:
        print_json(rows)
    else:
        heads = ("load", "records", "records_per_s", "mb_per_s", "ns_per_record")
        print_table(heads, [[_text(row[head]) for head in heads] for row in rows])
    return EXIT_OK


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


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


def _print_result(
    args: argparse.Namespace, result: Result | FailoverResult, more: dict[str, Any] | None = None
) -> None:
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
            | (more or {})
        )
        return
    megabytes = result.size_bytes / 1e6
    rates = f"{result.records / seconds:,.0f} records/s, {megabytes / seconds:,.1f} MB/s"
    print(f"{result.records:,} records in {seconds:.3f} s: {rates}")
    if percentiles:
        print("latency [ms]  " + "  ".join(f"{key} {ms:g}" for key, ms in percentiles.items()))
        print(result.latencies.text_plot())
