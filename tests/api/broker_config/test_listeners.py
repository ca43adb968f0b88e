"""Which listeners a broker may have, what it may advertise, and which one is for other brokers."""

import pytest

from headrace.api.broker_config import BrokerConfig, parse_server_properties
from headrace.core.errors import InvalidConfigError

TWO_NAMES = "listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT,PLAINTEXT:PLAINTEXT\n"


def parse(*lines: str) -> BrokerConfig:
    return parse_server_properties(TWO_NAMES + "\n".join(lines))[0]


def refused(*lines: str) -> InvalidConfigError:
    with pytest.raises(InvalidConfigError) as caught:
        parse(*lines)
    return caught.value


@pytest.mark.parametrize("host", ["0", "0x0", "0.0", "[::]", "[0:0:0:0:0:0:0:0]", "[::0.0.0.0]"])
def test_every_spelling_of_every_interface_needs_an_advertised_address(host: str) -> None:
    assert refused(f"listeners=A://{host}:9092").name == "listeners"
    assert parse(f"listeners=A://{host}:9092", "advertised.listeners=A://box:9092")


@pytest.mark.parametrize("host", ["box0", "127.0.0.1", "[::1]", "localhost"])
def test_an_address_is_not_every_interface(host: str) -> None:
    assert not parse(f"listeners=A://{host}:9092").listeners[0].is_wildcard


@pytest.mark.parametrize(
    "hosts", [("localhost", "127.0.0.1"), ("127.0.0.1", "127.0.0.2"), ("[::1]", "box")]
)
def test_two_listeners_have_two_ports(hosts: tuple[str, str]) -> None:
    error = refused(f"listeners=A://{hosts[0]}:9092,B://{hosts[1]}:9092")
    assert f"A://{hosts[0]}:9092 and B://{hosts[1]}:9092" in str(error)


def test_an_ipv4_and_an_ipv6_listener_may_have_one_port() -> None:
    config = parse("listeners=A://127.0.0.1:9092,B://[::1]:9092")
    assert [each.host for each in config.listeners] == ["127.0.0.1", "::1"]


def test_two_listeners_may_be_advertised_at_one_address() -> None:
    config = parse("listeners=A://:9092,B://:9093", "advertised.listeners=A://lb:1,B://lb:1")
    assert [each.address for each in config.advertised_listeners] == ["lb:1", "lb:1"]


def test_what_is_advertised_must_be_a_listener() -> None:
    error = refused("listeners=A://:9092", "advertised.listeners=A://box:1,B://box:2")
    assert error.name == "advertised.listeners"
    assert "listeners has no B" in str(error)


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (("listeners=A://:1,PLAINTEXT://:2",), "PLAINTEXT"),
        (("listeners=A://:1,B://:2",), "A"),
        (("listeners=A://:1,B://:2", "inter.broker.listener.name=b"), "B"),
    ],
)
def test_the_listener_for_brokers(lines: tuple[str, ...], name: str) -> None:
    assert parse(*lines).inter_broker_listener_name == name


@pytest.mark.parametrize("more", ["", "controller.listener.names=B"])
def test_the_listener_for_brokers_must_be_there(more: str) -> None:
    listeners = "A://:1,B://:2" if more else "A://:1"
    error = refused(f"listeners={listeners}", "inter.broker.listener.name=B", more)
    assert error.name == "inter.broker.listener.name"


def test_a_follower_may_not_wait_longer_than_it_may_lag() -> None:
    error = refused("replica.lag.time.max.ms=499")
    assert error.name == "replica.fetch.wait.max.ms"
    assert parse("replica.lag.time.max.ms=500").replica_lag_time_max_ms == 500
