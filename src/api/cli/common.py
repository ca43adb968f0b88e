"""What the commands share: exit codes, failures in words, common options, tables and JSON."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

DEFAULT_BOOTSTRAP = "localhost:9092"


class CliError(Exception):
    """A command cannot go on; its text is for the person who typed it."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def add_bootstrap_argument(parser: argparse.ArgumentParser) -> None:
    """`--bootstrap-server`, by default what HEADRACE_BOOTSTRAP says, else localhost:9092."""
    parser.add_argument(
        "-b",
        "--bootstrap-server",
        metavar="HOST:PORT",
        default=os.environ.get("HEADRACE_BOOTSTRAP", DEFAULT_BOOTSTRAP),
        help="a broker to connect to (HEADRACE_BOOTSTRAP, else localhost:9092; now: %(default)s)",
    )


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """`--json`: the answer for a program instead of a person."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their longest cell, under `headers`."""
    lines = [list(map(str, headers)), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())


def parse_name_value(option: str, text: str) -> tuple[str, str]:
    """`name=value` in two; CliError that names the option otherwise."""
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise CliError(f"{option} {text}: give NAME=VALUE", EXIT_USAGE)
    return name.strip(), value


def silence_stdout() -> None:
    """Lets the interpreter exit quietly after the reader of our output went away."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
