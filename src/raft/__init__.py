"""Agreement and replication."""
