"""The tables of kafka-consumer-groups.sh, column for column as Kafka prints them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..group_admin import GroupDescription, GroupListing

_NAME_WIDTH = 15


def print_listing(groups: Sequence[GroupListing], *, with_type: bool, with_state: bool) -> None:
    """A line a group, with what was asked for beside its id."""
    if not (with_type or with_state):
        for group in groups:
            print(group.group_id)
        return
    width = _width([group.group_id for group in groups]) + 10
    rows = [("GROUP", "TYPE", "STATE")]
    rows += [(group.group_id, group.group_type.capitalize(), group.state) for group in groups]
    for group_id, kind, state in rows:
        cells = [f"{group_id:<{width}}"]
        cells += [f"{kind:<20}"] if with_type else []
        cells += [f"{state:<20}"] if with_state else []
        print(" ".join(cells))


def print_positions(
    group: GroupDescription, rows: Sequence[Mapping[str, Any]], *, verbose: bool
) -> None:
    """What a group has read of each partition, how far it is behind, and who reads it."""
    columns: list[tuple[str, str, int]] = [
        ("TOPIC", "topic", _width(row["topic"] for row in rows)),
        ("PARTITION", "partition", 10),
        *([("LEADER-EPOCH", "leader_epoch", 15)] if verbose else []),
        ("CURRENT-OFFSET", "current_offset", 15),
        ("LOG-END-OFFSET", "log_end_offset", 15),
        ("LAG", "lag", 15),
        ("CONSUMER-ID", "member_id", _width(_shown(row["member_id"]) for row in rows)),
        ("HOST", "host", _width(_shown(row["host"]) for row in rows)),
        ("CLIENT-ID", "client_id", 0),
    ]
    first = _width([group.group_id])
    print("\n" + " ".join([f"{'GROUP':<{first}}", *(f"{title:<{w}}" for title, _, w in columns)]))
    for row in rows:
        cells = [f"{_shown(row[name]):<{width}}" for _, name, width in columns]
        print(" ".join([f"{group.group_id:<{first}}", *cells]))


def print_members(group: GroupDescription, *, verbose: bool) -> None:
    """Who belongs to a group, and what each member was assigned."""
    titles = ["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS"]
    rows = [
        [
            group.group_id,
            member.member_id,
            member.client_host,
            member.client_id,
            str(sum(len(indexes) for indexes in (member.assignment or {}).values())),
        ]
        for member in group.members
    ]
    widths = [_width(row[column] for row in rows) for column in range(len(titles))]
    if verbose:
        # Epochs and targets belong to the groups of KIP-848; a classic group has none.
        titles += ["CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT"]
        assigned = [_assignment(member.assignment or {}) for member in group.members]
        rows = [[*row, "-", text, "-", "-"] for row, text in zip(rows, assigned, strict=True)]
        widths += [_NAME_WIDTH, max([20, *map(len, assigned)]), _NAME_WIDTH, 19]
    print()
    for cells in [titles, *rows]:
        print("".join(f"{cell:<{width}} " for cell, width in zip(cells, widths, strict=True)))


def print_state(group: GroupDescription, *, verbose: bool) -> None:
    """A group as a whole: its coordinator, strategy and state."""
    coordinator = f"{group.coordinator}  ({group.coordinator_id})"
    widths = [_width([group.group_id]), max(25, len(coordinator)), 20, 20]
    titles = ["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE"]
    cells = [group.group_id, coordinator, group.protocol or "-", group.state]
    if verbose:
        titles += ["GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH"]
        cells += ["-", "-"]
        widths += [_NAME_WIDTH, 25]
    print()
    for row in ([*titles, "#MEMBERS"], [*cells, str(len(group.members))]):
        text = [f"{cell:<{width}}" for cell, width in zip(row, [*widths, 0], strict=True)]
        print(" ".join(text))


def print_new_offsets(rows: Sequence[tuple[str, str, int, int]]) -> None:
    """(group, topic, partition, offset): what a reset makes, or would make, of each position."""
    group_width = _width(row[0] for row in rows)
    topic_width = _width(row[1] for row in rows)
    print(f"\n{'GROUP':<{group_width}} {'TOPIC':<{topic_width}} {'PARTITION':<10} NEW-OFFSET")
    for group_id, topic, partition, offset in rows:
        print(f"{group_id:<{group_width}} {topic:<{topic_width}} {partition:<10} {offset}")


def print_outcomes(rows: Sequence[tuple[str, int, str]]) -> None:
    """(topic, partition, what became of it)."""
    width = _width(row[0] for row in rows)
    print(f"\n{'TOPIC':<{width}} {'PARTITION':<10} {'STATUS':<15}")
    for topic, partition, status in rows:
        print(f"{topic:<{width}} {partition:<10} {status:<15}")


def _width(texts: Iterable[str]) -> int:
    return max([_NAME_WIDTH, *(len(text) for text in texts)])


def _shown(value: object) -> str:
    return "-" if value is None else str(value)


def _assignment(assignment: Mapping[str, Sequence[int]]) -> str:
    parts = [
        f"{topic}:{','.join(map(str, sorted(indexes)))}"
        for topic, indexes in sorted(assignment.items())
    ]
    return ";".join(parts) or "-"
