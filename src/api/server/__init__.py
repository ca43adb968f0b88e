"""Sockets, order, limits."""
