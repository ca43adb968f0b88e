"""The limit of open files, shared out between the logs and the clients."""

import resource
from collections.abc import Iterator

import pytest

from headrace.api.server.descriptor_limit import (
    FEWEST_DESCRIPTORS,
    TooFewDescriptorsError,
    raise_descriptor_limit,
    share_descriptors,
)
from headrace.core import mapped_file


@pytest.fixture(autouse=True)
def pool_as_before() -> Iterator[None]:
    before = mapped_file.MAX_OPEN_DESCRIPTORS
    yield
    mapped_file.MAX_OPEN_DESCRIPTORS = before


@pytest.mark.parametrize(
    ("limit", "clients", "for_logs"),
    [(1024, 704, 128), (256, 128, 32), (128, 32, 16), (1, 1, 16), (-1, 2**31 - 1, 128)],
)
def test_clients_and_logs_share_what_there_is(limit: int, clients: int, for_logs: int) -> None:
    assert share_descriptors(limit) == clients
    assert for_logs == mapped_file.MAX_OPEN_DESCRIPTORS


def test_too_few_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    few = FEWEST_DESCRIPTORS - 1
    monkeypatch.setattr(resource, "getrlimit", lambda _: (few, few))
    with pytest.raises(TooFewDescriptorsError, match=f"allows {few} open files"):
        raise_descriptor_limit()
