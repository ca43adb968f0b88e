"""Are the workloads that we ship whole, and is one that cannot be played refused?"""

from pathlib import Path

import pytest

from benchmarks.openmessaging import (
    DRIVERS,
    WORKLOADS,
    WorkloadError,
    load_limit_s,
    read_driver,
    read_workload,
)

yaml = pytest.importorskip("yaml", reason="workloads are YAML: PyYAML is not installed")


@pytest.mark.parametrize("path", sorted(WORKLOADS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_workload_is_read_by_its_name(path: Path) -> None:
    workload = read_workload(path.stem)
    assert workload.name == path.stem
    assert workload.seconds >= 60
    assert workload == read_workload(str(path))


def test_a_rate_that_nobody_reaches_is_no_limit(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        "{partitionsPerTopic: 1, messageSize: 8, producerRate: 10000000, testDurationMinutes: 1}"
    )
    assert read_workload(str(path)).rate == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{topics: 2}", "topics is 2"),
        ("{partitionsPerTopic: 1}", "does not say producerRate"),
        ("- a", "mapping"),
        ("{a: [}", "no YAML"),
        (
            "{partitionsPerTopic: 1, messageSize: 7, producerRate: 1, testDurationMinutes: 1}",
            "8 or more",
        ),
    ],
)
def test_a_workload_that_cannot_be_played_says_why(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(text)
    with pytest.raises(WorkloadError, match=said):
        read_workload(str(path))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(WorkloadError, match="simple-workload"):
        read_workload("nothing-of-the-kind")


def test_the_drivers_ask_for_what_openmessagings_do() -> None:
    assert sorted(path.stem for path in DRIVERS.glob("*.yaml")) == ["exactly-once", "latency"]
    once, latency = read_driver("exactly-once"), read_driver("latency")
    assert (once.replicas, latency.replicas) == (3, 3)
    assert "max.in.flight.requests.per.connection=1" in once.producer
    assert "batch.size=1048576" in once.producer
    assert latency.topic == {"min.insync.replicas": "2"}
    assert "enable.auto.commit=false" in latency.consumer


def test_a_driver_with_a_line_that_sets_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text("producerConfig: acks")
    with pytest.raises(WorkloadError, match="no name=value"):
        read_driver(str(path))


@pytest.mark.parametrize("path", sorted(WORKLOADS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_workload_is_given_the_time_that_it_asks_for(path: Path) -> None:
    """With its warm-up of a tenth: the limit of other loads is shorter than some of them."""
    seconds = read_workload(path.stem).seconds
    assert load_limit_s(seconds) > 1.1 * seconds + 30
