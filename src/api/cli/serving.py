"""Running a broker in the foreground: logging, and what can go wrong at its start, in words."""

import contextlib
import errno
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ...core.errors import HeadraceError, InvalidConfigError, LogDirLockedError
from ..broker_config import BrokerConfig, with_stored_node_id
from .common import EXIT_FAILURE, EXIT_USAGE, CliError
from .processes import describe_process, process_listening_on

if TYPE_CHECKING:
    from ..broker import Broker


def log_to_stderr(*, verbose: bool) -> None:
    """Sends the broker's log to stderr; only warnings unless `verbose`."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Turns a refused setting into a message and the exit code of a wrong usage."""
    try:
        yield
    except InvalidConfigError as error:
        raise CliError(str(error), EXIT_USAGE) from error


def serve(
    config: BrokerConfig,
    *,
    topics: Sequence[tuple[str, int]] = (),
    on_started: Callable[["Broker"], None],
) -> int:
    """Runs the broker until it is stopped; CliError says why it could not start."""
    from ..server.serve import run_server

    try:
        config = with_stored_node_id(config)
        return run_server(config, topics=topics, on_started=on_started)
    except LogDirLockedError as error:
        raise CliError(_locked(error)) from error
    except HeadraceError as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(_refused_by_system(config, error), EXIT_FAILURE) from error


def _locked(error: LogDirLockedError) -> str:
    if not error.pid:
        return str(error)
    return (
        f"{error.path} is in use by {describe_process(error.pid)}; "
        f"stop it, or choose another folder"
    )


def _refused_by_system(config: BrokerConfig, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        for listener in config.listeners:
            pid = process_listening_on(listener.port)
            if pid is not None:
                return (
                    f"{listener.address} is in use by {describe_process(pid)}; "
                    f"stop it, or choose another port"
                )
    if error.filename is None and error.strerror:  # the number tells a person nothing
        return error.strerror
    return str(error)
