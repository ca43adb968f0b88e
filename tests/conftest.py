"""What holds for every test."""

import pytest

from headrace.api.wire import codec


@pytest.fixture(autouse=True, scope="session")
def _encoders_refuse_undeclared_names() -> None:
    """A misspelt field must fail a test; in production it would silently mean the default."""
    codec.check_names(True)
