"""Who is in sync, and whether they are enough: pure functions."""


def is_under_min_isr(*, isr_size: int, min_insync_replicas: int, replica_count: int) -> bool:
    """Whether acks=all must be refused.

    As in Kafka, a topic never asks for more in-sync replicas than it has replicas.
    """
    return isr_size < min(min_insync_replicas, replica_count)
