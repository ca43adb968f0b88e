"""`headrace server start|stop`: a broker from a `server.properties`, as Kafka's scripts do it."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import (
    EXIT_FAILURE,
    EXIT_OK,
    CliError,
    HelpFormatter,
    load_without_collecting,
    parse_name_value,
)

if TYPE_CHECKING:
    from ..broker import Broker
    from ..broker_config import BrokerConfig

_EPILOG = """\
examples:
  headrace server start config/server.properties
  headrace server start -daemon config/server.properties --override log.dirs=/data
  headrace server stop config/server.properties
  headrace server stop                 the only broker that runs under your name"""
_START_DEADLINE_S = 60
_STOP_DEADLINE_S = 30


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "server",
        help="start or stop a broker from a server.properties file",
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    start = actions.add_parser("start", help="start a broker", formatter_class=HelpFormatter)
    start.add_argument("file", type=Path, metavar="FILE", help="a server.properties file")
    start.add_argument(
        "-daemon",
        "--daemon",
        action="store_true",
        help="come back once it serves, and leave it running",
    )
    start.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting that wins over the file; may be repeated",
    )
    start.add_argument("--ready-descriptor", type=int, help=argparse.SUPPRESS)
    start.set_defaults(run=run_start)
    stop = actions.add_parser("stop", help="stop a broker cleanly", formatter_class=HelpFormatter)
    stop.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the file it runs from")
    stop.add_argument("--data", type=Path, metavar="DIR", help="the data folder it holds")
    stop.set_defaults(run=run_stop)


def read_config(file: Path, overrides: list[str]) -> tuple["BrokerConfig", list[str]]:
    """The config of FILE and the warnings; CliError names the file or setting at fault."""
    from ..broker_config import parse_server_properties
    from .serving import usage_errors

    given = dict(parse_name_value("--override", text) for text in overrides)
    with usage_errors():
        try:
            return parse_server_properties(file, given)
        except (OSError, ValueError) as error:
            raise CliError(f"{file} cannot be read: {error}") from error


def run_start(args: argparse.Namespace) -> int:
    """Serves in the foreground, or leaves a broker running behind with -daemon."""
    load_without_collecting()
    config, warnings = read_config(args.file, args.override)
    if args.daemon:
        return _start_daemon(args, config)
    from .serving import log_to_stderr, serve

    log_to_stderr(verbose=True)
    for warning in warnings:
        print(f"{args.file}: {warning}", file=sys.stderr)

    def on_started(broker: "Broker") -> None:
        folders = ", ".join(str(folder) for folder in config.log_dirs)
        print(
            f"headrace serves, bootstrap {broker.bootstrap}, node {broker.node_id} "
            f"of cluster {broker.cluster_id}, data {folders}",
            flush=True,
        )
        if args.ready_descriptor is not None:
            os.write(args.ready_descriptor, broker.bootstrap.encode())
            os.close(args.ready_descriptor)

    return serve(config, on_started=on_started)


def _start_daemon(args: argparse.Namespace, config: "BrokerConfig") -> int:
    """Starts the same command in a session of its own and waits until it serves or fails."""
    log_file = _daemon_log(config)
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "headrace.api.cli", "server", "start", str(args.file)]
    for override in args.override:
        command += ["--override", override]
    command += ["--ready-descriptor", str(writer)]
    with log_file.open("ab") as output, open(os.devnull, "rb") as nothing:
        before = output.tell()
        process = subprocess.Popen(
            command,
            stdin=nothing,
            stdout=output,
            stderr=output,
            pass_fds=(writer,),
            start_new_session=True,
        )
    os.close(writer)
    with os.fdopen(reader, "rb") as ready:
        bootstrap = ready.read().decode()  # ends with the answer, or with the process
    if bootstrap:
        print(f"headrace runs as process {process.pid}, bootstrap {bootstrap}, log {log_file}")
        return EXIT_OK
    code = process.wait()
    said = log_file.read_bytes()[before:].decode("utf-8", "replace").strip()
    raise CliError(f"the broker did not start; {log_file} says:\n{said}", code or EXIT_FAILURE)


def _daemon_log(config: "BrokerConfig") -> Path:
    """Where a daemon's output goes: $LOG_DIR/kafkaServer.out, as Kafka's script, or the data."""
    folder = Path(os.environ.get("LOG_DIR") or config.log_dirs[0])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(f"{folder} cannot be made: {error}; set LOG_DIR or log.dirs") from error
    return (folder / "kafkaServer.out").absolute()


def run_stop(args: argparse.Namespace) -> int:
    """Stops the broker of FILE, of --data, or the only one there is; waits until it is gone."""
    pid = _process_to_stop(args)
    stop_process(pid)
    print(f"stopped process {pid}")
    return EXIT_OK


def _process_to_stop(args: argparse.Namespace) -> int:
    from .processes import describe_process, process_holding, running_brokers

    if args.file is not None or args.data is not None:
        folders = [args.data] if args.data else list(read_config(args.file, [])[0].log_dirs)
        holders = [pid for folder in folders if (pid := process_holding(folder)) is not None]
        if not holders:
            named = ", ".join(str(folder) for folder in folders)
            raise CliError(f"no broker to stop: nobody holds {named}")
        if holders[0] <= 0:
            raise CliError("the folder is in use, but the system does not tell by which process")
        return holders[0]
    found = running_brokers()
    if not found:
        raise CliError("no broker to stop")
    if len(found) > 1:
        listed = "\n".join(f"  {describe_process(pid)}" for pid in found)
        raise CliError(f"{len(found)} brokers run; say which, by FILE or --data DIR:\n{listed}")
    return found[0]


def stop_process(pid: int) -> None:
    """Sends SIGTERM and waits for the end of `pid`; CliError if it does not come."""
    from .processes import wait_for_exit

    try:
        has_ended = wait_for_exit(pid, lambda: os.kill(pid, signal.SIGTERM), _STOP_DEADLINE_S)
    except PermissionError as error:
        raise CliError(f"process {pid} belongs to somebody else") from error
    if not has_ended:
        raise CliError(f"process {pid} still runs after {_STOP_DEADLINE_S} s; see its log")
