"""kafka-server-stop.sh: stops every broker of this user."""

import sys

from ..processes import running_brokers
from ..server import stop_process
from .options import make_parser


def main(argv: list[str]) -> int:
    parser = make_parser("kafka-server-stop", "Stops the brokers that run on this machine.")
    parser.add_argument("--process-role", help="accepted: every node here is broker and controller")
    parser.add_argument("--node-id", help="accepted, not read")
    parser.parse_args(argv)
    brokers = running_brokers()
    if not brokers:
        print("No kafka server to stop", file=sys.stderr)
        return 1
    for pid in brokers:
        stop_process(pid)
    return 0
