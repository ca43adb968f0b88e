"""Dialing another broker: what fails is told, and the Raft thread goes on."""

import errno
import socket

import pytest

from headrace.raft.broker_link import LinkDial
from headrace.raft.link_hello import LinkHello


def test_a_dial_without_a_descriptor_left_fails_like_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reasons: list[str] = []
    dial = LinkDial(
        [("127.0.0.1", 1)],
        LinkHello(1, 2, 3),
        deadline_s=1.0,
        on_answer=lambda *_: None,
        on_failure=reasons.append,
    )

    def refuse(*_arguments: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", refuse)
        assert dial.start_next() is None
    assert len(reasons) == 1
    assert "Too many open files" in reasons[0]
