"""Counters and gauges."""

from headrace.core.metrics import Metrics


def test_same_name_and_labels_give_the_same_counter() -> None:
    metrics = Metrics()
    metrics.counter("bytes_in", topic="clicks").increment(5)
    metrics.counter("bytes_in", topic="clicks").increment()
    metrics.counter("bytes_in", topic="orders").increment(2)
    assert {(each.labels, each.value) for each in metrics} == {
        ((("topic", "clicks"),), 6),
        ((("topic", "orders"),), 2),
    }


def test_gauge_reads_its_source_when_asked() -> None:
    values = [1.0]
    gauge = Metrics().gauge("log_end_offset", lambda: values[0])
    values[0] = 7.0
    assert gauge.value == 7.0


def test_discarding_a_label_forgets_only_what_carries_it() -> None:
    metrics = Metrics()
    metrics.counter("bytes_in", topic="clicks", partition="0")
    metrics.gauge("size", topic="clicks").value = 3
    metrics.counter("bytes_in", topic="orders")
    metrics.discard(topic="clicks")
    assert [each.labels for each in metrics] == [(("topic", "orders"),)]
