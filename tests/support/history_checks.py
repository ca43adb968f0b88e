"""The promises that a history of a cluster is held against.

I1  every acknowledged record is there; of an idempotent producer exactly once
I2  the records of one idempotent producer stand in the order in which it sent them
I3  an offset never holds two different records, whoever looks, whenever
I4  nobody is given a record that is not there in the end, nor one that was refused
I5  a group's committed offset never goes back
I6  the replicas agree byte by byte up to the high watermark
I7  writes go on within a bound after a fault

Pure functions: a `History` and what the partitions hold in the end go in, violations come out.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.support.history import History, Outcome, Partition, parse_value

Contents = Mapping[int, bytes]
"""Offset -> value of one partition, as it stands in the end."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept, in words."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


def check_history(history: History, final: Mapping[Partition, Contents]) -> list[Violation]:
    """Every violation of I1-I5."""
    return [
        *acknowledged_records_are_there(history, final),
        *producers_keep_their_order(history, final),
        *offsets_hold_one_record(history, final),
        *readers_saw_only_what_stays(history, final),
        *committed_offsets_never_go_back(history),
    ]


def acknowledged_records_are_there(
    history: History, final: Mapping[Partition, Contents]
) -> Iterator[Violation]:
    """I1."""
    counts = {partition: Counter(contents.values()) for partition, contents in final.items()}
    for send in history.acknowledged():
        found = counts.get(send.partition, Counter())[send.value]
        where = f"{send.value!r} in {_words(send.partition)}"
        if found == 0:
            yield Violation("I1", f"lost {where}, acknowledged at offset {send.offset}")
        at_offset = final.get(send.partition, {}).get(send.offset)
        if found and send.offset >= 0 and at_offset != send.value:
            yield Violation("I1", f"{where} was told offset {send.offset}, there is {at_offset!r}")
    for partition, counted in counts.items():
        for value, count in counted.items():
            if count > 1 and parse_value(value)[0] in history.idempotent:
                yield Violation("I1", f"{value!r} stands {count} times in {_words(partition)}")


def producers_keep_their_order(
    history: History, final: Mapping[Partition, Contents]
) -> Iterator[Violation]:
    """I2.  Without idempotence a client may itself send later records to a new leader while earlier
    ones still wait for the old one's answer, so nobody promises their order."""
    for partition, contents in final.items():
        last: dict[str, int] = defaultdict(lambda: -1)
        for value in dict.fromkeys(contents[offset] for offset in sorted(contents)):
            producer, number = parse_value(value)
            if producer in history.idempotent and number < last[producer]:
                yield Violation(
                    "I2", f"{value!r} stands behind {last[producer]} in {_words(partition)}"
                )
            last[producer] = max(last[producer], number)


def offsets_hold_one_record(
    history: History, final: Mapping[Partition, Contents]
) -> Iterator[Violation]:
    """I3."""
    known: dict[tuple[Partition, int], tuple[str, bytes]] = {
        (partition, offset): ("the end", value)
        for partition, contents in final.items()
        for offset, value in contents.items()
    }
    for seen in history.seen:
        place = (seen.partition, seen.offset)
        who, value = known.setdefault(place, (seen.reader, seen.value))
        if value != seen.value:
            yield Violation(
                "I3",
                f"offset {seen.offset} of {_words(seen.partition)}: {seen.reader} saw "
                f"{seen.value!r}, {who} {value!r}",
            )


def readers_saw_only_what_stays(
    history: History, final: Mapping[Partition, Contents]
) -> Iterator[Violation]:
    """I4: what is not there in the end was beyond the high watermark when it was given out."""
    refused = {
        (send.partition, send.value) for send in history.sends if send.outcome == Outcome.FAILED
    }
    for seen in history.seen:
        if seen.offset not in final.get(seen.partition, {}):
            yield Violation(
                "I4",
                f"{seen.reader} saw {seen.value!r} at offset {seen.offset} of "
                f"{_words(seen.partition)}, which is gone",
            )
        if (seen.partition, seen.value) in refused:
            yield Violation("I4", f"{seen.reader} saw {seen.value!r}, which was refused")


def committed_offsets_never_go_back(history: History) -> Iterator[Violation]:
    """I5."""
    last: dict[tuple[str, Partition], int] = {}
    for committed in history.committed:
        place = (committed.group, committed.partition)
        before = last.get(place, -1)
        if committed.offset < before:
            yield Violation(
                "I5",
                f"group {committed.group} went from {before} back to {committed.offset} in "
                f"{_words(committed.partition)}",
            )
        last[place] = committed.offset


def replicas_agree(partition: Partition, replicas: Mapping[int, bytes]) -> Iterator[Violation]:
    """I6: broker id -> the bytes of its replica up to the high watermark of all of them."""
    digests = {broker: hashlib.sha256(data).hexdigest() for broker, data in replicas.items()}
    if len(set(digests.values())) > 1:
        lengths = {broker: len(data) for broker, data in replicas.items()}
        position = _first_difference(list(replicas.values()))
        yield Violation(
            "I6", f"{_words(partition)} differs from byte {position} on; lengths {lengths}"
        )


def _first_difference(texts: Sequence[bytes]) -> int:
    shortest = min(map(len, texts))
    for position in range(shortest):
        if len({text[position] for text in texts}) > 1:
            return position
    return shortest


def longest_gap_s(times: Sequence[float], start_s: float, end_s: float) -> float:
    """The longest time without an acknowledgement between `start_s` and `end_s`."""
    inside = [moment for moment in times if start_s <= moment <= end_s]
    edges = [start_s, *inside, end_s]
    return max(later - earlier for earlier, later in pairwise(edges))


def writes_went_on(
    times: Sequence[float], *, fault_s: float, until_s: float, bound_s: float, what: str
) -> Iterator[Violation]:
    """I7: no pause longer than `bound_s` between `fault_s` and `until_s`."""
    gap = longest_gap_s(times, fault_s, until_s)
    if gap > bound_s:
        yield Violation("I7", f"{what}: no acknowledgement for {gap:.2f} s, allowed {bound_s} s")


def in_words(violations: Iterable[Violation], limit: int = 20) -> str:
    """The first violations, a line each, and how many there are."""
    texts = [str(violation) for violation in violations]
    more = [f"... and {len(texts) - limit} more"] if len(texts) > limit else []
    return "\n".join([f"{len(texts)} violations", *texts[:limit], *more])


def _words(partition: Partition) -> str:
    return f"{partition[0]}-{partition[1]}"
