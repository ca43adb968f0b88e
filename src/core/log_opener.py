"""Opens the logs of a node by what the checkpoints of their folder say, and closes them."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .checkpoint_file import TopicPartition
from .clock import Clock
from .errors import KafkaStorageError
from .log import Log
from .log_config import LogConfig
from .log_dir import Checkpoints
from .worker import Worker

_log = logging.getLogger(__name__)

L = TypeVar("L", bound=Log)


class LogOpener:
    """`was_compacted` tells whether a partition's log may have gaps, whatever its folder says."""

    def __init__(
        self,
        clock: Clock,
        worker: Worker,
        producer_id_expiration_ms: int,
        was_compacted: Callable[[TopicPartition], bool],
    ) -> None:
        self._clock = clock
        self._worker = worker
        self._producer_id_expiration_ms = producer_id_expiration_ms
        self._was_compacted = was_compacted

    def open_log(
        self,
        kind: type[L],
        key: TopicPartition,
        folder: Path,
        config: LogConfig,
        checkpoints: Checkpoints | None,
        *,
        is_clean: bool,
    ) -> L:
        """The log in `folder`; `checkpoints` None: it is new.  Raises as `Log.open`."""
        starts = checkpoints.log_start_offsets if checkpoints else {}
        points = checkpoints.recovery_points if checkpoints else {}
        log = kind.open(
            folder,
            topic=key[0],
            partition=key[1],
            config=config,
            clock=self._clock,
            worker=self._worker,
            is_clean=is_clean,
            is_new=checkpoints is None,
            recovery_point=points.get(key, 0),
            log_start_offset=starts.get(key, 0),
            producer_id_expiration_ms=self._producer_id_expiration_ms,
            allows_gaps=self._was_compacted(key)
            or (checkpoints is not None and checkpoints.may_have_gaps(key)),
        )
        assert isinstance(log, kind), log
        committed = checkpoints.high_watermarks.get(key, 0) if checkpoints else 0
        log.update_high_watermark(min(max(committed, log.log_start_offset), log.log_end_offset))
        return log


def try_close(log: Log, *, clean: bool = True) -> bool:
    """Close it as the next start shall find it; False, with a line in the log, where that fails."""
    try:
        log.close(clean=clean)
    except (OSError, KafkaStorageError) as error:
        _log.error("%s was not closed cleanly: %s", log.path, error)
        return False
    return True
