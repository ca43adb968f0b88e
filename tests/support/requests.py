"""Requests by name over one connection, encoded by our own codec: what a handler test needs."""

from collections.abc import Mapping
from typing import Any

from headrace.api.wire.codec import decode_response
from headrace.api.wire.headers import decode_response_header, encode_request_frame
from tests.support.raw_client import RawClient


class Requester(RawClient):
    """Sends one request and waits for its answer; checks that the correlation id comes back."""

    _next_correlation_id = 0
    client_id = "test"

    def ask(self, api_key: int, api_version: int, body: dict[str, Any]) -> dict[str, Any]:
        """The answer's body."""
        return self.receive(api_key, api_version, self.send(api_key, api_version, body))

    def send(self, api_key: int, api_version: int, body: dict[str, Any]) -> int:
        """Send without waiting; the correlation id to receive with."""
        self._next_correlation_id += 1
        correlation_id = self._next_correlation_id
        self.send_bytes(
            encode_request_frame(api_key, api_version, correlation_id, self.client_id, body)
        )
        return correlation_id

    def receive(self, api_key: int, api_version: int, correlation_id: int) -> dict[str, Any]:
        answer = self.receive_frame()
        answered_id, position = decode_response_header(api_key, api_version, answer)
        assert answered_id == correlation_id, (answered_id, correlation_id)
        return decode_response(api_key, api_version, answer, position)

    def create_topics(
        self, topics: Mapping[str, int], configs: Mapping[str, str] | None = None
    ) -> None:
        """Create topics (name -> partition count); any refusal fails the test."""
        asked = [
            {
                "name": name,
                "num_partitions": count,
                "replication_factor": 1,
                "assignments": [],
                "configs": [{"name": key, "value": text} for key, text in (configs or {}).items()],
            }
            for name, count in topics.items()
        ]
        answer = self.ask(19, 7, {"topics": asked, "timeout_ms": 10_000, "validate_only": False})
        refused = {topic["name"]: topic["error_code"] for topic in answer["topics"]}
        assert not any(refused.values()), refused
