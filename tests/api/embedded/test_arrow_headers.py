"""Headers as an Arrow column, out and in; and columns that lie about themselves."""

import struct
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest

import headrace

HEADERS: list[list[tuple[str, bytes | None]]] = [
    [("trace", b"1"), ("trace", b"2")],
    [],
    [("empty", b""), ("null", None), ("müll", b"\x00\xff" * 300)],
]
PAIR = pa.struct([("key", pa.string()), ("value", pa.binary())])


@pytest.fixture
def clicks(store: headrace.LogStore) -> headrace.Topic:
    return store.topic("clicks")


@pytest.fixture
def filled(clicks: headrace.Topic) -> headrace.Topic:
    for number, headers in enumerate(HEADERS):
        clicks.append(None if number == 1 else b"%d" % number, headers=headers)
    return clicks


def pairs_of(column: list[list[dict[str, Any]]]) -> list[list[tuple[str, bytes | None]]]:
    return [[(pair["key"], pair["value"]) for pair in pairs] for pairs in column]


def stored_headers(topic: headrace.Topic) -> list[list[tuple[str, bytes | None]]]:
    return [list(record.headers) for record in topic.read()]


def test_headers_are_a_column_of_lists(filled: headrace.Topic) -> None:
    table = pa.table(filled)
    table.validate(full=True)
    assert pairs_of(table["headers"].to_pylist()) == HEADERS
    assert pairs_of(pa.table(filled.read(1))["headers"].to_pylist()) == HEADERS[1:]
    assert pairs_of(pl.DataFrame(filled)["headers"].to_list()) == HEADERS


def test_headers_of_compressed_batches_are_there_too(store: headrace.LogStore) -> None:
    packed = store.topic("packed", config={"compression.type": "zstd"})
    packed.append(b"v", headers=HEADERS[2])
    assert pairs_of(pa.table(packed)["headers"].to_pylist()) == [HEADERS[2]]


def test_duckdb_filters_by_a_header(filled: headrace.Topic) -> None:
    found = duckdb.sql(
        'select "offset" from filled where list_contains(headers, '
        "{'key': 'trace', 'value': '2'::blob})"
    )
    assert found.fetchall() == [(0,)]


def test_a_column_taken_out_alone_outlives_its_table(filled: headrace.Topic) -> None:
    names = pa.table(filled)["headers"].combine_chunks().flatten().field("key")
    assert names.to_pylist() == ["trace", "trace", "empty", "null", "müll"]


@pytest.mark.parametrize("kind", [pa.list_(PAIR), pa.large_list(PAIR)])
def test_lists_of_pairs_become_headers(clicks: headrace.Topic, kind: pa.DataType) -> None:
    column = pa.array([[{"key": k, "value": v} for k, v in each] for each in HEADERS], kind)
    table = pa.table({"value": pa.array([b"a", b"b", b"c"], pa.binary()), "headers": column})
    clicks.append_arrow(table, value="value", headers="headers")
    clicks.append_arrow(table.slice(2), value="value", headers="headers")
    assert stored_headers(clicks) == [*HEADERS, HEADERS[2]]
    assert clicks.partition(0).read().to_pylist() == [b"a", b"b", b"c", b"c"]


def test_maps_and_null_lists_become_headers(clicks: headrace.Topic) -> None:
    column = pa.array([[("a", b"1")], None, []], pa.map_(pa.string(), pa.binary()))
    table = pa.table({"value": pa.array([b"a", b"b", b"c"], pa.binary()), "h": column})
    clicks.append_arrow(table, value="value", headers="h")
    assert stored_headers(clicks) == [[("a", b"1")], [], []]


def test_a_topic_keeps_its_headers_on_the_way_to_another(
    store: headrace.LogStore, filled: headrace.Topic
) -> None:
    copied = store.topic("copied")
    copied.append_arrow(filled, value="value", key="key", headers="headers")
    assert stored_headers(copied) == HEADERS
    assert copied.read().to_pylist() == [b"0", None, b"2"]


def test_headers_of_every_batch_of_many_are_its_own(store: headrace.LogStore) -> None:
    small = store.topic("small", config={"max.message.bytes": 400})
    lists = [[("n", b"%d" % number)] * (number % 3) for number in range(100)]
    column = pa.array([[{"key": k, "value": v} for k, v in each] for each in lists], pa.list_(PAIR))
    table = pa.table({"value": pa.array([b"x"] * 100, pa.binary()), "headers": column})
    small.append_arrow(table, value="value", headers="headers")
    assert stored_headers(small) == lists


def test_what_cannot_be_headers_is_refused_by_name(clicks: headrace.Topic) -> None:
    values = pa.array([b"v"], pa.binary())
    nameless = pa.array([[{"key": None, "value": b"1"}]], pa.list_(PAIR))
    numbers = pa.array([[1]], pa.list_(pa.int64()))
    with pytest.raises(ValueError, match="name must not be null"):
        clicks.append_arrow(pa.table({"value": values, "h": nameless}), headers="h")
    with pytest.raises(TypeError, match="'h' has the Arrow format"):
        clicks.append_arrow(pa.table({"value": values, "h": numbers}), headers="h")
    with pytest.raises(ValueError, match="no column 'absent'"):
        clicks.append_arrow(pa.table({"value": values}), headers="absent")
    assert len(clicks) == 0


def view_array(size: int, buffer_index: int, position: int, data: bytes = b"x" * 64) -> pa.Array:
    view = struct.pack("<i4sii", size, b"xxxx", buffer_index, position)
    buffers = [None, pa.py_buffer(view), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary_view(), 1, buffers)


@pytest.mark.parametrize(
    ("size", "buffer_index", "position"),
    [(20, 1, 0), (20, -1, 0), (20, 0, -1), (20, 0, 45), (65, 0, 0), (2**31 - 1, 0, 0), (-5, 0, 0)],
)
def test_views_that_point_outside_are_refused(
    clicks: headrace.Topic, size: int, buffer_index: int, position: int
) -> None:
    with pytest.raises(ValueError, match="view 0 of column 'value'"):
        clicks.append_arrow(pa.table({"value": view_array(size, buffer_index, position)}))
    assert len(clicks) == 0


def test_views_up_to_the_end_of_their_buffer_are_taken(clicks: headrace.Topic) -> None:
    clicks.append_arrow(pa.table({"value": view_array(20, 0, 44)}))
    assert clicks.read().to_pylist() == [b"x" * 20]
