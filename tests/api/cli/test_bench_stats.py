"""Percentiles and the plot in text."""

from headrace.api.cli.bench_stats import Latencies


def test_percentiles_of_a_hundred_milliseconds() -> None:
    latencies = Latencies([number / 1000 for number in range(1, 101)])
    found = latencies.percentiles_ms()
    assert found["p50"] == 51
    assert found["p99"] == 100
    assert found["max"] == 100


def test_nothing_measured_is_told_as_nothing() -> None:
    assert Latencies().percentiles_ms() == {}
    assert Latencies().text_plot() == ""


def test_the_text_plot_has_a_line_a_power_of_two() -> None:
    plot = Latencies([3e-6, 3e-6, 3e-6, 9e-6]).text_plot().splitlines()
    assert [line.split("us")[0].strip() for line in plot] == ["<= 4", "<= 8", "<= 16"]
    assert plot[0].endswith("75.00%")
    assert plot[1].endswith("0.00%")
