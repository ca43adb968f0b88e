"""Arrow in and out: pyarrow, polars, pandas and duckdb read a topic, and are read, as they are."""

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import headrace
from headrace.core.errors import InvalidRecordError, LogClosedError, RecordTooLargeError

HEADER = pa.field(
    "item",
    pa.struct([pa.field("key", pa.string(), nullable=False), pa.field("value", pa.binary())]),
    nullable=False,
)
NOW_MS = 1_700_000_000_000
VALUES = [b"one", None, b"", b"a value of more than twelve bytes", b"x" * 12, b"last"]
KEYS = [b"k1", b"", None, b"k4", None, b"a key of more than twelve bytes"]


@pytest.fixture
def clicks(store: headrace.LogStore) -> headrace.Topic:
    return store.topic("clicks")


@pytest.fixture
def filled(clicks: headrace.Topic) -> headrace.Topic:
    clicks.append_many(VALUES, keys=KEYS, timestamps=np.arange(6) + NOW_MS)
    return clicks


def polars_rows(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    return frame.select("partition", "offset", "key", "value").rows()


# -- out


def test_pyarrow_reads_a_view(filled: headrace.Topic) -> None:
    table = filled.read(1).to_arrow()
    table.validate(full=True)
    assert table.schema == pa.schema(
        [
            pa.field("partition", pa.int32(), nullable=False),
            pa.field("offset", pa.int64(), nullable=False),
            pa.field("timestamp", pa.timestamp("ms", "UTC"), nullable=False),
            pa.field("key", pa.large_binary()),
            pa.field("value", pa.large_binary()),
            pa.field("headers", pa.list_(HEADER), nullable=False),
        ]
    )
    assert pa.schema(filled) == table.schema
    assert table["value"].to_pylist() == VALUES[1:]
    assert table["key"].to_pylist() == KEYS[1:]
    assert table["offset"].to_pylist() == [1, 2, 3, 4, 5]
    assert table["timestamp"].cast(pa.int64()).to_pylist() == [NOW_MS + n for n in range(1, 6)]


def test_values_asked_for_as_views_lie_in_the_segment(filled: headrace.Topic) -> None:
    view = filled.read()
    packed = pa.table(view)
    kinds = {"key": pa.binary_view(), "value": pa.binary_view()}
    asked = pa.schema([(each.name, kinds.get(each.name, each.type)) for each in packed.schema])
    for source in (view, filled, filled.partition(0)):
        table = pa.RecordBatchReader.from_stream(source, schema=asked).read_all()
        assert table.schema.types == asked.types
        table.validate(full=True)
        assert table.to_pylist() == packed.to_pylist()
        assert polars_rows(pl.DataFrame(table)) == polars_rows(pl.DataFrame(packed))
    batch = pa.record_batch(view, schema=asked)
    data = batch.column("value").buffers()[2]
    assert data.address == np.asarray(view.values.data).ctypes.data
    found = duckdb.sql('SELECT value FROM batch ORDER BY "offset"').fetchall()
    assert [value for (value,) in found] == VALUES


def test_a_view_is_one_array_too(filled: headrace.Topic) -> None:
    view = filled.read()
    batch = pa.record_batch(view)
    assert batch.to_pylist() == pa.table(view).to_pylist()


def test_polars_reads_a_topic(filled: headrace.Topic) -> None:
    frame = pl.DataFrame(filled)
    assert frame["value"].to_list() == VALUES
    assert frame["key"].to_list() == KEYS
    assert frame["timestamp"].dtype == pl.Datetime("ms", "UTC")
    assert frame.filter(pl.col("offset") > 3).height == 2


def test_pandas_reads_a_topic(filled: headrace.Topic) -> None:
    frame = pd.DataFrame.from_arrow(filled)
    values = [None if value is None or value is pd.NA else value for value in frame["value"]]
    assert values == VALUES
    assert frame["offset"].tolist() == list(range(6))
    assert str(frame["timestamp"].dt.tz) == "UTC"


def test_duckdb_queries_a_live_topic(store: headrace.LogStore) -> None:
    clicks = store.topic("queried", partitions=3)
    for number in range(30):
        clicks.append(b"%d" % number, partition=number % 3)
    connection = duckdb.connect()
    query = (
        "select partition, count(*), sum(cast(decode(value) as int)) "
        "from clicks group by partition order by partition"
    )
    expected = [(p, 10, sum(range(p, 30, 3))) for p in range(3)]
    assert connection.sql(query).fetchall() == expected
    clicks.append(b"1000", partition=0)
    assert connection.sql("select count(*) from clicks").fetchall() == [(31,)]


def test_a_stream_goes_through_segments_and_partitions(store: headrace.LogStore) -> None:
    clicks = store.topic("long", partitions=2, config={"segment.bytes": 1 << 20})
    rows = np.arange(40_000, dtype=np.int64).repeat(8).view(np.uint8).reshape(-1, 64)
    for partition in range(2):
        clicks.append_array(rows, partition=partition)
    table = pa.table(clicks)
    table.validate(full=True)
    assert table.num_rows == 80_000
    assert len(table["value"].chunks) > 2
    assert table["offset"].to_numpy()[40_000:].tolist() == list(range(40_000))
    assert b"".join(table["value"].to_pylist()[:40_000]) == rows.tobytes()


def test_an_empty_topic_is_an_empty_table(clicks: headrace.Topic) -> None:
    assert pa.table(clicks).num_rows == 0
    assert pa.table(clicks.read()).num_rows == 0
    assert pl.DataFrame(clicks).height == 0


def test_a_table_outlives_its_store(tmp_path) -> None:
    with headrace.open(tmp_path / "data") as store:
        store.topic("clicks").append_many(VALUES * 1000)
        table = pa.table(store["clicks"])
        store.delete_topic("clicks")
    gc.collect()
    table.validate(full=True)
    assert table["value"].to_pylist() == VALUES * 1000


def test_a_stream_that_nobody_reads_is_released(filled: headrace.Topic) -> None:
    for _ in range(100):
        capsule = filled.__arrow_c_stream__()
        reader = pa.RecordBatchReader.from_stream(filled)
        del capsule, reader
    gc.collect()


def test_an_error_on_the_way_reaches_the_reader_in_words(tmp_path) -> None:
    store = headrace.open(tmp_path / "data")
    store.topic("clicks").append(b"a")
    reader = pa.RecordBatchReader.from_stream(store["clicks"])
    store.close()
    with pytest.raises((OSError, pa.ArrowException), match=f"{LogClosedError.__name__}.*closed"):
        reader.read_next_batch()


def test_readers_on_many_threads_see_the_same(filled: headrace.Topic) -> None:
    wrong: list[object] = []

    def read() -> None:
        for _ in range(50):
            if pa.table(filled)["value"].to_pylist() != VALUES:
                wrong.append("other values")

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- in

BINARY_TYPES = [
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
]


@pytest.mark.parametrize("kind", BINARY_TYPES, ids=str)
def test_every_binary_type_is_appended(clicks: headrace.Topic, kind: pa.DataType) -> None:
    table = pa.table({"payload": pa.array(VALUES, kind), "id": pa.array(KEYS, kind)})
    first, count = clicks.append_arrow(table, value="payload", key="id")
    assert (first, count) == (0, 6)
    assert clicks.read().to_pylist() == VALUES
    assert clicks.read().keys.to_pylist() == KEYS


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_text_is_appended_as_utf8(clicks: headrace.Topic, kind: pa.DataType) -> None:
    texts = ["grün", None, "", "more than twelve letters"]
    clicks.append_arrow(pa.array(texts, kind))
    expected = [None if text is None else text.encode() for text in texts]
    assert clicks.read().to_pylist() == expected


def test_fixed_width_and_null_columns_are_appended(clicks: headrace.Topic) -> None:
    table = pa.table(
        {
            "value": pa.array([b"abcd", None, b"efgh"], pa.binary(4)),
            "nothing": pa.nulls(3),
        }
    )
    clicks.append_arrow(table)
    clicks.append_arrow(table, key="value", value="nothing")
    assert clicks.read().to_pylist() == [b"abcd", None, b"efgh", None, None, None]
    assert clicks.read(3).keys.to_pylist() == [b"abcd", None, b"efgh"]


@pytest.mark.parametrize("kind", [*BINARY_TYPES, pa.binary(3)], ids=str)
def test_slices_and_chunks_are_taken_by_their_rows(
    clicks: headrace.Topic, kind: pa.DataType
) -> None:
    values = [None if n % 7 == 3 else b"%03d" % n for n in range(100)]
    array = pa.array(values, kind)
    batch = pa.record_batch({"value": array, "key": array})
    clicks.append_arrow(batch.slice(13, 50), key="key")
    clicks.append_arrow(array.slice(5, 20))
    clicks.append_arrow(pa.chunked_array([array.slice(0, 3), array.slice(90)]))
    struct = pa.StructArray.from_arrays([array], names=["value"]).slice(11, 4)
    clicks.append_arrow(struct)
    expected = values[13:63] + values[5:25] + values[0:3] + values[90:] + values[11:15]
    assert clicks.read().to_pylist() == expected
    assert clicks.read(max_records=50).keys.to_pylist() == values[13:63]


def test_polars_and_pandas_frames_are_appended(clicks: headrace.Topic) -> None:
    texts = [f"text {number} of some length" for number in range(1000)]
    clicks.append_arrow(pl.DataFrame({"value": texts, "n": range(1000)}))
    clicks.append_arrow(pl.Series(texts))
    clicks.append_arrow(pd.DataFrame({"value": texts}))
    expected = [text.encode() for text in texts]
    assert clicks.read().to_pylist() == expected * 3


def test_a_topic_is_appended_to_another(store: headrace.LogStore, filled: headrace.Topic) -> None:
    copy = store.topic("copy")
    copy.append_arrow(filled, key="key", timestamp="timestamp")
    assert copy.read().to_pylist() == VALUES
    assert copy.read().keys.to_pylist() == KEYS
    assert copy.read().timestamps.tolist() == filled.read().timestamps.tolist()


@pytest.mark.timeout(120)
def test_a_source_may_read_the_store_on_a_thread_of_its_own(
    store: headrace.LogStore, filled: headrace.Topic
) -> None:
    with ThreadPoolExecutor(1) as pool:

        def batches() -> Iterator[pa.RecordBatch]:
            yield from pool.submit(lambda: pa.table(filled.read()).to_batches()).result()

        schema = pa.table(filled.read()).schema
        copy = store.topic("copy")
        copy.append_arrow(pa.RecordBatchReader.from_batches(schema, batches()))
    assert copy.read().to_pylist() == VALUES


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_every_unit_become_milliseconds(clicks: headrace.Topic, unit: str) -> None:
    stamps = pa.array([NOW_MS // 1000 * 1000], pa.timestamp("ms")).cast(pa.timestamp(unit))
    clicks.append_arrow(pa.table({"value": [b"a"], "at": stamps}), timestamp="at")
    assert clicks.read().timestamps.tolist() == [NOW_MS // 1000 * 1000]


def test_columns_that_cannot_be_records_are_refused(clicks: headrace.Topic) -> None:
    table = pa.table({"value": [b"a"], "n": [1], "x": [1.5], "t": pa.nulls(1, pa.int64())})
    for call, error, words in (
        ({"value": "n"}, TypeError, "yours to say"),
        ({"value": "x"}, TypeError, "'x' has the Arrow format 'g'"),
        ({"key": "n"}, TypeError, "yours to say"),
        ({"value": "payload"}, ValueError, "there are value, n, x, t"),
        ({"timestamp": "value"}, TypeError, "no timestamp"),
        ({"timestamp": "t"}, ValueError, "timestamp 0 is null"),
    ):
        with pytest.raises(error, match=words):
            clicks.append_arrow(table, **call)
    with pytest.raises(ValueError, match="say which column"):
        clicks.append_arrow(table.select(["n", "x"]))
    with pytest.raises(TypeError, match="__arrow_c_stream__"):
        clicks.append_arrow([b"a"])  # type: ignore[arg-type]
    struct = pa.array([{"value": b"a"}, None])
    with pytest.raises(ValueError, match="null as a whole"):
        clicks.append_arrow(struct)
    assert clicks.read().next_offset == 0


def test_of_many_chunks_none_is_left_where_one_is_refused(
    store: headrace.LogStore, clicks: headrace.Topic
) -> None:
    good = pa.array([b"x" * 1000] * 1000)
    with pytest.raises(RecordTooLargeError):
        clicks.append_arrow(pa.chunked_array([good, pa.array([b"y" * (2 << 20)])]))
    latest = store.topic("latest", config={"cleanup.policy": "compact"})
    with pytest.raises(InvalidRecordError):
        latest.append_arrow(pa.table({"value": VALUES, "key": KEYS}), key="key")

    def broken():
        yield pa.record_batch({"value": good})
        raise RuntimeError("the source broke")

    schema = pa.schema({"value": pa.binary()})
    with pytest.raises(ValueError, match="the source broke"):
        clicks.append_arrow(pa.RecordBatchReader.from_batches(schema, broken()))
    assert len(clicks) == len(latest) == 0


def test_neither_pyarrow_nor_numpy_is_needed_to_hand_a_table_over() -> None:
    program = (
        "import sys, tempfile, headrace\n"
        "with headrace.open(tempfile.mkdtemp()) as store:\n"
        "    topic = store.topic('a')\n"
        "    topic.append(b'a')\n"
        "    topic.append_arrow(topic)\n"
        "    assert topic.read().to_pylist() == [b'a', b'a']\n"
        "assert not {'numpy', 'pyarrow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
