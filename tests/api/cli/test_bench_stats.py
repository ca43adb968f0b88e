"""Percentiles and the plot in text."""

from headrace.api.cli.bench_stats import BAR_COLUMNS, Latencies


def test_percentiles_of_a_hundred_milliseconds() -> None:
    latencies = Latencies([number / 1000 for number in range(1, 101)])
    found = latencies.percentiles_ms()
    assert found["p50"] == 51
    assert found["p99"] == 100
    assert found["max"] == 100


def test_nothing_measured_is_told_as_nothing() -> None:
    assert Latencies().percentiles_ms() == {}
    assert Latencies().text_plot() == ""


def test_the_text_plot_has_a_bar_a_percentile_from_the_fastest_to_the_slowest() -> None:
    plot = Latencies([0.001] * 98 + [0.010, 0.100]).text_plot().splitlines()
    names = [line.split()[0] for line in plot]
    assert names == ["min", "p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99", "max"]
    bars = {line.split()[0]: line.count("#") for line in plot}
    assert (bars["min"], bars["p50"], bars["max"]) == (1, 1, BAR_COLUMNS)
    # Ten times the least of a hundred times in all: half way on a logarithmic scale.
    halfway = Latencies([0.001, 0.010, 0.100]).text_plot().splitlines()[1]
    assert halfway.count("#") in (BAR_COLUMNS // 2, BAR_COLUMNS // 2 + 1)
    assert plot[-1].endswith("100 ms")


def test_equal_latencies_are_equal_bars() -> None:
    assert {line.count("#") for line in Latencies([0.002] * 5).text_plot().splitlines()} == {1}
