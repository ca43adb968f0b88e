"""DeleteRecords (API key 21), versions 0-2.

Behaviour: per partition everything below an offset goes, the high watermark for -1.  Above the
    high watermark, or below -1: OFFSET_OUT_OF_RANGE.  The answer holds the new low watermark, -1
    on an error: the offset below which no replica that is up has anything.  Followers that have not
    deleted by timeout_ms: REQUEST_TIMED_OUT, and how far they are.  Topics whose cleanup.policy has
    no delete are refused: POLICY_VIOLATION.
Versions: 2 is flexible.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.errors import HeadraceError
from ..wire.error_codes import ErrorCode
from .context import RequestContext
from .error_mapping import error_code_of

if TYPE_CHECKING:
    from ...raft.partition import Partition
    from ..broker import Broker

Body = dict[str, Any]

FAILED_LOW_WATERMARK = -1
HIGH_WATERMARK_OFFSET = -1


async def handle_delete_records(broker: "Broker", context: RequestContext, request: Body) -> Body:
    """The low watermark of each partition after the deletion."""
    deadline_s = asyncio.get_running_loop().time() + request["timeout_ms"] / 1000
    # All are deleted from at once; then one waiting serves them all.
    begun = [
        (
            topic["name"],
            [_delete_records(broker, topic["name"], each) for each in topic["partitions"]],
        )
        for topic in request["topics"]
    ]
    for _, rows in begun:
        for row in rows:
            await row.wait_until(deadline_s)
    return {
        "topics": [
            {"name": name, "partitions": [row.answer for row in rows]} for name, rows in begun
        ]
    }


@dataclass(slots=True)
class _Deletion:
    """One partition: deleted from here, while its followers may have to follow."""

    answer: Body
    partition: "Partition | None" = None
    offset: int = 0

    async def wait_until(self, deadline_s: float) -> None:
        """Until every replica that is up begins at the offset, or the time is over."""
        partition = self.partition
        if partition is None:
            return
        loop = asyncio.get_running_loop()
        passed: asyncio.Future[None] = loop.create_future()
        waiter = partition.wait_for_low_watermark(self.offset, partial(_settle, passed))
        try:
            async with asyncio.timeout_at(deadline_s):
                await passed
            self._say(partition.low_watermark, ErrorCode.NONE)
        except TimeoutError:
            waiter.cancel()
            self._say(partition.low_watermark, ErrorCode.REQUEST_TIMED_OUT)
        except HeadraceError as error:
            self._say(FAILED_LOW_WATERMARK, error_code_of(error))

    def _say(self, low_watermark: int, code: int) -> None:
        self.answer |= {"low_watermark": low_watermark, "error_code": code}


def _settle(future: "asyncio.Future[None]", error: BaseException | None) -> None:
    if future.done():  # the time was over
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _delete_records(broker: "Broker", name: str, asked: Body) -> _Deletion:
    answer = {"partition_index": asked["partition_index"], "low_watermark": FAILED_LOW_WATERMARK}
    try:
        partition = broker.replicas.partition(name, asked["partition_index"])
        if partition.log is not None and not partition.log.config.is_deleted:
            return _Deletion({**answer, "error_code": ErrorCode.POLICY_VIOLATION})
        if asked["offset"] < HIGH_WATERMARK_OFFSET:
            return _Deletion({**answer, "error_code": ErrorCode.OFFSET_OUT_OF_RANGE})
        own_start = partition.delete_records(asked["offset"])
    except HeadraceError as error:
        return _Deletion({**answer, "error_code": error_code_of(error)})
    offset = own_start if asked["offset"] == HIGH_WATERMARK_OFFSET else asked["offset"]
    return _Deletion({**answer, "error_code": ErrorCode.NONE}, partition, offset)
