"""kafka-get-offsets.sh: prints topic:partition:offset."""

import re

from ....core.errors import HeadraceError
from .options import add_bootstrap, admin, make_parser

TIMES = {
    "latest": -1,
    "earliest": -2,
    "max-timestamp": -3,
    "earliest-local": -4,
    "latest-tiered": -5,
}


def main(argv: list[str]) -> int:
    parser = make_parser("kafka-get-offsets", "Gets offsets of topic partitions.")
    add_bootstrap(parser, required=False)
    parser.add_argument("--broker-list", dest="bootstrap_server")
    parser.add_argument("--topic")
    parser.add_argument("--topic-partitions")
    parser.add_argument("--partitions")
    parser.add_argument("--time", default="latest")
    parser.add_argument("--exclude-internal-topics", action="store_true")
    args = parser.parse_args(argv)
    if args.bootstrap_server is None:
        parser.error('Missing required argument "[bootstrap-server]"')
    timestamp = parse_time(args.time)
    wanted = parse_partitions(args.partitions) if args.partitions else None
    with admin(args) as client:
        topics = [
            topic
            for topic in client.topics()
            if (args.topic is None or re.fullmatch(args.topic, topic.name))
            and not (args.exclude_internal_topics and topic.is_internal)
        ]
        offsets = client.list_offsets(topics, timestamp)
    chosen = {
        key: offset
        for key, offset in offsets.items()
        if (wanted is None or key[1] in wanted) and is_selected(args.topic_partitions, *key)
    }
    if not chosen:
        raise HeadraceError("Could not match any topic-partitions with the specified filters")
    for (name, index), offset in sorted(chosen.items()):
        if offset >= 0:
            print(f"{name}:{index}:{offset}")
    return 0


def parse_time(text: str) -> int:
    """A timestamp in ms or one of Kafka's words."""
    if text in TIMES:
        return TIMES[text]
    try:
        return int(text)
    except ValueError:
        raise HeadraceError(
            f"Malformed time argument {text}. Please use {', '.join(TIMES)} or a number of ms"
        ) from None


def parse_partitions(text: str) -> set[int]:
    """`0,2-4` -> {0, 2, 3}: upper bounds are exclusive, as Kafka has them."""
    chosen: set[int] = set()
    for piece in text.split(","):
        low, dash, high = piece.partition("-")
        if not low.isdigit() or (dash and not high.isdigit()):
            raise HeadraceError(f"--partitions {text}: must be numbers and ranges, as in 0,2-4")
        chosen |= set(range(int(low), int(high))) if dash else {int(low)}
    return chosen


def is_selected(patterns: str | None, topic: str, partition: int) -> bool:
    """Whether `topic:partition` patterns (`clicks:0,users:1-3,orders:`) choose this partition."""
    if patterns is None:
        return True
    for pattern in patterns.split(","):
        name, _, indexes = pattern.partition(":")
        if name and not re.fullmatch(name, topic):
            continue
        low, dash, high = indexes.partition("-")
        first = int(low) if low else 0
        if not indexes or (not dash and partition == first):
            return True
        if dash and first <= partition and (not high or partition < int(high)):
            return True
    return False
