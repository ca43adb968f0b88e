"""ApiVersions as KAFKA's clients need it."""

import pytest

from headrace.api.handlers.routes import ROUTES
from headrace.api.wire.registry import schema_versions
from tests.support.requests import Requester

TELEMETRY_KEYS = {71, 72}


@pytest.mark.parametrize("api_version", range(5))
def test_every_version_names_every_route(client: Requester, api_version: int) -> None:
    body = {"client_software_name": "test", "client_software_version": "1.0"}
    answer = client.ask(18, api_version, body if api_version >= 3 else {})
    assert answer["error_code"] == 0
    told = {row["api_key"]: (row["min_version"], row["max_version"]) for row in answer["api_keys"]}
    assert told == {key: (row.min_version, row.max_version) for key, row in ROUTES.items()}
    assert answer["throttle_time_ms"] == 0


def test_produce_is_advertised_from_0_so_that_old_librdkafka_compresses(client: Requester) -> None:
    rows = {row["api_key"]: row for row in client.ask(18, 0, {})["api_keys"]}
    assert rows[0]["min_version"] == 0


def test_no_telemetry_is_advertised() -> None:
    assert not TELEMETRY_KEYS & set(ROUTES)


def test_nothing_is_advertised_that_cannot_be_decoded() -> None:
    for key, route in ROUTES.items():
        low, high = schema_versions(key)
        assert route.max_version <= high
        assert route.min_version >= low or key == 0


@pytest.mark.parametrize(
    ("name", "version"), [("", "1"), ("ok", ""), ("-x", "1"), ("x-", "1"), ("a b", "1"), ("é", "1")]
)
def test_malformed_software_name_is_an_invalid_request(
    client: Requester, name: str, version: str
) -> None:
    body = {"client_software_name": name, "client_software_version": version}
    assert client.ask(18, 3, body)["error_code"] == 42


def test_may_be_asked_again_on_the_same_connection(client: Requester) -> None:
    assert client.ask(18, 0, {})["error_code"] == 0
    assert client.ask(3, 1, {"topics": []})["controller_id"] == 1
    assert client.ask(18, 0, {})["error_code"] == 0
