"""`headrace verify DIR`: checks a data folder offline and says what is wrong and where."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import EXIT_FAILURE, EXIT_OK, CliError, add_command, add_json_argument, print_json

if TYPE_CHECKING:
    from ...core.log_verify import Finding

HELP = "check every CRC, index and checkpoint of a data folder"
EXAMPLES = """examples:
  headrace verify headrace-data
  headrace verify headrace-data/clicks-0 --json

Changes nothing.  Exit code 0 if all is well (warnings included), 1 if something is wrong.
"""


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = add_command(subparsers, "verify", HELP, EXAMPLES)
    parser.add_argument("directory", type=Path, metavar="DIR")
    add_json_argument(parser)
    parser.set_defaults(run=run)


def findings_of(directory: Path) -> Iterator["Finding"]:
    """Everything that is wrong with a folder of log.dirs, its write-ahead log included."""
    from ...core.errors import HeadraceError
    from ...core.log_verify import Finding, verify_log_dir
    from ...raft.raft_wal import WAL_FOLDER_NAME
    from ...raft.wal_dump import dump_wal
    from ...raft.wal_format import wal_files

    yield from verify_log_dir(directory)
    for path in wal_files(directory / WAL_FOLDER_NAME):
        try:
            for entry in dump_wal(path):
                torn_bytes = entry.get("torn_bytes", 0)
                if torn_bytes:
                    reason = f"{torn_bytes} torn bytes at the end; the next start cuts them"
                    yield Finding(path, entry["end_position"], "warning", reason)
                elif str(entry.get("content", "")).startswith("unreadable"):
                    yield Finding(path, entry["position"], "error", entry["content"])
        except HeadraceError as error:
            yield Finding(path, -1, "error", str(error))


def run(args: argparse.Namespace) -> int:
    """Prints the findings as they come."""
    from .processes import describe_process, process_holding

    if not args.directory.is_dir():
        raise CliError(f"{args.directory} is no folder")
    holder = process_holding(args.directory)
    if holder is not None:
        print(
            f"{describe_process(holder)} has {args.directory} open: "
            "what it writes meanwhile may be told as unfinished",
            file=sys.stderr,
        )
    found = []
    for finding in findings_of(args.directory):
        found.append(finding)
        if not args.json:
            print(finding)
    errors = sum(finding.severity == "error" for finding in found)
    if args.json:
        rows = [
            {
                "path": str(finding.path),
                "position": finding.position,
                "severity": finding.severity,
                "reason": finding.reason,
            }
            for finding in found
        ]
        print_json({"directory": str(args.directory), "errors": errors, "findings": rows})
    else:
        logs = len(list(args.directory.rglob("*.log")))
        print(f"{logs} segments checked: {errors} errors, {len(found) - errors} warnings")
    return EXIT_FAILURE if errors else EXIT_OK
