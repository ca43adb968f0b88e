"""kafka-acls.sh: says that there are none, and what keeps strangers out instead."""

from ....core.errors import HeadraceError
from .options import make_parser


def main(argv: list[str]) -> int:
    """Any flags are accepted, and all of them refused alike."""
    make_parser("kafka-acls", "Refused: this broker has no ACLs.").parse_known_args(argv)
    raise HeadraceError(
        "ACLs are not supported: whoever reaches a listener may do everything; "
        "keep strangers out with listeners=PLAINTEXT://localhost:9092 or a firewall"
    )
