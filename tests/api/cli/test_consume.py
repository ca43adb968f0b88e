"""How records become lines: the format letters and JSON."""

import json
from typing import Any

import pytest

from headrace.api.cli.consume import compile_format, format_json
from headrace.core.errors import HeadraceError


class Message:
    """A record as the client hands it out."""

    def __init__(self, **fields: Any) -> None:
        self.fields: dict[str, Any] = {
            "topic": "clicks",
            "partition": 2,
            "offset": 7,
            "key": b"user",
            "value": b"hello",
            "timestamp": (1, 1700),
            "headers": [("a", b"1"), ("b", None)],
        } | fields

    def __getattr__(self, name: str) -> Any:
        return lambda: self.fields[name]


def test_every_letter_of_the_format_is_filled_in() -> None:
    render = compile_format("%t/%p@%o %k=%v %K %S %T %h 100%%\\n")
    assert render(Message()) == b"clicks/2@7 user=hello 4 5 1700 a=1,b=null 100%\n"


def test_null_and_empty_values_look_different() -> None:
    render = compile_format("%k|%v|%S")
    assert render(Message(key=None, value=None)) == b"null|null|-1"
    assert render(Message(key=b"", value=b"")) == b"||0"


@pytest.mark.parametrize("text", ["%x", "%", "\\q", "abc\\"])
def test_an_unknown_letter_is_named(text: str) -> None:
    with pytest.raises(HeadraceError, match="is not known"):
        compile_format(text)


def test_json_keeps_bytes_that_are_no_text() -> None:
    row = json.loads(format_json(Message(key=None, value=b"\xff\x00")))
    assert row["key"] is None
    assert row["value_base64"] == "/wA="
    assert "value" not in row
    assert row["headers"] == [{"name": "a", "value": "1"}, {"name": "b", "value": None}]
