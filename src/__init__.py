"""headrace: a Kafka-compatible, Raft-replicated log for Python."""

__version__ = "0.1.0"

__all__ = ["__version__"]
