"""Kafka's settings of machinery headrace does not have: checked as Kafka checks them, then unused.

Threads, caches and intervals without a counterpart here.  A value that would stop Kafka at its
start stops a broker here too, so that a file that works here works there.
"""

from ...core.config_def import ConfigDef, ConfigType

# name, type, smallest value, allowed words; the names are in the order of the alphabet
_Row = tuple[str, ConfigType, int | None, tuple[str, ...]]
_ROWS: tuple[_Row, ...] = (
    ("add.partitions.to.txn.retry.backoff.max.ms", "int", 0, ()),
    ("add.partitions.to.txn.retry.backoff.ms", "int", 1, ()),
    ("background.threads", "int", 1, ()),
    ("broker.heartbeat.interval.ms", "int", None, ()),
    ("broker.session.timeout.ms", "int", None, ()),
    ("connection.failed.authentication.delay.ms", "int", 0, ()),
    ("connections.max.reauth.ms", "long", None, ()),
    ("controller.performance.always.log.threshold.ms", "long", 0, ()),
    ("controller.performance.sample.period.ms", "long", 100, ()),
    ("controller.quorum.append.linger.ms", "int", 0, ()),
    ("controller.quorum.auto.join.enable", "boolean", None, ()),
    ("controller.quorum.election.backoff.max.ms", "int", 0, ()),
    ("controller.quorum.election.timeout.ms", "int", 0, ()),
    ("controller.quorum.fetch.max.bytes", "int", 1, ()),
    ("controller.quorum.fetch.snapshot.max.bytes", "int", 1, ()),
    ("controller.quorum.fetch.timeout.ms", "int", 0, ()),
    ("controller.quorum.request.timeout.ms", "int", 0, ()),
    ("controller.quorum.retry.backoff.ms", "int", 0, ()),
    ("controller.socket.timeout.ms", "int", None, ()),
    ("delete.records.purgatory.purge.interval.requests", "int", None, ()),
    ("fetch.purgatory.purge.interval.requests", "int", None, ()),
    ("follower.fetch.last.tiered.offset.enable", "boolean", None, ()),
    ("group.coordinator.append.linger.ms", "int", -1, ()),
    ("group.coordinator.background.threads", "int", 1, ()),
    ("group.coordinator.cached.buffer.max.bytes", "int", 524288, ()),
    ("group.coordinator.threads", "int", 1, ()),
    ("initial.broker.registration.timeout.ms", "int", None, ()),
    ("internal.metadata.delete.delay.millis", "long", None, ()),
    ("internal.metadata.log.segment.bytes", "int", None, ()),
    ("internal.metadata.max.batch.size.in.bytes", "int", None, ()),
    ("log.cleaner.io.buffer.load.factor", "double", None, ()),
    ("log.cleaner.io.buffer.size", "int", 0, ()),
    ("log.cleaner.io.max.bytes.per.second", "double", None, ()),
    ("log.cleaner.threads", "int", 0, ()),
    ("log.dir.failure.timeout.ms", "long", 1, ()),
    ("log.initial.task.delay.ms", "long", 0, ()),
    ("metadata.log.dir", "string", None, ()),
    ("metadata.log.max.record.bytes.between.snapshots", "long", 1, ()),
    ("metadata.log.max.snapshot.interval.ms", "long", 0, ()),
    ("metadata.log.segment.bytes", "int", 8388608, ()),
    ("metadata.log.segment.ms", "long", None, ()),
    ("metadata.max.idle.interval.ms", "int", 0, ()),
    ("metadata.max.retention.bytes", "long", None, ()),
    ("metadata.max.retention.ms", "long", None, ()),
    ("metrics.num.samples", "int", 1, ()),
    ("metrics.recording.level", "string", None, ()),
    ("metrics.sample.window.ms", "long", 1, ()),
    ("num.io.threads", "int", 1, ()),
    ("num.network.threads", "int", 1, ()),
    ("num.recovery.threads.per.data.dir", "int", 1, ()),
    ("num.replica.fetchers", "int", 1, ()),
    ("offsets.load.buffer.size", "int", 1, ()),
    ("offsets.topic.compression.codec", "int", None, ()),
    ("producer.purgatory.purge.interval.requests", "int", None, ()),
    ("queued.max.requests", "int", 1, ()),
    ("replica.fetch.min.bytes", "int", None, ()),
    ("replica.socket.receive.buffer.bytes", "int", None, ()),
    ("replica.socket.timeout.ms", "int", None, ()),
    ("request.timeout.ms", "int", None, ()),
    (
        "security.inter.broker.protocol",
        "string",
        None,
        ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    ),
    ("server.max.startup.time.ms", "long", 0, ()),
    ("socket.connection.setup.timeout.max.ms", "long", None, ()),
    ("socket.connection.setup.timeout.ms", "long", None, ()),
    ("socket.receive.buffer.bytes", "int", None, ()),
    ("socket.send.buffer.bytes", "int", None, ()),
    ("unclean.leader.election.interval.ms", "long", 1, ()),
    ("unstable.api.versions.enable", "boolean", None, ()),
    ("unstable.feature.versions.enable", "boolean", None, ()),
)

NO_EFFECT_DEFS = {
    name: ConfigDef(name, type, None, "", minimum=minimum, choices=choices)
    for name, type, minimum, choices in _ROWS
}
