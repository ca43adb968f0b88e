"""The words of the Kafka protocol."""
