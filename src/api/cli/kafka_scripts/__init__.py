"""Kafka's script names and flags, translated into the same calls."""
