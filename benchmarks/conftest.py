"""The option `--full`, the sizes it chooses, and how a result is reported.

A benchmark asks for the fixture `size` with `@pytest.mark.sizes(smoke, full)` and hands what it
computed to `report`, which keeps its checksum and its rates beside the times of pytest-benchmark
(`--benchmark-json` writes them out; `--full` prints them at the end, a line a benchmark).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from headrace.core.crc32c import crc32c, kernel_names

if TYPE_CHECKING:
    from typing_extensions import Buffer

Report = Callable[..., None]
# (benchmark, what it noted of itself), in the order of the run
Reported = list[tuple[str, dict[str, Any]]]
REPORTED = pytest.StashKey[Reported]()

# A smoke run shows that a benchmark still works, not how fast it is.
SMOKE_TIME_S = 0.02


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="the sizes that are worth reading, not the smoke sizes"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sizes(smoke, full): the two sizes of a benchmark")
    if not config.getoption("--full"):
        config.option.benchmark_max_time = SMOKE_TIME_S
        config.option.benchmark_min_rounds = 1


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    reported = config.stash.get(REPORTED, [])
    if not reported or not config.getoption("--full"):
        return
    terminalreporter.write_sep("-", "what was computed, and how fast")
    terminalreporter.write_line("| benchmark | median | figures | crc32c |")
    terminalreporter.write_line("|---|---|---|---|")
    for name, info in reported:
        figures = ", ".join(
            f"{value:,} {key}" for key, value in info.items() if isinstance(value, int | float)
        )
        line = f"| {name} | {info['median']} | {figures} | {info['crc32c']} |"
        terminalreporter.write_line(line)


@pytest.fixture
def size(request: pytest.FixtureRequest) -> Any:
    """The smoke size, or with `--full` the full one, of the test's `sizes` mark."""
    mark = request.node.get_closest_marker("sizes")
    assert mark is not None, (
        "a benchmark that asks for `size` needs @pytest.mark.sizes(smoke, full)"
    )
    smoke, full = mark.args
    return full if request.config.getoption("--full") else smoke


@pytest.fixture
def report(benchmark: Any, request: pytest.FixtureRequest) -> Report:
    """`report(computed, records=..., size_bytes=...)`: the checksum and the rates of the median.

    Where nothing is said, what was computed is one record, message or answer, as large as it is.
    """
    name = f"{request.node.path.stem}: {request.node.name}"

    def note(computed: "Buffer", *, records: int = 1, size_bytes: int | None = None) -> None:
        assert memoryview(computed).nbytes, "a checksum of nothing says nothing"
        if size_bytes is None:
            size_bytes = memoryview(computed).nbytes
        median_s = benchmark.stats.stats.median
        benchmark.extra_info["crc32c"] = f"{crc32c(computed):08x}"
        benchmark.extra_info["kernel"] = kernel_names()[0]
        benchmark.extra_info["records_per_s"] = round(records / median_s)
        benchmark.extra_info["ns_per_record"] = round(1e9 * median_s / records, 1)
        benchmark.extra_info["bytes_per_s"] = round(size_bytes / median_s)
        benchmark.extra_info["median"] = f"{1e6 * median_s:.4g} us"
        request.config.stash.setdefault(REPORTED, []).append((name, benchmark.extra_info))

    return note
