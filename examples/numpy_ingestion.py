"""Sensor readings from a numpy array into a topic, and back, without an object a record."""

import tempfile

import numpy as np

import headrace

READING = np.dtype([("sensor", "<u4"), ("celsius", "<f4")])


def make_readings(count: int) -> np.ndarray:
    """What a driver would hand over: one structured row a reading."""
    random = np.random.default_rng(1)
    readings = np.empty(count, READING)
    readings["sensor"] = np.arange(count) % 16
    readings["celsius"] = random.normal(20, 5, count)
    return readings


def main() -> None:
    readings = make_readings(100_000)
    with tempfile.TemporaryDirectory() as folder, headrace.open(folder) as store:
        topic = store.topic("readings", config={"retention.ms": 86_400_000})
        first, count = topic.append_array(readings)
        print(f"appended {count} readings from offset {first}")

        per_sensor = np.zeros(16)
        for view in topic.scan():
            rows = view.to_numpy(READING)
            per_sensor += np.bincount(rows["sensor"], rows["celsius"], minlength=16)
        mean = per_sensor.sum() / count
        print(f"mean temperature {mean:.1f} C over {len(topic)} readings")
        assert np.isclose(mean, readings["celsius"].mean(), atol=0.01)


if __name__ == "__main__":
    main()
