"""What holds for every test."""

import pytest

from headrace.api.wire import codec


@pytest.fixture(autouse=True, scope="session")
def _encoders_refuse_undeclared_names() -> None:
    """A misspelt field must fail a test; in production it would silently mean the default."""
    codec.check_names(True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write what the scenarios saw into their files; read the diff before a commit",
    )
