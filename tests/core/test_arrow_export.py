"""Records lent as Arrow: read through the C structs, and released without a trace."""

import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.arrow_export import (
    export_arrow_array,
    export_arrow_schema,
    export_arrow_stream,
    requested_layouts,
)
from headrace.core.batch_builder import BatchBuilder
from headrace.core.batch_columns import BatchColumns, read_columns
from headrace.core.batch_encoder import encode_values
from tests.support.arrow_capsules import (
    Array,
    Schema,
    Stream,
    column_values,
    field_formats,
    read_array,
    read_stream,
    struct_of,
)

LAYOUTS = {"binary_view": "vz", "binary": "z", "large_binary": "Z"}
VALUES = [b"", None, b"x", b"123456789012", b"1234567890123", bytes(range(256)) * 3]
KEYS = [b"a long enough key", None, None, b"", b"k", b"k2"]


class Exporter:
    """A source over some columns, with one layout for keys and one for values."""

    def __init__(self, columns: BatchColumns, key: str, value: str, *, times: int = 1) -> None:
        self.columns, self.layouts, self.times = columns, (key, value), times

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        layouts = requested_layouts(requested_schema) if requested_schema else self.layouts
        return export_arrow_schema(*layouts), export_arrow_array(7, self.columns, *layouts)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        layouts = requested_layouts(requested_schema) if requested_schema else self.layouts
        return export_arrow_stream([(7, self.columns)] * self.times, *layouts)


def columns_of(values: list[bytes | None], keys: list[bytes | None] | None) -> BatchColumns:
    return read_columns(bytes(encode_values(values, keys, timestamp=1_700, base_offset=10)))


@pytest.mark.parametrize("key_layout", LAYOUTS)
@pytest.mark.parametrize("value_layout", LAYOUTS)
def test_every_layout_holds_the_same_records(key_layout: str, value_layout: str) -> None:
    exporter = Exporter(columns_of(VALUES, KEYS), key_layout, value_layout)
    assert read_array(exporter) == {
        "partition": [7] * 6,
        "offset": list(range(10, 16)),
        "timestamp": [1_700] * 6,
        "key": KEYS,
        "value": VALUES,
        "headers": [[]] * 6,
    }
    assert list(read_stream(exporter)) == [read_array(exporter)]


@given(
    st.lists(st.tuples(st.none() | st.binary(max_size=30), st.none() | st.binary(max_size=30))),
    st.sampled_from(list(LAYOUTS)),
)
def test_any_records_come_through(
    records: list[tuple[bytes | None, bytes | None]], layout: str
) -> None:
    keys, values = [key for key, _ in records], [value for _, value in records]
    columns = columns_of(values, keys) if records else read_columns(b"")
    table = read_array(Exporter(columns, layout, layout))
    assert (table["key"], table["value"]) == (keys, values)


def test_the_schema_names_types_and_what_may_be_null() -> None:
    capsule = export_arrow_schema("binary", "binary_view")
    schema = struct_of(capsule, b"arrow_schema", Schema)
    assert field_formats(schema) == {
        "partition": "i",
        "offset": "l",
        "timestamp": "tsm:UTC",
        "key": "z",
        "value": "vz",
        "headers": "+l",
    }
    assert [schema.children[i].contents.flags for i in range(6)] == [0, 0, 0, 2, 2, 0]
    pairs = schema.children[5].contents.children[0].contents
    assert field_formats(pairs) == {"key": "u", "value": "z"}
    schema.release(schema)


def test_headers_are_lists_of_pairs() -> None:
    builder = BatchBuilder()
    headers: list[list[tuple[str, bytes | None]]] = [[("a", b"1"), ("a", None)], [], [("b", b"")]]
    for each in headers:
        builder.append_record(timestamp=1, key=None, value=b"v", headers=each)
    columns = read_columns(bytes(builder.build()))
    assert columns.has_headers
    found = read_array(Exporter(columns, "binary", "binary"))["headers"]
    assert [[(name.decode(), value) for name, value in pairs] for pairs in found] == headers


