"""Addresses as a client takes them."""

from headrace.core.address_text import address_text


def test_an_ipv6_address_is_told_from_its_port() -> None:
    assert address_text("::1", 9092) == "[::1]:9092"
    assert address_text("127.0.0.1", 9092) == "127.0.0.1:9092"
    assert address_text("box", 9092) == "box:9092"
