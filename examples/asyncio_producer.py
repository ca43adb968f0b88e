"""An asyncio program that appends durably without blocking its loop.

Handlers put events into a queue and await their offset; one task appends what has gathered as one
batch, on a thread, so that many handlers share a sync.
"""

import asyncio
import tempfile

import headrace

Waiting = tuple[bytes, "asyncio.Future[int]"]


class Journal:
    """Appends events in batches; `append` returns when the event is on disk."""

    def __init__(self, topic: headrace.Topic) -> None:
        self._topic = topic
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self.batches = 0

    async def append(self, event: bytes) -> int:
        """The event's offset, once it is on disk."""
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        await self._queue.put((event, stored))
        return await stored

    async def run(self) -> None:
        """Append what comes, until cancelled."""
        while True:
            waiting = [await self._queue.get()]
            while not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            events = [event for event, _ in waiting]
            first, _ = await asyncio.to_thread(self._topic.append_many, events, durability="fsync")
            self.batches += 1
            for place, (_, stored) in enumerate(waiting):
                stored.set_result(first + place)


async def serve(topic: headrace.Topic) -> None:
    """500 requests at once, as a web framework's handlers would make them."""
    journal = Journal(topic)
    task = asyncio.create_task(journal.run())
    offsets = await asyncio.gather(*(journal.append(b"event %d" % n) for n in range(500)))
    task.cancel()
    assert sorted(offsets) == list(range(500))
    assert journal.batches < 500
    print(f"{len(offsets)} events are on disk, in fewer syncs than events")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, headrace.open(folder) as store:
        asyncio.run(serve(store.topic("events")))


if __name__ == "__main__":
    main()
