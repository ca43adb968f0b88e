"""Bytes: segments, indexes, record batches, buffers."""
