"""Reading standard input while signals arrive."""

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

import pytest

from headrace.api.cli.standard_input import standard_input

WITHIN_S = 20


class ToldToEndError(Exception):
    """What the handler raises."""


@pytest.fixture
def typist(monkeypatch: pytest.MonkeyPatch) -> Iterator[BinaryIO]:
    """The end of a pipe to type into; what is typed arrives at `sys.stdin`."""
    reading, writing = os.pipe()
    with open(reading) as stdin, open(writing, "wb", buffering=0) as keyboard:
        monkeypatch.setattr("sys.stdin", stdin)
        yield keyboard


@pytest.fixture
def _ends_on_sigterm() -> Iterator[None]:
    def end(*_: object) -> None:
        raise ToldToEndError

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


def test_lines_are_read_up_to_the_last_one(typist: BinaryIO) -> None:
    typist.write(b"first\n\nlast")
    with standard_input() as stream:
        assert [stream.readline(), stream.readline()] == [b"first\n", b"\n"]
        typist.close()
        assert list(stream) == [b"last"]


@pytest.mark.usefixtures("_ends_on_sigterm")
def test_a_signal_right_before_the_wait_is_heard(typist: BinaryIO) -> None:
    # One call of C code from the signal to the read: Python has no step between in which its
    # handler could run.  A read that hears of the signal only then ends by this line.
    rescue = threading.Timer(WITHIN_S, typist.write, (b"too late\n",))
    rescue.start()
    raise_signal = ctypes.CDLL(None)["raise"]
    try:
        with standard_input() as stream, pytest.raises(ToldToEndError):
            next(filter(None, chain(map(raise_signal, [signal.SIGTERM]), stream)))
        assert rescue.is_alive(), "the handler ran only when a line came"
    finally:
        rescue.cancel()


@pytest.mark.usefixtures("_ends_on_sigterm")
def test_a_signal_that_ends_nothing_does_not_end_the_wait(typist: BinaryIO) -> None:
    heard: list[int] = []

    def hear(number: int, _: object) -> None:
        heard.append(number)
        typist.write(b"after\n")

    before = signal.signal(signal.SIGUSR1, hear)
    try:
        with standard_input() as stream:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert stream.readline() == b"after\n"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1]


def test_who_was_told_of_signals_before_is_told_again(typist: BinaryIO) -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    before = signal.set_wakeup_fd(writing)
    try:
        with standard_input():
            pass
        assert signal.set_wakeup_fd(before) == writing
    finally:
        os.close(reading)
        os.close(writing)
