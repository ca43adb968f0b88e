"""What a side-by-side run found: as Markdown, as shares for a picture, in a file and back.

    python -m benchmarks.side_by_side --from-json monday.json tuesday.json --rows small,latency

The file is written after every turn of a target, so a run that is ended early loses one turn.
Several files of one size become one table: what they measured alike has the samples of all.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .harness import Samples, keep_json, number
from .published import FIGURES as PUBLISHED

# A figure of this name stands beside another one: its samples say what the machine was like in the
# same turns (`plain_writes.py`).
AROUND = ", plain writes around it"

# figure -> column -> samples
Table = dict[str, dict[str, Samples]]
Heading = dict[str, Any]


@dataclass
class Results:
    """The table, which row each figure is of, and the columns in their order."""

    table: Table = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)

    def add(self, row: str, figure: str, column: str, value: float, sample: Samples) -> None:
        """One more value of a figure; unit and direction are those of `sample`."""
        self.rows[figure] = row
        if column not in self.columns:
            self.columns.append(column)
        by_column = self.table.setdefault(figure, {})
        by_column.setdefault(column, Samples(sample.unit, sample.better)).values.append(value)

    def of_rows(self, rows: list[str]) -> "Results":
        """Only the figures of these rows."""
        chosen = {figure: row for figure, row in self.rows.items() if row in rows}
        table = {figure: self.table[figure] for figure in chosen}
        columns = [name for name in self.columns if any(name in each for each in table.values())]
        return Results(table, chosen, columns)


def save(path: Path, heading: Heading, results: Results) -> None:
    """Every sample, with what it is measured in."""
    figures = {
        figure: {
            "row": results.rows[figure],
            "unit": next(iter(by_column.values())).unit,
            "better": next(iter(by_column.values())).better,
        }
        for figure, by_column in results.table.items()
    }
    samples = {
        figure: {column: sample.values for column, sample in by_column.items()}
        for figure, by_column in results.table.items()
    }
    content = heading | {
        "columns": results.columns,
        "figures": figures,
        "samples": samples,
        "published": published(results.table),
    }
    keep_json(path, content)


def load(paths: list[Path]) -> tuple[list[Heading], Results]:
    """What the files hold, together; ends the program in words where that makes no sense."""
    headings: list[Heading] = []
    results = Results()
    for path in paths:
        try:
            content = json.loads(path.read_text())
            found = {name: content.pop(name) for name in ("columns", "figures", "samples")}
        except (OSError, ValueError, KeyError) as error:
            sys.exit(f"{path} is no result of side_by_side --json: {error!r}")
        content.pop("published", None)
        headings.append(content)
        if content["sizes"] != headings[0]["sizes"]:
            sys.exit(f"{path} has {content['sizes']} sizes, {paths[0]} {headings[0]['sizes']}")
        results.columns += [name for name in found["columns"] if name not in results.columns]
        for figure, about in found["figures"].items():
            empty = Samples(about["unit"], about["better"])
            for column, values in found["samples"][figure].items():
                for value in values:
                    results.add(about["row"], figure, column, value, empty)
    return headings, results


def shares_of(table: Table) -> dict[str, dict[str, float]]:
    """figure -> peer -> how good its median is against headrace's: 2 is twice as good."""
    shares: dict[str, dict[str, float]] = {}
    for figure, by_peer in table.items():
        if figure.endswith(AROUND):
            continue
        ours = by_peer["headrace"].median if "headrace" in by_peer else 0.0
        for name, sample in by_peer.items():
            if name != "headrace" and ours > 0 and sample.median > 0:
                share = sample.median / ours if sample.better == "more" else ours / sample.median
                shares.setdefault(figure, {})[name] = share
    return shares


def published(table: Table) -> dict[str, Any]:
    """What others published of the same name."""
    return {
        name: {"value": PUBLISHED[name][0], "unit": PUBLISHED[name][1], "of": PUBLISHED[name][2]}
        for name in table
        if name in PUBLISHED
    }


def markdown(headings: list[Heading], table: Table, names: list[str]) -> str:
    """The table as text: a line a figure, medians with their spread, ratios to the first peer.

    Of the second and later headings only what differs from the first is said.
    """
    lines = []
    for heading in headings:
        shown = {
            name: value
            for name, value in heading.items()
            if heading is headings[0] or value != headings[0].get(name)
        }
        lines += [*(f"{name}: {value}  " for name, value in shown.items()), ""]
    others = published(table)
    titles = ["figure", "unit", *names, *(f"{names[0]} / {name}" for name in names[1:])]
    titles += ["published, another machine"] * bool(others)
    lines += [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for figure, by_peer in table.items():
        sample = next(iter(by_peer.values()))
        cells = [by_peer[name].text() if name in by_peer else "-" for name in names]
        cells += [_ratio(by_peer, names[0], name) for name in names[1:]]
        if others:
            cells.append(number(others[figure]["value"]) if figure in others else "-")
        unit = f"{sample.unit}, {sample.better} is better"
        lines.append(f"| {' | '.join([figure, unit, *cells])} |")
    lines += _turn_by_turn(table)
    if others:
        sources = sorted({known["of"] for known in others.values()})
        lines += ["", f"Published figures: {'; '.join(sources)}. Another machine: no ratio."]
    return "\n".join(lines)


def _turn_by_turn(table: Table) -> list[str]:
    """A line for each figure that has a control: its samples in their order, each with that."""
    lines = []
    for figure, controls in table.items():
        measured = table.get(figure.removesuffix(AROUND))
        if not figure.endswith(AROUND) or measured is None:
            continue
        columns = []
        for column, control in controls.items():
            values, plain = measured[column].values, control.values
            pairs = zip(values, plain, strict=False)
            shown = ", ".join(f"{number(value)} ({number(cost)})" for value, cost in pairs)
            if len(values) != len(plain):  # some files are from before there was a control
                shown = f"of {len(values)} turns {len(plain)} have one"
            columns.append(f"{column} {shown}")
        lines.append(f"- {figure.removesuffix(AROUND)}: {'; '.join(columns)}")
    if lines:
        lines = ["", "Turn by turn, with what plain writes cost around each, CPU-s/GB:", "", *lines]
    return lines


def _ratio(by_peer: dict[str, Samples], ours: str, other: str) -> str:
    if ours in by_peer and other in by_peer and by_peer[other].median:
        return f"{by_peer[ours].median / by_peer[other].median:.2f}x"
    return "-"
