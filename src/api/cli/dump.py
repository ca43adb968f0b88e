"""`headrace dump FILE`: any file of a data folder in words."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .common import EXIT_FAILURE, EXIT_OK, CliError, add_command, add_json_argument

HELP = "print any file of a data folder in words"
EXAMPLES = """examples:
  headrace dump headrace-data/clicks-0/00000000000000000000.log --records
  headrace dump headrace-data/clicks-0/*.index
  headrace dump headrace-data/__headrace_raft/* --json
"""


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = add_command(subparsers, "dump", HELP, EXAMPLES)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--records", action="store_true", help="each record of a .log too")
    add_json_argument(parser)
    parser.set_defaults(run=run)


def entries_of(path: Path, *, with_records: bool) -> Iterator[dict[str, Any]]:
    """What stands in one file, in order; CliError where it cannot be read or is none of ours."""
    from ...core.errors import HeadraceError
    from ...core.log_dump import dump_file
    from ...raft.raft_wal import WAL_FOLDER_NAME
    from ...raft.wal_dump import dump_wal

    try:
        if path.parent.name == WAL_FOLDER_NAME:
            yield from dump_wal(path)
        else:
            yield from dump_file(path, with_records=with_records)
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}") from error
    except HeadraceError as error:
        raise CliError(f"{path}: {error}") from error


def words_of(entry: dict[str, Any]) -> str:
    """One entry as a line: its kind, then name=value."""
    kind = entry.get("kind", "end")
    indent = "    " if kind == "record" else ""
    fields = " ".join(f"{name}={_value(value)}" for name, value in entry.items() if name != "kind")
    return f"{indent}{kind} {fields}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, str) and (not value or " " in value or '"' in value):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def run(args: argparse.Namespace) -> int:
    """Prints every file; 1 if damage was found in one."""
    is_damaged = False
    for path in args.files:
        if len(args.files) > 1 and not args.json:
            print(f"{path}:")
        for entry in entries_of(path, with_records=args.records):
            is_damaged |= entry.get("kind") == "damage" or entry.get("is_valid") is False
            if args.json:
                print(json.dumps({"file": str(path)} | entry, ensure_ascii=False, default=str))
            else:
                print(words_of(entry))
    return EXIT_FAILURE if is_damaged else EXIT_OK
