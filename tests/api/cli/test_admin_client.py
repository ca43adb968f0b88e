"""Addresses, assignments and times as commands read them."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.api.cli import admin_client, broker_connection
from headrace.api.cli.admin_client import AdminClient, parse_bootstrap
from headrace.api.cli.broker_connection import BrokerUnreachableError
from headrace.api.cli.group_admin import decode_assignment
from headrace.api.cli.groups import parse_topic_partitions
from headrace.api.cli.offsets import parse_time_ms
from headrace.core.errors import HeadraceError
from tests.support.in_process_broker import InProcessBroker


def test_bootstrap_addresses_take_the_default_port() -> None:
    assert parse_bootstrap("a, b:1234,[::1]:99") == [("a", 9092), ("b", 1234), ("::1", 99)]


@pytest.mark.parametrize("text", ["", ",", "a:", "a:b", "a:0", "a:70000"])
def test_a_bad_address_says_what_is_needed(text: str) -> None:
    with pytest.raises(BrokerUnreachableError, match="HOST:PORT"):
        parse_bootstrap(text)


def assignment(topics: dict[str, list[int]]) -> bytes:
    payload = struct.pack(">hi", 0, len(topics))
    for name, indexes in topics.items():
        payload += struct.pack(f">h{len(name)}si", len(name), name.encode(), len(indexes))
        payload += struct.pack(f">{len(indexes)}i", *indexes)
    return payload + struct.pack(">i", -1)


def test_a_consumer_assignment_is_read() -> None:
    topics = {"clicks": [0, 2], "users": []}
    assert decode_assignment(assignment(topics)) == topics


def test_a_torn_assignment_is_no_assignment_at_every_byte() -> None:
    whole = assignment({"clicks": [0, 2]})
    for length in range(len(whole) - 4):
        assert decode_assignment(whole[:length]) is None


def test_an_assignment_with_a_wild_count_is_refused() -> None:
    payload = struct.pack(">hi", 0, 1) + struct.pack(">h1si", 1, b"a", 2**31 - 1)
    assert decode_assignment(payload) is None


def test_topics_with_partitions_are_read() -> None:
    assert parse_topic_partitions("clicks") == ("clicks", None)
    assert parse_topic_partitions("clicks:0,2") == ("clicks", [0, 2])
    with pytest.raises(HeadraceError, match="TOPIC:PARTITION"):
        parse_topic_partitions("clicks:x")


def test_times_are_milliseconds_or_iso_8601() -> None:
    assert parse_time_ms("1700000000000") == 1_700_000_000_000
    assert parse_time_ms("2023-11-14T22:13:20") == 1_700_000_000_000
    assert parse_time_ms("2023-11-14T23:13:20.5+01:00") == 1_700_000_000_500
    with pytest.raises(HeadraceError, match="ISO 8601"):
        parse_time_ms("yesterday")


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of what takes connections and answers nothing, as a stopped process does."""
    for module in (admin_client, broker_connection):
        monkeypatch.setattr(module, "SILENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_silent_broker_is_named_and_the_next_one_is_asked(
    silent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        InProcessBroker(tmp_path) as broker,
        AdminClient(f"{silent},127.0.0.1:{broker.port}", timeout_s=60) as client,
    ):
        for _ in range(3):  # it is asked last from then on
            assert client.metadata([])["controller_id"] == 1
    assert capsys.readouterr().err == f"headrace: {silent} does not answer\n"


def test_who_waits_for_the_only_broker_is_told_so(
    silent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        AdminClient(silent, timeout_s=0.3) as client,
        pytest.raises(BrokerUnreachableError, match="timed out"),
    ):
        client.metadata([])
    assert capsys.readouterr().err == f"headrace: waiting for an answer from {silent}\n"
