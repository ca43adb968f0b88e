"""What the commands share: exit codes, failures in words, common options, tables and JSON."""

import argparse
import gc
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .admin_client import AdminClient

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

DEFAULT_BOOTSTRAP = "localhost:9092"


class CliError(Exception):
    """A command cannot go on; its text is for the person who typed it."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """What argparse prints, examples as they are written.

    argparse makes one for each option, long before anybody asks for help, and its own looks up the
    terminal's width by way of shutil, bz2 and lzma.
    """

    def __init__(self, prog: str) -> None:
        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if columns.isdecimal() and int(columns) else _terminal_columns()
        super().__init__(prog, width=width - 2)


def _terminal_columns() -> int:
    try:
        return os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else 1).columns or 80
    except (AttributeError, ValueError, OSError):
        return 80


def load_without_collecting() -> None:
    """To be called before a broker's modules are imported; run_server turns it back.

    What they make stays, and to look through it for garbage every few modules, and once more at
    the end, is a sixth of the CPU of a start.
    """
    gc.disable()


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


def add_client_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command that asks a broker takes: its address, a time-out, `--json`."""
    add_bootstrap_argument(parser)
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive_seconds,
        default=30.0,
        help="how long to wait for an answer (default: 30)",
    )
    add_json_argument(parser)


def add_command(subparsers: Any, name: str, about: str, examples: str) -> argparse.ArgumentParser:
    """The parser of one command, its examples under its options as they are written."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=about,
        description=about,
        epilog=examples,
        formatter_class=HelpFormatter,
    )
    return parser


def positive_seconds(text: str) -> float:
    """A number of seconds above zero, for argparse."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def connect(args: argparse.Namespace) -> "AdminClient":
    """A client for what add_client_arguments() read; to be used as a context manager."""
    from .admin_client import AdminClient

    return AdminClient(args.bootstrap_server, timeout_s=args.timeout)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    import json  # a broker has no use for it

    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their longest cell, under `headers`; numbers stand to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    columns = range(len(headers))
    widths = [max([len(headers[c]), *(len(row[c]) for row in cells)]) for c in columns]
    to_right = [
        bool(cells) and all(row[c] == "-" or row[c].lstrip("-").isdigit() for row in cells)
        for c in columns
    ]
    for row in [list(headers), *cells]:
        padded = [
            row[c].rjust(widths[c]) if to_right[c] else row[c].ljust(widths[c]) for c in columns
        ]
        print("  ".join(padded).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value) or "-"
    return str(value)


def parse_name_values(option: str, texts: Iterable[str]) -> dict[str, str]:
    """Several `name=value` as a dict, the last one of a name winning."""
    return dict(parse_name_value(option, text) for text in texts)


def parse_name_value(option: str, text: str) -> tuple[str, str]:
    """`name=value` in two; CliError that names the option otherwise."""
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise CliError(f"{option} {text}: give NAME=VALUE", EXIT_USAGE)
    return name.strip(), value


def end_properly_on_sigterm() -> None:
    """From now on SIGTERM unwinds this process as Ctrl-C does, and it ends with 143, as Kafka's do.

    It sends what it took and leaves its group, which else waits for it until its session is over.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))


def silence_stdout() -> None:
    """Lets the interpreter exit quietly after the reader of our output went away."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
