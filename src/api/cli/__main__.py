"""The command `headrace`: one word, one module, imported only when it is asked for."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from ...core.errors import HeadraceError
from .common import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    CliError,
    HelpFormatter,
    silence_stdout,
)

# Command -> (its module in this package, what it does).  Modules offer register() and run().
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("up", "run a broker in this terminal, nothing else needed"),
    "server": ("server", "start or stop a broker from a server.properties file"),
    "topics": ("topics", "create, list, describe, alter and delete topics"),
    "produce": ("produce", "send lines of standard input as records"),
    "consume": ("consume", "print records"),
    "groups": ("groups", "list, describe, reset and delete consumer groups"),
    "cluster": ("cluster", "show a cluster, elect leaders, move replicas, remove a broker"),
    "configs": ("configs", "read and change settings of topics and brokers"),
    "offsets": ("offsets", "first and next offsets of partitions, or offsets at a time"),
    "bench": ("bench", "measure a broker: produce, consume, latency, end-to-end"),
    "dump": ("dump", "print any file of a data folder in words"),
    "verify": ("verify", "check every CRC, index and checkpoint of a data folder"),
    "kafka-home": ("kafka_home", "write Kafka's scripts, so that tutorials run as printed"),
    "completion": ("completion", "print a completion script for bash, zsh or fish"),
    "version": ("version", "print the version"),
}

_EPILOG = """\
examples:
  headrace up                          a broker on 127.0.0.1:9092, data in ./headrace-data
  headrace up --topic clicks:3         the same, with a topic of three partitions
  headrace server start config/server.properties
  headrace produce clicks < file       a record a line
  headrace consume clicks --from-beginning -f '%p@%o %k=%v\\n'

`headrace COMMAND --help` tells the rest."""


def make_parser(command: str | None, *, is_alone: bool = False) -> argparse.ArgumentParser:
    """The parser of the whole command line, with only `command` spelled out.

    `is_alone`: the others are left out, whose parsers are a tenth of the CPU of a broker's start.
    """
    parser = argparse.ArgumentParser(
        prog="headrace",
        description="A Kafka-compatible, Raft-replicated log for Python.",
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name, (module_name, summary) in COMMANDS.items():
        if name == command:
            module = importlib.import_module(f".{module_name}", __package__)
            module.register(subparsers)
        elif not is_alone:
            subparsers.add_parser(name, help=summary)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = next((word for word in words if not word.startswith("-")), None)
    # An option before the command may be --help, which tells of all.
    parser = make_parser(command, is_alone=words[:1] == [command] and command in COMMANDS)
    args = parser.parse_args(words)
    if args.version:
        args.run = importlib.import_module(".version", __package__).run
        args.json = False
    elif args.command is None:
        parser.print_help()
        return EXIT_OK
    return _run_command(args)


def _run_command(args: argparse.Namespace) -> int:
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except CliError as error:
        print(f"headrace: {error}", file=sys.stderr)
        return error.exit_code
    except HeadraceError as error:
        print(f"headrace: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        silence_stdout()
        return EXIT_FAILURE


if __name__ == "__main__":
    sys.exit(main())
