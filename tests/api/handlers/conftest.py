"""One broker for all handler tests of a file; each test takes a topic of its own."""

from collections.abc import Iterator

import pytest

from tests.support.in_process_broker import InProcessBroker
from tests.support.requests import Requester


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessBroker]:
    with InProcessBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def client(broker: InProcessBroker) -> Iterator[Requester]:
    with broker.requester() as requester:
        yield requester


@pytest.fixture
def topic(broker: InProcessBroker, request: pytest.FixtureRequest) -> str:
    """A new topic with two partitions, named after the test."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[-100:]
    broker.create_topic(name, 2)
    return name
