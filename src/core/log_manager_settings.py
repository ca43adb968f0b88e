"""What is set for all logs of a node together."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogManagerSettings:
    """What is set for the node and not for a topic; the names are the broker settings'."""

    producer_id_expiration_ms: int = 86_400_000
    log_cleaner_enable: bool = True
    log_cleaner_dedupe_buffer_size: int = 128 * 1024 * 1024
    waits_for_cluster: bool = False
    """New folders get no cluster id before `adopt_cluster_id`: others may have one already."""
