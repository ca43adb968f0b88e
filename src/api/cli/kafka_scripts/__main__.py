"""Runs one of Kafka's scripts by its name: what the files that `kafka-home` writes call."""

import importlib
import sys

from ....core.errors import HeadraceError
from ..common import silence_stdout
from . import SCRIPTS
from .old_flags import without_old_flags


def main(argv: list[str]) -> int:
    """The exit code of script `argv[0]` with the flags after it."""
    if not argv or argv[0] not in SCRIPTS:
        print(f"usage: kafka_scripts {{{','.join(sorted(SCRIPTS))}}} ...", file=sys.stderr)
        return 2
    module = importlib.import_module(f".{SCRIPTS[argv[0]]}", __package__)
    try:
        return int(module.main(without_old_flags(argv[1:])))
    except HeadraceError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of a pipe went away (`| head`): what is left has nowhere to go.
        silence_stdout()
        return 141


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
