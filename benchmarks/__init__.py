"""Benchmarks, one question a file: `pytest benchmarks` runs smoke sizes, `--full` the real ones.

The smoke sizes run in CI so that no benchmark rots; their numbers mean nothing.  Compare only runs
of one machine.  Nothing here syncs a file unless its name says so.
"""
