"""Counters and gauges on the floor they measure; printing them is the business of those above.

A metric is a plain object whose `value` its owner changes; no lock, since one thread owns it.
"""

from collections.abc import Callable, Iterator

Labels = tuple[tuple[str, str], ...]


class Counter:
    """A number that only grows."""

    __slots__ = ("labels", "name", "value")

    def __init__(self, name: str, labels: Labels = ()) -> None:
        self.name = name
        self.labels = labels
        self.value = 0

    def increment(self, amount: int = 1) -> None:
        """Add `amount`, which is not negative."""
        assert amount >= 0, amount
        self.value += amount


class Gauge:
    """A number that is set, or read from `source` when it is asked for."""

    __slots__ = ("_value", "labels", "name", "source")

    def __init__(
        self, name: str, labels: Labels = (), source: Callable[[], float] | None = None
    ) -> None:
        self.name = name
        self.labels = labels
        self.source = source
        self._value: float = 0

    @property
    def value(self) -> float:
        """The last value set, or what `source` says now."""
        return self._value if self.source is None else self.source()

    @value.setter
    def value(self, value: float) -> None:
        assert self.source is None, f"{self.name} is read from its source"
        self._value = value


class Metrics:
    """The metrics of one node: the same name and labels always give the same object."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, Labels], Counter] = {}
        self._gauges: dict[tuple[str, Labels], Gauge] = {}

    def counter(self, name: str, **labels: str) -> Counter:
        """The counter of that name and labels, made on first use."""
        key = (name, tuple(sorted(labels.items())))
        found = self._counters.get(key)
        if found is None:
            found = self._counters[key] = Counter(*key)
        return found

    def gauge(self, name: str, source: Callable[[], float] | None = None, **labels: str) -> Gauge:
        """The gauge of that name and labels; a `source` given later replaces the earlier one."""
        key = (name, tuple(sorted(labels.items())))
        found = self._gauges.get(key)
        if found is None:
            found = self._gauges[key] = Gauge(*key)
        if source is not None:
            found.source = source
        return found

    def discard(self, **labels: str) -> None:
        """Forget every metric that carries all of these labels: a deleted partition's, say."""
        wanted = set(labels.items())
        self._counters = {k: c for k, c in self._counters.items() if not wanted <= set(c.labels)}
        self._gauges = {k: g for k, g in self._gauges.items() if not wanted <= set(g.labels)}

    def __iter__(self) -> Iterator[Counter | Gauge]:
        yield from list(self._counters.values())
        yield from list(self._gauges.values())
