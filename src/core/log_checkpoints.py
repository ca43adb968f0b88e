"""What is known of logs besides their files, written to the checkpoints of their folders."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from .checkpoint_file import (
    HIGH_WATERMARK_NAME,
    LOG_START_OFFSET_NAME,
    RECOVERY_POINT_NAME,
    TopicPartition,
)
from .errors import LogClosedError
from .log import Log
from .log_dir import CLEANER_OFFSET_NAME, LogDir
from .worker import Worker

OffsetOf = Callable[[Log], int | None]


class LogCheckpoints:
    """Gathers offsets on the owner's thread and writes them on the worker.

    `logs_in` gives the logs of a folder, those on their way there too; `offline_in` the partitions
    there that could not be opened, of which the old offsets are kept.
    """

    def __init__(
        self,
        worker: Worker,
        dirs: Iterable[LogDir],
        *,
        logs_in: Callable[[LogDir], Iterable[Log]],
        offline_in: Callable[[LogDir], Iterable[TopicPartition]],
        cleaner_offset_of: OffsetOf,
        on_error: Callable[[LogDir, BaseException], None],
    ) -> None:
        self._worker = worker
        self._dirs = list(dirs)
        self._logs_in = logs_in
        self._offline_in = offline_in
        self._on_error = on_error
        self._offsets_of: dict[str, OffsetOf] = {
            RECOVERY_POINT_NAME: _recovery_point_of,
            LOG_START_OFFSET_NAME: _log_start_offset_of,
            HIGH_WATERMARK_NAME: _high_watermark_of,
            CLEANER_OFFSET_NAME: cleaner_offset_of,
        }

    def write(self, *names: str) -> None:
        """Write these checkpoints of every folder that works, on the worker."""
        for name in names:
            for log_dir in self._dirs:
                if log_dir.is_offline:
                    continue
                offsets = self._gather(log_dir, name)
                generation = log_dir.generation
                self._worker.submit(
                    partial(log_dir.write_checkpoint, name, offsets, generation=generation),
                    None,
                    partial(self._on_error, log_dir),
                )

    def name_new_logs(self) -> None:
        """Name logs that are new, so that one whose folder goes soon is missed (MissingLogs)."""
        with suppress(LogClosedError):  # the node stops meanwhile: it writes its last ones then
            self.write(HIGH_WATERMARK_NAME)

    def write_all(self) -> None:
        """Write all four."""
        self.write(*self._offsets_of)

    def write_last(self, log_dir: LogDir) -> None:
        """Write those of a folder that is closed, at once; what waits on the worker is dropped."""
        log_dir.retire_checkpoints()
        self._dirs.remove(log_dir)
        for name in (RECOVERY_POINT_NAME, LOG_START_OFFSET_NAME, HIGH_WATERMARK_NAME):
            log_dir.write_checkpoint(
                name, self._gather(log_dir, name), generation=log_dir.generation
            )

    def _gather(self, log_dir: LogDir, name: str) -> dict[TopicPartition, int]:
        offset_of = self._offsets_of[name]
        gathered = {}
        for log in self._logs_in(log_dir):
            if (offset := offset_of(log)) is not None:
                gathered[log.topic, log.partition] = offset
        for key in self._offline_in(log_dir):
            if (kept := log_dir.written_offset(name, key)) >= 0:
                gathered[key] = kept
        return gathered


def _recovery_point_of(log: Log) -> int:
    return log.recovery_point


def _log_start_offset_of(log: Log) -> int | None:
    """The start, where the segments do not tell it by themselves."""
    segments = log.segments
    if segments and log.log_start_offset <= segments[0].base_offset:
        return None
    return log.log_start_offset


def _high_watermark_of(log: Log) -> int:
    """What an earlier life committed counts until its loss is accepted."""
    return max(log.high_watermark, log.promised_end)
