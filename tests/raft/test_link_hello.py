"""The opening of a broker link, byte for byte."""

import struct
from dataclasses import replace

import pytest

from headrace.raft.errors import CorruptCommandError
from headrace.raft.link_hello import (
    LinkAnswer,
    LinkHello,
    decode_hello,
    encode_hello,
    hello_request,
    hello_response,
    read_hello_body,
    split_response,
)

HELLO = LinkHello(
    broker_id=2,
    session=7,
    incarnation=9,
    cluster_id="abc",
    wal_id=11,
    host="127.0.0.1",
    port=9092,
    rack="r1",
)


def test_request_is_a_kafka_request_of_the_private_key() -> None:
    request = hello_request(HELLO)
    assert request[4:14] == (31000).to_bytes(2, "big") + bytes(6) + (15).to_bytes(2, "big")
    assert request[14:29] == b"headrace-broker"
    assert int.from_bytes(request[:4], "big") == len(request) - 4
    assert read_hello_body(request[29:]) == HELLO


def test_answer_comes_back_with_what_stands_behind_it() -> None:
    answer = LinkAnswer(replace(HELLO, rack=None), "wrong cluster")
    response = hello_response(answer)
    for cut in range(len(response)):
        assert split_response(bytearray(response[:cut])) is None
    assert split_response(bytearray(response + b"more")) == (answer, b"more")


def test_another_link_version_is_told_apart_from_garbage() -> None:
    hello = decode_hello(encode_hello(replace(HELLO, link_version=2)))
    assert (hello.link_version, hello.broker_id) == (2, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x90",
        b"\x01",
        encode_hello(HELLO)[:-1],
        encode_hello(replace(HELLO, broker_id=-1)),
        b"\x93\x01\x01\xa1x",
        bytes(20_000),
    ],
)
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptCommandError):
        decode_hello(data)


@pytest.mark.parametrize("size", [-1, 0, 16 * 1024 + 9, 2**31 - 1])
def test_an_answer_that_no_broker_sends_is_refused_by_its_length(size: int) -> None:
    head = size.to_bytes(4, "big", signed=True) + bytes(4) + struct.pack(">q", size - 8)[4:]
    with pytest.raises(CorruptCommandError):
        split_response(bytearray(head + bytes(64)))


def test_who_answers_in_a_broker_s_place_is_told_in_words() -> None:
    with pytest.raises(CorruptCommandError, match="an HTTP server"):
        split_response(bytearray(b"HTTP/1.0 400 Bad request"))
    with pytest.raises(CorruptCommandError, match=r"no broker of headrace .it began ff ff 00 01"):
        split_response(bytearray(b"\xff\xff\x00\x01" * 8))
