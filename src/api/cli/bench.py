"""`headrace bench`: loads any Kafka broker, or the log in this process; needs no other client."""

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

from .admin_client import AdminClient
from .bench_failover import FailoverLoad, run_failover
from .bench_load import Result, run_consume, run_end_to_end, run_produce, topic_info
from .bench_options import (
    Settings,
    add_fetch_arguments,
    add_load_arguments,
    add_plot_argument,
    add_reporting_argument,
    add_run_arguments,
    add_topic_argument,
    bootstrap_of,
    fetch_load,
    produce_load,
    rate,
    settings_of,
    topic_of,
    whole_number,
)
from .bench_report import exit_code, print_embedded, print_result
from .bench_stats import check_plot
from .broker_connection import BrokerConnection
from .common import EXIT_FAILURE, EXIT_USAGE, CliError, add_command, add_json_argument
from .progress import Progress

HELP = "measure a broker (produce, consume, latency, end-to-end, failover) or the embedded log"
EXAMPLES = """examples:
  headrace bench produce bench --num-records 5000000 --record-size 100
  headrace bench produce --topic bench --num-records 5000000 --record-size 100 --throughput -1 \\
      --producer-props acks=1 batch.size=65536 --bootstrap-server HOST:9092
  headrace bench latency bench --num-records 10000 --throughput 1000
  headrace bench end-to-end bench --num-records 10000 --throughput 1000 --plot e2e.png
  headrace bench consume bench --num-records 5000000
  headrace bench failover bench --num-records 30000 --throughput 1000 --kill 4711
  headrace bench embedded --num-records 1000000

produce sends batches as fast as the broker answers, latency one record a request at a fixed rate,
end-to-end the same and waits until a consumer sees it.  failover goes on while the topic's leader
dies: it kills the process that --kill names, or you stop it.  The topic must exist, and nobody else
may write to it meanwhile.  embedded needs no broker: it appends to a log in a folder of its own and
reads it.  Flags are those of Kafka's perf tools.  Ctrl-C prints what was measured until then."""
LOADS = {
    "produce": "rate of large batches",
    "latency": "one record a request at a fixed rate, due to acknowledged",
    "end-to-end": "one record a request at a fixed rate, due to consumed",
    "consume": "rate of reading from the beginning",
}
# Where nobody watches a line that is redrawn, one is printed as often as by Kafka's tools.
REPORTING_INTERVAL_MS = 5000
# The number by which a record is found again.
LEAST_FAILOVER_BYTES = 16


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = add_command(subparsers, "bench", HELP, EXAMPLES)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, about in LOADS.items():
        sub = verbs.add_parser(verb, help=about, description=about)
        add_topic_argument(sub)
        sub.add_argument(
            *(("--num-records", "--messages") if verb == "consume" else ("--num-records",)),
            dest="num_records",
            type=whole_number,
            default=100_000,
            metavar="N",
            help="default: 100000",
        )
        if verb == "consume":
            add_fetch_arguments(sub)
        else:
            add_load_arguments(sub, is_paced=verb != "produce")
        add_run_arguments(sub)
    _register_failover(verbs)
    _register_embedded(verbs)
    parser.set_defaults(run=run)


def _register_failover(verbs: Any) -> None:
    about = "one record a request, acks=all, while the leader dies: how long nobody could write"
    sub = verbs.add_parser("failover", help=about, description=about)
    add_topic_argument(sub, about="one partition")
    sub.add_argument("--num-records", type=whole_number, default=10_000, metavar="N")
    sub.add_argument(
        "--record-size", type=whole_number, default=100, metavar="BYTES", help="16 or more"
    )
    sub.add_argument("--throughput", type=rate, default=1000.0, metavar="N", help="records/s")
    sub.add_argument(
        "--kill",
        type=whole_number,
        metavar="PID",
        default=0,
        help="kill -9 this process when a third of the records is acknowledged",
    )
    add_plot_argument(sub)
    add_run_arguments(sub)


