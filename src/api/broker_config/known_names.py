"""Names a `server.properties` may hold that change nothing here, and how each is answered.

Kafka 4.3 knows about 340 settings.  Those that tune machinery headrace does not have are checked
and then without effect (`without_effect`); those of features it lacks are named, so that nobody
believes they are on.
"""

from .settings import BROKER_CONFIG_DEFS
from .without_effect import NO_EFFECT_DEFS

# First part of a name -> the feature it belongs to, which this version does not have.
UNSUPPORTED_PREFIXES = {
    "allow.everyone.if.no.acl.found": "access control",
    "alter.config.policy.": "policies written in Java",
    "alter.log.dirs.": "quotas",
    "client.quota.": "quotas",
    "config.providers": "configuration providers written in Java",
    "controller.quota.": "quotas",
    "cordoned.log.dirs": "cordoned log directories",
    "create.topic.policy.": "policies written in Java",
    "delegation.token.": "delegation tokens",
    "early.start.listeners": "authorizers",
    "group.consumer.": "the consumer group protocol of KIP-848",
    "group.coordinator.rebalance.": "the consumer group protocol of KIP-848",
    "group.share.": "share groups",
    "group.streams.": "streams groups",
    "kafka.metrics.": "metrics reporters written in Java",
    "listener.name.": "settings of a single listener",
    "log.local.retention.": "tiered storage",
    "max.connection.creation.rate": "connection rate limits",
    "metric.reporters": "metrics reporters written in Java",
    "principal.builder.class": "principal builders written in Java",
    "quota.": "quotas",
    "remote.": "tiered storage",
    "replica.selector.class": "fetching from followers",
    "sasl.": "SASL",
    "security.providers": "security providers written in Java",
    "share.": "share groups",
    "ssl.": "TLS",
    "super.users": "access control",
    "telemetry.": "client telemetry",
    "transaction.": "transactions",
    "transactional.id.": "transactions",
}

# Settings that Kafka itself dropped, with what to write instead.
REMOVED = {
    "advertised.host.name": "write advertised.listeners=PLAINTEXT://HOST:PORT",
    "advertised.port": "write advertised.listeners=PLAINTEXT://HOST:PORT",
    "broker.id.generation.enable": "ids are given by node.id",
    "control.plane.listener.name": "write controller.listener.names",
    "delegation.token.master.key": "delegation tokens are not supported",
    "host.name": "write listeners=PLAINTEXT://HOST:PORT",
    "inter.broker.protocol.version": "brokers agree on versions by themselves",
    "log.message.downconversion.enable": "the message formats 0 and 1 are gone",
    "log.message.format.version": "the message format is always 2",
    "log.message.timestamp.difference.max.ms": (
        "write log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms"
    ),
    "offsets.commit.required.acks": "commits wait for every in-sync replica",
    "reserved.broker.max.id": "ids are given by node.id",
}
REMOVED_PREFIXES = {
    "password.encoder.": "stored passwords are not supported",
    "quota.consumer.": "quotas are not supported",
    "quota.producer.": "quotas are not supported",
}
ONLY_DYNAMIC = "is set while the broker runs (kafka-configs.sh --alter), not in server.properties"
ZOOKEEPER_REPLACED = (
    "zookeeper.connect is not used: headrace keeps the cluster's metadata itself, without "
    "ZooKeeper; controller.quorum.bootstrap.servers says where a cluster is found"
)


def describe_unknown(name: str) -> str:
    """The warning for a name no Kafka setting has, with the nearest one that works."""
    from difflib import get_close_matches  # for a mistake only

    near = get_close_matches(name, BROKER_CONFIG_DEFS, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{name} is no setting of a broker, it is ignored{hint}"


def describe_without_effect(names: list[str]) -> list[str]:
    """Warnings for names, none of them supported, in the order of what to do about each."""
    silent: list[str] = []
    lacking: dict[str, list[str]] = {}
    warnings: list[str] = []
    for name in names:
        feature = _longest_prefix(name)
        if name.startswith("zookeeper."):
            if ZOOKEEPER_REPLACED not in warnings:
                warnings.append(ZOOKEEPER_REPLACED)
        elif name in BROKER_CONFIG_DEFS:
            warnings.append(f"{name} is ignored: it {ONLY_DYNAMIC}")
        elif name in REMOVED:
            warnings.append(f"{name} is no longer used: {REMOVED[name]}")
        elif removed := next((p for p in REMOVED_PREFIXES if name.startswith(p)), None):
            warnings.append(f"{name} is no longer used: {REMOVED_PREFIXES[removed]}")
        elif feature is not None:
            lacking.setdefault(feature, []).append(name)
        elif name in NO_EFFECT_DEFS:
            silent.append(name)
        else:
            warnings.append(describe_unknown(name))
    for feature, belonging in lacking.items():
        warnings.append(f"not supported ({feature}), ignored: {', '.join(belonging)}")
    if silent:
        warnings.append(f"known, but without effect here: {', '.join(silent)}")
    return warnings


def _longest_prefix(name: str) -> str | None:
    """The feature that `name` belongs to, None where it belongs to none that is lacking."""
    found = [prefix for prefix in UNSUPPORTED_PREFIXES if name.startswith(prefix)]
    return UNSUPPORTED_PREFIXES[max(found, key=len)] if found else None
