"""`headrace version`: which headrace this is, on which Python."""

import argparse
import platform
from typing import Any

from ... import __version__
from .common import EXIT_OK, add_json_argument, print_json


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser("version", help="print the version")
    add_json_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the version."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    if args.json:
        print_json({"version": __version__, "python": python, "platform": platform.platform()})
    else:
        print(f"headrace {__version__} ({python})")
    return EXIT_OK
