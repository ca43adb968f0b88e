"""How a server stops."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

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
