"""kafka-features.sh: says that no feature has a level to choose here."""

from ....core.errors import HeadraceError
from .options import make_parser


def main(argv: list[str]) -> int:
    """Any flags are accepted, and all of them refused alike."""
    make_parser("kafka-features", "Refused: levels are not chosen here.").parse_known_args(argv)
    raise HeadraceError(
        "feature levels cannot be shown or changed: they come with the version that is installed; "
        "kafka-broker-api-versions.sh shows what a broker offers"
    )
