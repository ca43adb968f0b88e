"""What Kafka's scripts share: how they read flags, property files and addresses."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from ....core.errors import HeadraceError
from ..admin_client import AdminClient

# Settings of Java clients that librdkafka does not know and that change nothing a user sees.
JAVA_ONLY = {
    "key.serializer",
    "value.serializer",
    "key.deserializer",
    "value.deserializer",
    "max.poll.records",
    "metrics.sample.window.ms",
    "buffer.memory",
    "max.block.ms",
    "default.api.timeout.ms",
    "group.protocol",
}
RENAMED = {
    "max.request.size": "message.max.bytes",
    "delivery.timeout.ms": "message.timeout.ms",
    "fetch.max.wait.ms": "fetch.wait.max.ms",
    "receive.buffer.bytes": "socket.receive.buffer.bytes",
    "send.buffer.bytes": "socket.send.buffer.bytes",
}
NEGATIVE_MEANS_DEFAULT = {"socket.receive.buffer.bytes", "socket.send.buffer.bytes"}


class KafkaParser(argparse.ArgumentParser):
    """Reads flags as Kafka's scripts do: a mistake prints the usage and leaves with 1."""

    def error(self, message: str) -> NoReturn:
        print(message, file=sys.stderr)
        self.print_usage(sys.stderr)
        sys.exit(1)


def make_parser(script: str, about: str) -> KafkaParser:
    return KafkaParser(prog=f"{script}.sh", description=about)


def add_bootstrap(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument("--bootstrap-server", metavar="server to connect to", required=required)
    parser.add_argument("--command-config", metavar="command config property file", type=Path)


def add_config_alias(parser: argparse.ArgumentParser, old: str) -> None:
    """Kafka 4 renamed `--producer.config` and the like to `--command-config`; both are read."""
    parser.add_argument(old, dest="command_config", type=Path, help=argparse.SUPPRESS)


def admin(args: argparse.Namespace) -> AdminClient:
    if args.command_config is not None:
        refuse_security(read_properties(args.command_config))
    return AdminClient(args.bootstrap_server)


def read_properties(path: Path) -> dict[str, str]:
    """`name=value` lines of a Java property file; comments and empty lines are skipped."""
    try:
        text = path.read_text()
    except OSError as error:
        raise HeadraceError(f"{path}: {error.strerror}") from None
    settings = {}
    for line in map(str.strip, text.splitlines()):
        if line and line[0] not in "#!":
            name, _, value = line.partition("=")
            settings[name.strip()] = value.strip()
    return settings


def parse_pairs(flag: str, pairs: list[str]) -> dict[str, str]:
    """`k=v` and `k1=v1,k2=v2` alike, as several of Kafka's scripts take them."""
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise HeadraceError(f"{flag} {pair}: must be name=value")
        settings[name.strip()] = value
    return settings


def parse_ids(text: str) -> list[int]:
    """`0,1,2`; refused in Java's words."""
    ids = []
    for part in text.split(","):
        try:
            ids.append(int(part))
        except ValueError:
            raise HeadraceError(f'For input string: "{part}"') from None
    return ids


def refuse_security(settings: dict[str, str]) -> None:
    """This version speaks PLAINTEXT only; a file that asks for more must not be half obeyed."""
    protocol = settings.get("security.protocol", "PLAINTEXT")
    if protocol != "PLAINTEXT":
        raise HeadraceError(f"security.protocol={protocol}: only PLAINTEXT is supported")


def client_properties(settings: dict[str, str]) -> dict[str, str]:
    """Java client settings as librdkafka names them; what only Java has is left out."""
    refuse_security(settings)
    known = {}
    for java_name, value in settings.items():
        name = RENAMED.get(java_name, java_name)
        if name in JAVA_ONLY:
            continue
        if name in NEGATIVE_MEANS_DEFAULT and value.startswith("-"):
            continue
        known[name] = value
    return known


def error_line(message: str, exception: str, command: str) -> None:
    """The line that Kafka's logger adds behind a refusal."""
    print(
        f"ERROR org.apache.kafka.common.errors.{exception}: {message} ({command})", file=sys.stderr
    )


def exception_name(code_name: str) -> str:
    """`TOPIC_ALREADY_EXISTS` -> the name of Kafka's Java exception."""
    return JAVA_EXCEPTIONS.get(
        code_name, "".join(word.capitalize() for word in code_name.split("_")) + "Exception"
    )


JAVA_EXCEPTIONS = {
    "TOPIC_ALREADY_EXISTS": "TopicExistsException",
    "INVALID_TOPIC_EXCEPTION": "InvalidTopicException",
    "UNKNOWN_TOPIC_OR_PARTITION": "UnknownTopicOrPartitionException",
    "INVALID_CONFIG": "InvalidConfigurationException",
    "NON_EMPTY_GROUP": "GroupNotEmptyException",
}