def test_long_values_are_not_copied() -> None:
    raw = bytes(encode_values([b"0123456789abcdef"], timestamp=1))
    columns = read_columns(raw)
    capsule = export_arrow_array(7, columns, "binary_view", "binary_view")
    array = struct_of(capsule, b"arrow_array", Array)
    address = array.children[4].contents.buffers[2]
    assert address == id(raw) + bytes.__basicsize__ - 1
    array.release(array)


def test_a_reader_may_ask_for_another_layout() -> None:
    asked = export_arrow_schema("large_binary", "binary")
    assert requested_layouts(asked) == ("large_binary", "binary")
    assert requested_layouts(None) == ("large_binary", "large_binary")
    exporter = Exporter(columns_of(VALUES, KEYS), "binary_view", "binary_view")
    assert read_array(exporter, asked)["value"] == VALUES


def test_unknown_layouts_are_named() -> None:
    columns = columns_of(VALUES, KEYS)
    with pytest.raises(ValueError, match="'utf8' is unknown; use one of binary_view, binary"):
        export_arrow_schema("utf8", "binary")
    with pytest.raises(ValueError, match="'x'"):
        export_arrow_array(7, columns, "binary", "x")
    with pytest.raises(ValueError, match="'y'"):
        export_arrow_stream([(7, columns)], "y", "binary")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_capsules_that_nobody_takes_give_back_what_they_hold(layout: str) -> None:
    raw = bytes(encode_values(VALUES, KEYS, timestamp=1))
    held = sys.getrefcount(raw)
    columns = read_columns(raw)
    capsules = [
        export_arrow_schema(layout, layout),
        export_arrow_array(7, columns, layout, layout),
        export_arrow_stream([(7, columns)], layout, layout),
    ]
    del columns
    assert sys.getrefcount(raw) > held
    del capsules
    assert sys.getrefcount(raw) == held


def test_a_column_taken_out_of_its_batch_lives_on() -> None:
    raw = bytes(encode_values(VALUES, KEYS, timestamp=1))
    held = sys.getrefcount(raw)
    capsule = export_arrow_array(7, read_columns(raw), "binary_view", "binary_view")
    array = struct_of(capsule, b"arrow_array", Array)
    moved = Array.from_buffer_copy(array.children[4].contents)
    array.children[4].contents.release = type(array.children[4].contents.release)()
    array.release(array)
    del capsule
    assert column_values(moved, "vz") == VALUES
    assert sys.getrefcount(raw) > held
    moved.release(moved)
    assert sys.getrefcount(raw) == held


def test_a_stream_gives_batches_one_at_a_time_and_ends() -> None:
    exporter = Exporter(columns_of(VALUES, KEYS), "binary", "binary", times=3)
    assert [batch["value"] for batch in read_stream(exporter)] == [VALUES] * 3


def test_what_a_stream_raises_reaches_its_reader_in_words() -> None:
    class Failing(Exporter):
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            def batches() -> Iterator[tuple[int, BatchColumns]]:
                yield 7, self.columns
                raise LookupError("the log is gone")

            return export_arrow_stream(batches(), *self.layouts)

    batches = read_stream(Failing(columns_of(VALUES, KEYS), "binary", "binary"))
    assert next(batches)["key"] == KEYS
    with pytest.raises(OSError, match="LookupError: the log is gone"):
        next(batches)


def test_a_stream_released_early_lets_its_batches_go() -> None:
    raw = bytes(encode_values(VALUES, KEYS, timestamp=1))
    held = sys.getrefcount(raw)
    capsule = export_arrow_stream([(7, read_columns(raw))], "binary", "binary")
    stream = struct_of(capsule, b"arrow_array_stream", Stream)
    stream.release(stream)
    assert not stream.release
    assert sys.getrefcount(raw) == held
    del capsule
    assert sys.getrefcount(raw) == held
