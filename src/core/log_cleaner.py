"""Chooses which log to compact, lets the worker do it, and swaps the result in.

A log may be compacted where its policy says so.  Its clean part ends at the offset in
`cleaner-offset-checkpoint`; the dirty part from there ends before the active segment, the last
stable offset, and what is younger than min.compaction.lag.ms.  It is due where the dirty share of
both exceeds min.cleanable.dirty.ratio, or where its oldest record passed max.compaction.lag.ms.
One log at a time, the dirtiest first.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from .checkpoint_file import TopicPartition
from .clock import Clock
from .errors import HeadraceError, KafkaStorageError
from .log import Log
from .log_segment import LOG_SUFFIX, LogSegment
from .worker import Worker

if TYPE_CHECKING:
    from .log_compaction import Compaction

_log = logging.getLogger(__name__)

SECRET_BYTES = 16


@dataclass(slots=True)
class _Run:
    """One compaction under way."""

    log: Log
    compaction: "Compaction"
    is_aborted: bool = False


@dataclass(frozen=True, slots=True)
class Dirtiness:
    """How much of a log waits for compaction; the upper bound is exclusive."""

    first_dirty_offset: int
    first_uncleanable_offset: int
    clean_bytes: int
    cleanable_bytes: int
    is_overdue: bool

    @property
    def ratio(self) -> float:
        """The dirty share of all that may be compacted, 0 to 1."""
        total = self.clean_bytes + self.cleanable_bytes
        return self.cleanable_bytes / total if total else 0.0


class LogCleaner:
    """The compactions of one node; every method is the loop thread's.

    `on_progress` is told after a finished round, so that the checkpoint can be written.
    """

    def __init__(
        self,
        clock: Clock,
        worker: Worker,
        *,
        dedupe_buffer_bytes: int,
        on_progress: Callable[[], None],
        on_storage_failure: Callable[[Log, OSError], None],
    ) -> None:
        self._clock = clock
        self._worker = worker
        self._dedupe_buffer_bytes = dedupe_buffer_bytes
        self._on_progress = on_progress
        self._on_storage_failure = on_storage_failure
        self._offsets: dict[TopicPartition, int] = {}
        self._uncleanable: set[TopicPartition] = set()
        self._run: _Run | None = None

    @property
    def uncleanable(self) -> frozenset[TopicPartition]:
        """The logs whose compaction failed; they are left alone until the next start."""
        return frozenset(self._uncleanable)

    def restore_offsets(self, offsets: Mapping[TopicPartition, int]) -> None:
        """What the checkpoint of a folder said."""
        self._offsets.update(offsets)

    def offset_of(self, log: Log) -> int | None:
        """Where the log's dirty part begins; None where it was never compacted."""
        return self._offsets.get((log.topic, log.partition))

    def has_offset_of(self, key: TopicPartition) -> bool:
        """Whether the log may have been compacted: offsets may be missing from it."""
        return key in self._offsets

    def is_cleaning(self, log: Log) -> bool:
        """Whether its old segments are being read: nobody else may drop them."""
        return self._run is not None and self._run.log is log

    def forget_log(self, key: TopicPartition) -> None:
        """The log is deleted."""
        self._offsets.pop(key, None)
        self._uncleanable.discard(key)
        if self._run is not None and (self._run.log.topic, self._run.log.partition) == key:
            self.abort()

    def abort(self) -> None:
        """Let the compaction under way end soon; what it swapped in stays."""
        if self._run is not None:
            self._run.is_aborted = True
            self._run = None

    def compact_filthiest(self, logs: Iterable[Log]) -> bool:
        """Start on the dirtiest log that is due; False where none is, or one is under way."""
        if self._run is not None:
            return False
        now_ms = self._clock.now_ms()
        best: tuple[float, Log, Dirtiness] | None = None
        for log in logs:
            if not log.config.is_compacted or (log.topic, log.partition) in self._uncleanable:
                continue
            dirtiness = self.measure_dirtiness(log, now_ms)
            if not dirtiness.cleanable_bytes:
                continue
            is_due = dirtiness.is_overdue or dirtiness.ratio > log.config.min_cleanable_dirty_ratio
            if is_due and (best is None or dirtiness.ratio > best[0]):
                best = (dirtiness.ratio, log, dirtiness)
        if best is None:
            return False
        self._start(best[1], best[2], now_ms)
        return True

    def measure_dirtiness(self, log: Log, now_ms: int) -> Dirtiness:
        """Where the log's dirty part begins and ends, and how much it is."""
        segments = log.segments
        start = max(segments[0].base_offset, log.log_start_offset)
        first_dirty = self._offsets.get((log.topic, log.partition), start)
        if not start <= first_dirty <= log.log_end_offset:
            first_dirty = start
        limit = min(log.active_segment.base_offset, log.last_stable_offset)
        clean_bytes = cleanable_bytes = 0
        uncleanable = first_dirty
        oldest_ms = -1
        for segment, following in pairwise(segments):
            if following.base_offset <= first_dirty:
                clean_bytes += segment.size_bytes
                continue
            if following.base_offset > limit or _is_too_young(log, segment, now_ms):
                break
            cleanable_bytes += segment.size_bytes
            uncleanable = following.base_offset
            if oldest_ms < 0:
                oldest_ms = _first_timestamp_of(segment)
        is_overdue = 0 <= oldest_ms < now_ms - log.config.max_compaction_lag_ms
        return Dirtiness(first_dirty, uncleanable, clean_bytes, cleanable_bytes, is_overdue)

    def _start(self, log: Log, dirtiness: Dirtiness, now_ms: int) -> None:
        # Not at the start of every broker: many never compact a log.
        from .log_compaction import Compaction, CompactionPlan, SegmentSource

        segments = log.segments
        sources = tuple(
            SegmentSource(
                segment.base_offset,
                following.base_offset,
                segment.size_bytes,
                Path(segment.path_of(LOG_SUFFIX)),
            )
            for segment, following in pairwise(segments)
            if following.base_offset <= dirtiness.first_uncleanable_offset
        )
        plan = CompactionPlan(
            folder=Path(log.path),
            sources=sources,
            first_dirty_offset=dirtiness.first_dirty_offset,
            config=log.config,
            now_ms=now_ms,
            secret=self._clock.random_bytes(SECRET_BYTES),
            memory_bytes=self._dedupe_buffer_bytes,
            producers={
                each.producer_id: (each.last_offset, each.producer_epoch)
                for each in log.active_producers()
            },
        )
        run = _Run(log, Compaction(plan, lambda: run.is_aborted))
        self._run = run
        if self.offset_of(log) is None:
            # On disk before the first swap: it tells a recovery that gaps are no lost records.
            self._offsets[log.topic, log.partition] = dirtiness.first_dirty_offset
            self._on_progress()
        self._worker.submit(
            run.compaction.read_keys,
            lambda _nothing: self._clean_next_group(run),
            lambda error: self._on_error(run, error),
        )

    def _clean_next_group(self, run: _Run) -> None:
        if run.is_aborted:
            return
        self._worker.submit(
            run.compaction.clean_next_group,
            lambda cleaned: self._on_group_cleaned(run, cleaned),
            lambda error: self._on_error(run, error),
        )

    def _on_group_cleaned(self, run: _Run, cleaned: tuple[LogSegment, list[int]] | None) -> None:
        if cleaned is None:
            if not run.is_aborted:
                self._finish(run)
            return
        segment, old_base_offsets = cleaned
        wanted = set(old_base_offsets)
        old = [each for each in run.log.segments[:-1] if each.base_offset in wanted]
        if run.is_aborted or len(old) != len(wanted):
            # The log was truncated, deleted or closed meanwhile.
            segment.close()
            if Path(run.log.path).exists():
                from .log_compaction import remove_cleaned_files  # as in _start

                remove_cleaned_files(Path(run.log.path), segment.base_offset)
            self._end(run)
            return
        try:
            run.log.replace_segments([segment], old)
        except KafkaStorageError as error:  # the log has told its owner
            _log.error("%s is not compacted: %s", run.log.path, error)
            self._end(run)
            return
        except Exception as error:
            self._on_error(run, error)
            return
        self._clean_next_group(run)

    def _finish(self, run: _Run) -> None:
        compaction = run.compaction
        key = (run.log.topic, run.log.partition)
        self._offsets[key] = compaction.end_offset
        _log.info(
            "compacted %s-%d below offset %d: %d bytes became %d",
            *key,
            compaction.end_offset,
            compaction.bytes_read,
            compaction.bytes_written,
        )
        self._end(run)
        self._on_progress()

    def _end(self, run: _Run) -> None:
        if self._run is run:
            self._run = None

    def _on_error(self, run: _Run, error: BaseException) -> None:
        was_aborted = run.is_aborted
        self._end(run)
        if was_aborted:
            return
        if isinstance(error, OSError):
            self._on_storage_failure(run.log, error)
            return
        # Whatever it is, the next try would be for this log again, and the others would wait.
        self._uncleanable.add((run.log.topic, run.log.partition))
        foreseen = isinstance(error, HeadraceError)
        _log.error(
            "%s is not compacted any more: %s",
            *(run.log.path, error),
            exc_info=None if foreseen else error,
        )


def _is_too_young(log: Log, segment: LogSegment, now_ms: int) -> bool:
    lag_ms = log.config.min_compaction_lag_ms
    return lag_ms > 0 and segment.max_timestamp > now_ms - lag_ms


def _first_timestamp_of(segment: LogSegment) -> int:
    """The largest timestamp of the segment's first batch; -1 for none."""
    batch = segment.batch_at_or_after(segment.base_offset)
    return -1 if batch is None else batch.max_timestamp
