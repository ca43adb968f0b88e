"""How lines become records."""

import io

import pytest

from headrace.api.cli.produce import split_records
from headrace.core.errors import HeadraceError


def split(text: bytes, **options: bytes | None) -> list[tuple[bytes | None, bytes | None]]:
    given: dict[str, bytes | None] = {"key_separator": None, "key": None, "null_value": None}
    return list(split_records(io.BytesIO(text), **(given | options)))  # type: ignore[arg-type]


def test_each_line_is_a_value_without_its_line_end() -> None:
    assert split(b"a\n\nlast") == [(None, b"a"), (None, b""), (None, b"last")]


def test_the_key_stands_before_the_first_separator() -> None:
    assert split(b"k:v:w\n", key_separator=b":") == [(b"k", b"v:w")]


def test_a_line_without_separator_is_named_by_its_number() -> None:
    with pytest.raises(HeadraceError, match="line 2"):
        split(b"k:v\nnone\n", key_separator=b":")


def test_the_null_value_is_a_tombstone() -> None:
    assert split(b"k:NULL\nk:\n", key_separator=b":", null_value=b"NULL") == [
        (b"k", None),
        (b"k", b""),
    ]
