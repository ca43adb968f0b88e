"""What a chaos run says in the end, and what its trials prove."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.run import Result

CONFIDENCE_FACTOR = 3.0
"""No failure in N trials: the chance a trial is below 3/N, at 95 % (the rule of three)."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """The longest pauses that the clients of one kind of fault saw."""

    count: int
    median_s: float
    p99_s: float
    longest_s: float


def gaps_of(sorted_s: Sequence[float]) -> Gaps:
    """Statistics of at least one pause, given in ascending order."""
    last = len(sorted_s) - 1
    return Gaps(len(sorted_s), sorted_s[last // 2], sorted_s[round(last * 0.99)], sorted_s[last])


def report_lines(results: Sequence[Result]) -> list[str]:
    """The whole report: counts, pauses by fault, and what nothing lost in N trials means."""
    rounds = [each for result in results for each in result.rounds]
    violations = [each for result in results for each in result.violations]
    acknowledged = sum(result.acknowledged_count for result in results)
    unknown = sum(result.unknown_count for result in results)
    seen = sum(result.seen_count for result in results)
    lines = [
        f"{len(rounds)} faults, {acknowledged:,} records acknowledged, {unknown:,} with an "
        f"unknown end, {seen:,} read meanwhile",
        f"{len(violations)} violations of I1-I7",
    ]
    for fault in dict.fromkeys(each.fault for each in rounds):
        gaps = gaps_of(sorted(each.gap_s for each in rounds if each.fault == fault))
        lines.append(
            f"  {fault:<17} {gaps.count:>4} x  longest gap of a client: p50 {gaps.median_s:.2f} s, "
            f"p99 {gaps.p99_s:.2f} s, max {gaps.longest_s:.2f} s"
        )
    if rounds and not violations:
        lines.append(
            f"nothing lost in {len(rounds)} faults: the chance to lose something is below "
            f"{100 * CONFIDENCE_FACTOR / len(rounds):.2g} % a fault (95 %)"
        )
    lines += [f"  {violation}" for violation in violations[:50]]
    return lines
