"""The page of the API says what the docstrings say, and says something of everything."""

import inspect

import headrace
from tests.support.api_reference import PATH, reference


def test_the_page_is_what_the_code_says() -> None:
    assert PATH.read_text() == reference(), "run: python -m tests.support.api_reference"


def test_everything_public_has_words() -> None:
    silent = [
        f"{name}.{member}"
        for name in headrace.__all__
        for member, found in inspect.getmembers(getattr(headrace, name))
        if not member.startswith("_")
        and str(getattr(found, "__module__", "")).startswith("headrace")
        and not inspect.getdoc(found)
    ]
    assert silent == []
