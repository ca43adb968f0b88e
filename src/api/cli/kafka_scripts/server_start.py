"""kafka-server-start.sh: starts a broker from a server.properties."""

from ..__main__ import main as headrace
from .options import make_parser


def main(argv: list[str]) -> int:
    parser = make_parser("kafka-server-start", "Starts a broker.")
    parser.add_argument("-daemon", action="store_true")
    parser.add_argument("-name", help="accepted, not needed")
    parser.add_argument("-loggc", action="store_true", help="accepted, not needed")
    parser.add_argument("file", metavar="server.properties")
    parser.add_argument("--override", action="append", default=[], metavar="property=value")
    args = parser.parse_intermixed_args(argv)
    words = ["server", "start", *(["-daemon"] if args.daemon else []), args.file]
    for override in args.override:
        words += ["--override", override]
    return headrace(words)
