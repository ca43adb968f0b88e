"""How a server starts and stops."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.api.broker_config import make_broker_config
from headrace.api.server import serve
from headrace.api.wire.api_keys import ApiKey
from tests.support.in_process_broker import InProcessBroker


@pytest.mark.parametrize("has_led", [True, False])
def test_clients_are_still_answered_for_a_while_once_others_lead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_led: bool
) -> None:
    """Else a producer of the old leader, with no other connection, is told by nobody."""
    answers: list[Any] = []
    with InProcessBroker(tmp_path) as broker, broker.requester() as client:
        asked: dict[str, Any] = {"topics": []}
        client.ask(ApiKey.METADATA, 1, asked)  # now the broker knows of the connection

        async def leave() -> bool:
            return has_led

        async def ask_meanwhile() -> None:
            answers.append(await asyncio.to_thread(client.ask, ApiKey.METADATA, 1, asked))

        monkeypatch.setattr(broker.broker.membership, "leave", leave)
        monkeypatch.setattr(serve, "_let_clients_hear", ask_meanwhile)
        broker.restart()
        monkeypatch.undo()
    assert [len(answer["brokers"]) for answer in answers] == ([1] if has_led else [])


@pytest.fixture
def undisturbed_process() -> Iterator[None]:
    """What a serving process changes for itself is as before afterwards."""
    interval_s = sys.getswitchinterval()
    gc.disable()
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        gc.unfreeze()
        gc.enable()


@pytest.mark.usefixtures("undisturbed_process")
def test_garbage_is_not_looked_for_among_what_stays_nor_while_others_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection of everything keeps clients, and the leaders of what is followed, waiting."""
    events: list[str] = []
    start = serve.Server.start

    async def noted_start(server: serve.Server, *args: Any) -> None:
        events.append("starts")
        await start(server, *args)

    def note_collection(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            events.append("collects")

    def stop(_broker: Any) -> None:
        events.append("serves")
        os.kill(os.getpid(), signal.SIGTERM)

    config = make_broker_config({"listeners": "PLAINTEXT://127.0.0.1:0", "log.dirs": str(tmp_path)})
    monkeypatch.setattr(serve.Server, "start", noted_start)
    gc.callbacks.append(note_collection)
    try:
        assert serve.run_server(config, on_started=stop) == serve.EXIT_OK
        assert gc.get_freeze_count() > 0
        assert gc.isenabled()
    finally:
        gc.callbacks.remove(note_collection)
    assert events == ["starts", "serves"]