def _register_embedded(verbs: Any) -> None:
    about = "append and read inside this process, no broker"
    sub = verbs.add_parser("embedded", help=about, description=about)
    sub.add_argument("--num-records", type=whole_number, default=1_000_000, metavar="N")
    sub.add_argument("--record-size", type=whole_number, default=100, metavar="BYTES")
    sub.add_argument(
        "--batch-records", type=whole_number, metavar="N", help="default: 1000, or 16 MB of them"
    )
    sub.add_argument(
        "--data", type=Path, metavar="DIR", help="a log folder (default: a new one, removed again)"
    )
    add_reporting_argument(sub)
    add_json_argument(sub)


def run(args: argparse.Namespace) -> int:
    """Runs one load and prints what came of it."""
    # As Ctrl-C: what was measured until then is told.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if args.verb == "embedded":
        return _run_embedded(args)
    if getattr(args, "plot", None) is not None:
        check_plot(args.plot)
    args.topic = topic_of(args)
    settings = settings_of(args)
    args.bootstrap_server = bootstrap_of(args, settings)
    if args.verb == "failover":
        return _run_failover(args)
    return _run_load(args, settings)


def _progress(args: argparse.Namespace) -> Progress:
    """On a terminal a line that is redrawn, elsewhere or if asked for a line now and then."""
    interval_ms = args.reporting_interval
    if interval_ms is None and not sys.stderr.isatty():
        interval_ms = REPORTING_INTERVAL_MS
    every_s = interval_ms / 1000 if interval_ms else None
    # The embedded log takes the records in several ways, one after the other.
    total = None if args.verb == "embedded" else args.num_records
    return Progress(args.verb, total=total, enabled=True, line_every_s=every_s)


def _run_load(args: argparse.Namespace, settings: Settings) -> int:
    """produce, latency, end-to-end or consume."""
    load = fetch_load(args, settings) if args.verb == "consume" else produce_load(args, settings)
    if getattr(args, "plot", None) is not None and getattr(load, "acks", 1) == 0:
        raise CliError("--plot: with acks=0 nothing is answered, so there are no latencies")
    client_id = settings.given.get("client.id", "headrace-bench")
    with AdminClient(args.bootstrap_server, timeout_s=args.timeout, client_id=client_id) as client:
        topic = topic_info(client, args.topic)
        if args.verb == "end-to-end" and len(topic.partitions) != 1:
            raise CliError(f"topic {args.topic} needs one partition for this; it has more")
        with _progress(args) as progress:
            result: Result
            if args.verb == "consume":
                result = run_consume(client, topic, fetch_load(args, settings), progress.advance)
            elif args.verb == "end-to-end":
                result = _run_end_to_end(args, settings, client, progress)
            else:
                result = run_produce(client, topic, produce_load(args, settings), progress.advance)
    print_result(args, result, load)
    return exit_code(result)


def _run_end_to_end(
    args: argparse.Namespace, settings: Settings, client: AdminClient, progress: Progress
) -> Result:
    """Reads over a connection of its own, so that no answer waits behind another."""
    topic = topic_info(client, args.topic)
    host, _, port = client.broker(topic.partitions[0].leader).address.rpartition(":")
    second = BrokerConnection(host, int(port), timeout_s=args.timeout)
    try:
        load = produce_load(args, settings)
        return run_end_to_end(client, second, topic, load, progress.advance)
    finally:
        second.close()


def _run_failover(args: argparse.Namespace) -> int:
    if not args.throughput:
        raise CliError("--throughput must be above 0: this load is paced", EXIT_USAGE)
    if args.record_size < LEAST_FAILOVER_BYTES:
        raise CliError(f"--record-size must be {LEAST_FAILOVER_BYTES} or more", EXIT_USAGE)
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

    with _progress(args) as progress:
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
    print_result(args, result, load, more)
    if not args.json:
        led = " -> ".join(str(leader) for leader in result.leaders)
        print(f"leaders {led}; longest time without an acknowledgement {longest_s:.3f} s")
        found = "not read back" if result.lost is None else f"{result.lost} acknowledged lost"
        print(f"{found}, {result.duplicated or 0} twice, {result.sent_again} sent again")
    return EXIT_FAILURE if result.lost else exit_code(result)


def _run_embedded(args: argparse.Namespace) -> int:
    from .bench_embedded import run_embedded

    with _progress(args) as progress:
        done = run_embedded(
            args.data,
            records=args.num_records,
            record_bytes=args.record_size,
            batch_records=args.batch_records,
            on_progress=progress.advance,
        )
    print_embedded(args, done)
    return exit_code(done)
