"""kafka-configs.sh: settings of topics and brokers; of groups, that they have none."""

import argparse
import re
from pathlib import Path

from ....core.errors import HeadraceError
from ..admin_client import (
    BROKER_RESOURCE,
    GROUP_RESOURCE,
    TOPIC_RESOURCE,
    AdminClient,
    AdminError,
    ConfigEntry,
)
from ..group_admin import list_groups
from .options import add_bootstrap, admin, exception_name, make_parser, read_properties

RESOURCE_TYPES = {"topics": TOPIC_RESOURCE, "brokers": BROKER_RESOURCE, "groups": GROUP_RESOURCE}
# Kafka's other entity types -> what to say of them.
UNSUPPORTED = {
    "users": "quotas and SCRAM credentials of users are not supported",
    "clients": "quotas of client ids are not supported",
    "ips": "connection rate limits are not supported; max.connections.per.ip bounds connections",
    "client-metrics": "client telemetry is not supported",
    "broker-loggers": "a broker's log levels cannot be changed while it runs",
}
SOURCE_NAMES = {
    1: "DYNAMIC_TOPIC_CONFIG",
    2: "DYNAMIC_BROKER_CONFIG",
    3: "DYNAMIC_DEFAULT_BROKER_CONFIG",
    4: "STATIC_BROKER_CONFIG",
    5: "DEFAULT_CONFIG",
    6: "DYNAMIC_BROKER_LOGGER_CONFIG",
    7: "DYNAMIC_CLIENT_METRICS_CONFIG",
    8: "GROUP_CONFIG",
}
DYNAMIC_SOURCES = {1, 2, 3}


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("kafka-configs", "Describe and change settings of topics and brokers.")
    add_bootstrap(parser)
    actions = parser.add_mutually_exclusive_group(required=True)
    actions.add_argument("--describe", action="store_true")
    actions.add_argument("--alter", action="store_true")
    parser.add_argument("--entity-type", choices=(*RESOURCE_TYPES, *UNSUPPORTED))
    parser.add_argument("--entity-name")
    parser.add_argument("--entity-default", action="store_true")
    parser.add_argument("--topic")
    parser.add_argument("--broker")
    parser.add_argument("--broker-defaults", action="store_true")
    parser.add_argument("--group")
    for flag in ("user", "client", "ip", "client-metrics", "broker-logger"):
        parser.add_argument(f"--{flag}")
    for flag in ("user", "client", "ip"):
        parser.add_argument(f"--{flag}-defaults", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--add-config")
    parser.add_argument("--add-config-file", type=Path)
    parser.add_argument("--delete-config")
    return parser


def parse_add_config(text: str) -> dict[str, str]:
    """`k1=v1,k2=[v1,v2]` -> pairs; brackets group a value that has commas."""
    settings = {}
    for piece in re.findall(r"[^,=]+=\[[^\]]*\]|[^,=]+=[^,]*|[^,]+", text):
        name, equals, value = piece.partition("=")
        if not equals:
            raise HeadraceError(
                f"Invalid entity config: all configs to be added must be in the format "
                f'"key=val": {piece}'
            )
        settings[name.strip()] = value.strip().removeprefix("[").removesuffix("]")
    return settings


def _entity(args: argparse.Namespace) -> tuple[str, str]:
    """(type, name) of what is described or changed; an empty broker name is the default."""
    for entity_type, why in UNSUPPORTED.items():
        flag = entity_type.replace("-", "_")
        flags = (flag, flag.removesuffix("s"), f"{flag.removesuffix('s')}_defaults")
        if args.entity_type == entity_type or any(getattr(args, each, None) for each in flags):
            raise HeadraceError(why)
    if args.topic is not None:
        return "topics", args.topic
    if args.group is not None:
        return "groups", args.group
    if args.broker is not None:
        return "brokers", args.broker
    if args.broker_defaults:
        return "brokers", ""
    if args.entity_type is None:
        raise HeadraceError("At least one entity type must be specified: --entity-type")
    if args.entity_name is None and not args.entity_default and args.alter:
        raise HeadraceError("an entity name must be specified with --alter: --entity-name")
    return args.entity_type, args.entity_name or ""


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    try:
        entity_type, name = _entity(args)
        with admin(args) as client:
            if args.describe:
                _describe(client, entity_type, name, args)
            else:
                _alter(client, entity_type, name, args)
    except AdminError as error:
        print(
            f"Error while executing config command with args '{' '.join(argv)}'\n"
            f"org.apache.kafka.common.errors.{exception_name(error.code.name)}: {error.message}"
        )
        return 1
    return 0


def _alter(client: AdminClient, entity_type: str, name: str, args: argparse.Namespace) -> None:
    sets = parse_add_config(args.add_config) if args.add_config else {}
    if args.add_config_file:
        sets |= read_properties(args.add_config_file)
    deletes = [word.strip() for word in (args.delete_config or "").split(",") if word.strip()]
    if not sets and not deletes:
        raise HeadraceError(
            "At least one of --add-config, --add-config-file, or --delete-config "
            "must be specified with --alter"
        )
    client.alter_configs(RESOURCE_TYPES[entity_type], name, sets=sets, deletes=deletes)
    print(f"Completed updating {_words(entity_type, name, default='default config')}.")


def _words(entity_type: str, name: str, *, default: str) -> str:
    kind = entity_type.removesuffix("s")
    return f"config for {kind} {name}" if name else f"{default} for {entity_type} in the cluster"


def _describe(client: AdminClient, entity_type: str, name: str, args: argparse.Namespace) -> None:
    names = [name]
    if not name and entity_type == "topics":
        names = [topic.name for topic in client.topics()]
    if entity_type == "groups":
        known = [group.group_id for group in list_groups(client)]
        names = [name] if name else known
        if name and name not in known:
            print(f"The group '{name}' doesn't exist and doesn't have dynamic config.")
            return
    for each in names:
        entries = [
            entry
            for entry in client.configs(RESOURCE_TYPES[entity_type], each)
            if args.all or entry.source in DYNAMIC_SOURCES
        ]
        kind = entity_type.removesuffix("s")
        how = "All" if args.all else "Dynamic"
        if each:
            print(f"{how} configs for {kind} {each} are:")
        else:
            print(f"Default configs for {entity_type} in the cluster are:")
        for entry in entries:
            print(describe_line(entry))


def describe_line(entry: ConfigEntry) -> str:
    """One setting as Kafka prints it, with where its value may come from."""
    synonyms = ", ".join(
        f"{SOURCE_NAMES.get(source, source)}:{name}={value}"
        for name, value, source in entry.synonyms
    )
    value = "null" if entry.value is None else entry.value
    sensitive = str(entry.is_sensitive).lower()
    return f"  {entry.name}={value} sensitive={sensitive} synonyms={{{synonyms}}}"
