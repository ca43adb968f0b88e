"""A real broker for every pytest suite; installed with headrace (entry point `pytest11`).

    def test_orders_are_sent(headrace_broker):
        send_order(bootstrap_servers=headrace_broker.bootstrap)
        headrace_broker.assert_produced("orders", key=b"42", timeout=1)

    FIXTURE                  GIVES
    headrace_broker          a running `headrace.Broker`: one a session, empty at each test's begin
    headrace_broker_factory  a function that starts further ones with their own settings
    headrace_topic           a `headrace.Topic` of that broker, named after the test
    headrace_store           a `headrace.LogStore` in a folder of its own, without a broker

Nothing of headrace but this file is imported before a test asks for a fixture.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .broker import Broker
    from .log_store import LogStore
    from .topic import Topic

_TOPIC_NAME_LENGTH = 200


@pytest.fixture(scope="session")
def headrace_session_broker() -> Iterator["Broker"]:
    """The broker behind `headrace_broker`; whoever uses it directly shares topics between tests."""
    from .broker import Broker

    with Broker() as broker:
        yield broker


@pytest.fixture
def headrace_broker(headrace_session_broker: "Broker") -> Iterator["Broker"]:
    """A running broker without topics and groups; what the test made is deleted after it."""
    broker = headrace_session_broker
    if not broker.is_running:  # a test before this one has stopped it
        broker.start()
    yield broker
    if broker.is_running:
        broker.reset()


@pytest.fixture
def headrace_broker_factory() -> Iterator[Callable[..., "Broker"]]:
    """Starts a broker of the arguments of `headrace.Broker`; all are stopped after the test."""
    from .broker import Broker

    with ExitStack() as stack:

        def start_broker(*arguments: Any, **settings: Any) -> Broker:
            return stack.enter_context(Broker(*arguments, **settings))

        yield start_broker


@pytest.fixture
def headrace_topic(headrace_broker: "Broker", request: pytest.FixtureRequest) -> "Topic":
    """A topic with one partition, named after the test."""
    name = re.sub(r"[^a-zA-Z0-9._-]", "-", request.node.name)[:_TOPIC_NAME_LENGTH]
    return headrace_broker.create_topic(name)


@pytest.fixture
def headrace_store(tmp_path: Path) -> Iterator["LogStore"]:
    """An empty store, in `tmp_path`."""
    from .log_store import open_store

    with open_store(tmp_path / "headrace-store") as store:
        yield store
