"""Any well-formed request, sense or nonsense, is answered or refused, and never a surprise.

A surprise is an exception that no error code stands for: the broker logs it with its trace.
"""

import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.api.handlers.routes import ROUTES
from headrace.api.wire import registry
from headrace.api.wire.codec import decode_response
from headrace.api.wire.headers import decode_response_header, encode_request_frame
from tests.support.in_process_broker import InProcessBroker
from tests.support.raw_client import RawClient
from tests.support.wire_bodies import bodies

NAMES = ("known", "known", "unknown", "", "..", "bad name", "__consumer_offsets", "group", "1")
# A member that joins may be made to wait; nobody else may wait long for what is asked here.
MAY_WAIT = {11, 14}
ANSWER_WITHIN_S = 60.0


class Surprises(logging.Handler):
    """Keeps every record that carries a trace."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[0] is not None:
            self.records.append(record)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessBroker]:
    with InProcessBroker(tmp_path_factory.mktemp("any")) as running:
        yield running


@pytest.fixture
def surprises() -> Iterator[Surprises]:
    handler = Surprises()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def tamed(value: Any, chance: random.Random, name: str = "") -> Any:
    """The same body with names that exist now and then, short waits and few partitions."""
    if isinstance(value, dict):
        return {key: tamed(item, chance, key) for key, item in value.items()}
    if isinstance(value, list):
        return [tamed(item, chance, name) for item in value]
    if isinstance(value, str) and chance.random() < 0.7:
        return chance.choice(NAMES)
    if isinstance(value, int) and not isinstance(value, bool):
        if name.endswith("_ms") and "timestamp" not in name:
            return value % 20
        if name in ("num_partitions", "count"):
            return value % 4 - 1
        if "partition" in name or name in ("index", "node_id", "acks", "isolation_level"):
            return value % 4 - 1
    return value


def versions() -> list[tuple[int, int]]:
    return [
        (key, version)
        for key, route in sorted(ROUTES.items())
        for version in range(
            max(route.min_version, registry.schema_versions(key)[0]), route.max_version + 1
        )
    ]


@pytest.mark.parametrize(("api_key", "api_version"), versions())
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_request_is_answered_or_refused(
    broker: InProcessBroker,
    surprises: Surprises,
    api_key: int,
    api_version: int,
    data: st.DataObject,
) -> None:
    message = registry.REQUESTS[api_key]
    drawn = data.draw(bodies(message.fields, api_version))
    body = tamed(drawn, random.Random(data.draw(st.integers(0, 1000))))
    if "known" not in broker.broker.cluster_state.topics:
        broker.create_topic("known", 2)
    with RawClient(broker.port, timeout_s=ANSWER_WITHIN_S) as client:
        client.send_bytes(encode_request_frame(api_key, api_version, 7, "any", body))
        need_not_answer = api_key in MAY_WAIT or body.get("acks") == 0
        if need_not_answer:
            client.socket.settimeout(0.03)
        try:
            answer = client.receive_frame()
        except ConnectionError:  # refused
            answer = None
        except TimeoutError:
            assert need_not_answer, body
            answer = None
    if answer is not None:
        correlation_id, position = decode_response_header(api_key, api_version, answer)
        assert correlation_id == 7
        decode_response(api_key, api_version, answer, position)
    assert not surprises.records, (body, surprises.records[0].exc_info)
