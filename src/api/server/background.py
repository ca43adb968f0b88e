"""The timetable of one broker's housekeeping; the names are those of Kafka's settings.

Each job runs on the loop thread, does little there and gives slow work to the worker.  A job that
fails is logged and keeps its place in the timetable.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...core.log_manager import LogManager
    from ..broker import Broker
    from ..broker_config import BrokerConfig
    from .connection_table import ConnectionTable

# Kafka looks for unflushed logs every log.flush.scheduler.interval.ms, which is "never" by default;
# a topic's flush.ms is then not kept.  Here it is, to within a second.
LONGEST_FLUSH_INTERVAL_MS = 1000
SHORTEST_IDLE_SCAN_MS = 1000
# A change of an isr that came to nothing is asked for again; laggards are found as soon.
LONGEST_ISR_REVIEW_MS = 1000
DISK_CHECK_MS = 1000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What is done every `interval_ms`, and the setting that says so."""

    name: str
    interval_ms: int
    run: Callable[[], object]


def timetable(broker: "Broker", table: "ConnectionTable") -> list[Job]:
    """Every recurring job of this broker."""
    config, logs = broker.config, broker.log_manager
    idle_ms = max(config.connections_max_idle_ms // 10, SHORTEST_IDLE_SCAN_MS)
    flush_ms = min(config.log_flush_scheduler_interval_ms, LONGEST_FLUSH_INTERVAL_MS)
    loop = asyncio.get_running_loop()
    jobs = [
        *_log_jobs(config, logs, flush_ms),
        Job(
            "offsets.retention.check.interval.ms",
            config.offsets_retention_check_interval_ms,
            lambda: broker.groups.expire_offsets(broker.clock.now_ms()),
        ),
        Job(
            "replica.lag.time.max.ms",
            min(max(config.replica_lag_time_max_ms // 2, 1), LONGEST_ISR_REVIEW_MS),
            # Of brokers that come and go the seats tell, and have all reviewed at once.
            lambda: broker.replicas.review_isrs(
                config.replica_lag_time_max_ms, may_peers_differ=False
            ),
        ),
        Job("log.dirs", DISK_CHECK_MS, broker.check_disks),
        Job("connections.max.idle.ms", idle_ms, lambda: table.close_idle(loop.time())),
    ]
    if config.auto_leader_rebalance_enable:
        balance_ms = config.leader_imbalance_check_interval_seconds * 1000
        name = "leader.imbalance.check.interval.seconds"
        jobs.append(Job(name, balance_ms, broker.replicas.seats.balance))
    if config.log_cleaner_enable:
        jobs.append(Job("log.cleaner.backoff.ms", config.log_cleaner_backoff_ms, logs.compact))
    return jobs


def _log_jobs(config: "BrokerConfig", logs: "LogManager", flush_ms: int) -> list[Job]:
    """What is done about logs."""
    return [
        Job(
            "log.retention.check.interval.ms",
            config.log_retention_check_interval_ms,
            logs.enforce_retention,
        ),
        Job("log.flush.scheduler.interval.ms", flush_ms, logs.flush_due),
        Job(
            "log.flush.offset.checkpoint.interval.ms",
            config.log_flush_offset_checkpoint_interval_ms,
            logs.checkpoint_recovery_points,
        ),
        Job(
            "log.flush.start.offset.checkpoint.interval.ms",
            config.log_flush_start_offset_checkpoint_interval_ms,
            logs.checkpoint_log_start_offsets,
        ),
        Job(
            "replica.high.watermark.checkpoint.interval.ms",
            config.replica_high_watermark_checkpoint_interval_ms,
            logs.checkpoint_high_watermarks,
        ),
        Job(
            "producer.id.expiration.check.interval.ms",
            config.producer_id_expiration_check_interval_ms,
            logs.expire_producers,
        ),
    ]


class Background:
    """Runs jobs by their intervals until it is stopped; those of one interval share a timer."""

    def __init__(self, jobs: list[Job]) -> None:
        self._loop = asyncio.get_running_loop()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        together: dict[int, list[Job]] = {}
        for job in jobs:
            together.setdefault(job.interval_ms, []).append(job)
        for interval_ms, due in together.items():
            self._schedule(interval_ms, due)

    def stop(self) -> None:
        """Run nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _schedule(self, interval_ms: int, jobs: list[Job]) -> None:
        self._timers[interval_ms] = self._loop.call_later(
            interval_ms / 1000, self._run, interval_ms, jobs
        )

    def _run(self, interval_ms: int, jobs: list[Job]) -> None:
        for job in jobs:
            try:
                job.run()
            except Exception:
                logger.exception("housekeeping (%s) failed; it is tried again", job.name)
        self._schedule(interval_ms, jobs)
