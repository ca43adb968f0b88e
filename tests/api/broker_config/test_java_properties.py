"""The `.properties` format, as java.util.Properties reads it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.api.broker_config.java_properties import parse_java_properties


def test_separators_comments_and_blank_lines() -> None:
    text = "# a\n! b\n\na=1\n b : 2\nc 3\nd\ne=\nf = x = y\n"
    assert parse_java_properties(text) == {
        "a": "1",
        "b": "2",
        "c": "3",
        "d": "",
        "e": "",
        "f": "x = y",
    }


def test_continued_lines_are_joined_without_their_indent() -> None:
    assert parse_java_properties("a=1,\\\n    2,\\\n    3\nb=4") == {"a": "1,2,3", "b": "4"}


def test_even_backslashes_do_not_continue_a_line() -> None:
    assert parse_java_properties("a=x\\\\\nb=y") == {"a": "x\\", "b": "y"}


def test_escapes() -> None:
    assert parse_java_properties(r"a\ b\=c=t\u0041b\tz\:") == {"a b=c": "tAb\tz:"}


def test_malformed_unicode_escape_is_an_error() -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        parse_java_properties(r"a=\u12")


def test_last_value_of_a_repeated_name_counts() -> None:
    assert parse_java_properties("a=1\na=2") == {"a": "2"}


@given(st.text())
def test_any_text_parses_or_is_refused_as_a_malformed_escape(text: str) -> None:
    with contextlib.suppress(ValueError):
        settings = parse_java_properties(text)
        assert all(isinstance(value, str) for value in settings.values())
