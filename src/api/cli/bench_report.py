"""How `headrace bench` prints what a load did: in words, as JSON, as a plot of text or pixels."""

import argparse
import dataclasses
import resource
import sys
from typing import TYPE_CHECKING, Any, Protocol

from .bench_load import INTERRUPTED, Payload, Result
from .bench_stats import Latencies, save_plot
from .common import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, print_json, print_table

if TYPE_CHECKING:
    from .bench_embedded import EmbeddedRun
    from .bench_failover import FailoverResult


class Ended(Protocol):
    """What may have ended early, with the reason."""

    ended_early: str


def exit_code(result: Ended) -> int:
    """0 for a whole run; 130 where it was interrupted, 1 where it could not go on."""
    if not result.ended_early:
        return EXIT_OK
    return EXIT_INTERRUPTED if result.ended_early == INTERRUPTED else EXIT_FAILURE


def print_result(
    args: argparse.Namespace,
    result: "Result | FailoverResult",
    load: Any,
    more: dict[str, Any] | None = None,
) -> None:
    """The whole of what was measured, `more` besides in JSON; saves the picture last."""
    if args.json:
        print_json(_as_json(args, result, load) | (more or {}))
    else:
        _print_text(args, result)
    if result.ended_early:
        print(f"headrace: ended early: {result.ended_early}", file=sys.stderr)
    plot = getattr(args, "plot", None)
    if plot is not None and result.latencies.samples_s:
        save_plot(plot, f"headrace bench {args.verb} {args.topic}", result.latencies)
        print(f"plot: {plot}", file=sys.stderr)


def _rates(result: "Result | FailoverResult") -> dict[str, Any]:
    seconds = max(result.seconds, 1e-9)
    return {
        "records": result.records,
        "bytes": result.size_bytes,
        "seconds": round(seconds, 6),
        "records_per_s": round(result.records / seconds, 1),
        "mb_per_s": round(result.size_bytes / seconds / 1e6, 3),
        "latency_ms": result.latencies.percentiles_ms(),
    }


def _as_json(
    args: argparse.Namespace, result: "Result | FailoverResult", load: Any
) -> dict[str, Any]:
    said: dict[str, Any] = {"load": args.verb, "topic": args.topic}
    said |= _rates(result) | {"options": _options(load)}
    if isinstance(result, Result):
        steady = result.without_warmup()
        if steady is not None:
            said["without_warmup"] = _rates(steady)
        if args.print_metrics:
            said["metrics"] = metrics(args.verb, result)
    if result.ended_early:
        said["ended_early"] = result.ended_early
    return said


def _options(load: Any) -> dict[str, Any]:
    """How the load was asked for; of a payload only how large a value is."""
    fields = {field.name: getattr(load, field.name) for field in dataclasses.fields(load)}
    payload = fields.pop("payload", None)
    if isinstance(payload, Payload):
        fields["largest_record_bytes"] = payload.largest_bytes
    fields.pop("topic", None)
    return fields


def _line(result: "Result | FailoverResult") -> str:
    found = _rates(result)
    rates = f"{found['records_per_s']:,.0f} records/s, {found['mb_per_s']:,.1f} MB/s"
    return f"{result.records:,} records in {result.seconds:.3f} s: {rates}"


def _percentiles(latencies: Latencies) -> str:
    found = latencies.percentiles_ms()
    return "latency [ms]  " + "  ".join(f"{key} {ms:g}" for key, ms in found.items())


def _print_text(args: argparse.Namespace, result: "Result | FailoverResult") -> None:
    print(_line(result))
    if result.latencies.samples_s:
        print(_percentiles(result.latencies))
        print(result.latencies.text_plot())
    if not isinstance(result, Result):
        return
    steady = result.without_warmup()
    if steady is not None:
        print(f"without the warm-up: {_line(steady)}")
        if steady.latencies.samples_s:
            print(_percentiles(steady.latencies))
    if args.print_metrics:
        rows = metrics(args.verb, result).items()
        print_table(("metric", "value"), [(name, f"{value:,.3f}") for name, value in rows])


def metrics(verb: str, result: Result) -> dict[str, float]:
    """What the client counted, by the names of Kafka's clients where they have one."""
    requests, records = max(1, result.requests), max(1, result.records)
    used = resource.getrusage(resource.RUSAGE_SELF)
    common = {"client-cpu-seconds": used.ru_utime + used.ru_stime}
    if verb == "consume":
        return common | {
            "fetch-total": float(result.requests),
            "records-consumed-total": float(result.records),
            "bytes-consumed-total": float(result.wire_bytes),
            "fetch-size-avg": result.wire_bytes / requests,
            "records-per-request-avg": result.records / requests,
        }
    samples = result.latencies.samples_s
    return common | {
        "request-total": float(result.requests),
        "record-send-total": float(result.records),
        "record-size-avg": result.size_bytes / records,
        "batch-size-avg": result.wire_bytes / requests,
        "records-per-request-avg": result.records / requests,
        "request-latency-avg": 1000 * sum(samples) / max(1, len(samples)),
        "request-latency-max": 1000 * max(samples, default=0.0),
    }


def print_embedded(args: argparse.Namespace, done: "EmbeddedRun") -> None:
    """A row a way to append or read."""
    rows = [
        {
            "load": each.load,
            "records": each.records,
            "bytes": each.size_bytes,
            "seconds": round(each.seconds, 6),
            "records_per_s": round(each.records / max(each.seconds, 1e-9), 1),
            "mb_per_s": round(each.size_bytes / max(each.seconds, 1e-9) / 1e6, 3),
            "ns_per_record": round(each.ns_per_record, 1),
        }
        for each in done.results
    ]
    if args.json:
        print_json(rows)
    else:
        heads = ("load", "records", "records_per_s", "mb_per_s", "ns_per_record")
        print_table(heads, [[_text(row[head]) for head in heads] for row in rows])
    if done.ended_early:
        print(f"headrace: ended early: {done.ended_early}", file=sys.stderr)


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
