"""Whether there is room for a new topic: what the broker does while its disk does not answer."""

import asyncio
import threading
from pathlib import Path

import pytest

from headrace.core import room_check
from headrace.raft.cluster_group import Standing
from tests.support.in_process_broker import InProcessBroker


def test_in_a_cluster_the_loop_goes_on_while_a_disk_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with InProcessBroker(tmp_path) as broker:
        looks: list[int] = []
        answers = threading.Event()

        def reserve(_folder: Path, _size_bytes: int) -> None:
            looks.append(threading.get_ident())
            assert answers.wait(60)

        monkeypatch.setattr(room_check, "check_room", reserve)
        monkeypatch.setattr(broker.broker.cluster_group, "standing", Standing.VOTER)

        async def look_twice() -> None:
            both = [asyncio.ensure_future(broker.broker._check_room(1)) for _ in range(2)]
            while not looks:
                await asyncio.sleep(0)
            assert looks != [threading.get_ident()]
            answers.set()
            await asyncio.gather(*both)

        broker.run(look_twice())
        assert len(looks) == 2
