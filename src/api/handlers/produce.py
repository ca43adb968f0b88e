"""Produce (API key 0), versions 3-11 (advertised from 0, see routes.py).

Behaviour: each partition is appended and answered by itself; one that fails fails no other.  acks=0
    is not answered, and an error closes the connection, the only sign there is.  acks=1 is answered
    when the records are in the leader's log, acks=all when the high watermark has passed them or
    timeout_ms has (REQUEST_TIMED_OUT: they may still be committed).  Internal topics refuse
    clients.  A batch behind one that is refused for now is refused, too (refused_batches.py).
Versions: 3 record batches of magic 2; 5 log_start_offset; 7 zstd; 8 record_errors, error_message
    (KIP-467); 10 current_leader and node_endpoints (KIP-951).
Not done: transactions (a transactional batch is refused), versions 12 (KIP-890) and 13 (topic ids).
"""

from typing import TYPE_CHECKING, Any

from ...core.errors import InvalidRecordError, InvalidTxnStateError
from ...raft.errors import InvalidTopicError
from ...raft.topic_names import is_internal_topic
from ..wire.error_codes import ErrorCode
from .context import CloseConnectionError, RequestContext
from .error_mapping import error_code_of
from .later_answer import LaterAnswer
from .leader_hints import MOVED, describe_endpoints, describe_leader
from .refused_batches import TRANSIENT, RefusedBatches

if TYPE_CHECKING:
    from ...core.append_info import AppendInfo
    from ...raft.offset_waiters import Waiter
    from ...raft.partition import Partition
    from ..broker import Broker

ACKS_ALL = -1
ACKS_NONE = 0
ATTRIBUTES_BYTE = 22  # the low byte of a batch's attributes
TRANSACTIONAL_BIT = 0x10
FIRST_VERSION_WITH_LEADERS = 10

Body = dict[str, Any]


def handle_produce(
    broker: "Broker", context: RequestContext, request: Body
) -> Body | LaterAnswer | None:
    """Append every partition's batch; the answer at once, or when all of them are committed."""
    acks: int = request["acks"]
    wait: _CommitWait | None = None
    failures = 0
    responses = []
    api_version = context.api_version
    for topic in request["topic_data"]:
        name = topic["name"]
        is_internal = is_internal_topic(name)
        answers = []
        for data in topic["partition_data"]:
            index = data["index"]
            if context.refused_batches is not None:
                held_back = _hold_back(broker, context.refused_batches, name, data)
                if held_back is not None:
                    failures += 1
                    answers.append(held_back)
                    continue
            try:
                partition = broker.replicas.partition(name, index)
                if is_internal:
                    raise InvalidTopicError(f"{name} is internal: clients do not produce to it")
                info = append_batch(partition, data["records"], acks, api_version)
            except Exception as error:
                failures += 1
                answers.append(_refuse(broker, context, name, data, error))
                continue
            answer = {
                "index": index,
                "error_code": 0,
                "base_offset": info.base_offset,
                "log_append_time_ms": info.log_append_time_ms,
                "log_start_offset": info.log_start_offset,
            }
            answers.append(answer)
            if acks == ACKS_ALL and partition.high_watermark <= info.last_offset:
                wait = wait or _CommitWait(broker)
                wait.add_partition(partition, info.last_offset + 1, answer)
        responses.append({"name": name, "partition_responses": answers})
    if acks == ACKS_NONE:
        if failures:
            raise CloseConnectionError(_describe_unanswered(responses))
        return None
    body: Body = {"responses": responses}
    if failures and api_version >= FIRST_VERSION_WITH_LEADERS:
        _name_endpoints(broker, context, body)
    return body if wait is None else wait.begin(body, request["timeout_ms"])


def append_batch(
    partition: "Partition", records: memoryview | None, acks: int, api_version: int
) -> "AppendInfo":
    """Append one partition's records; raises what refused them."""
    if not records:
        raise InvalidRecordError("a produce request carries one batch for each partition it names")
    # Without an end of its transaction such a batch would hold back read_committed for ever.
    if len(records) > ATTRIBUTES_BYTE and records[ATTRIBUTES_BYTE] & TRANSACTIONAL_BIT:
        raise InvalidTxnStateError("transactions are not supported; leave transactional.id out")
    info: AppendInfo = partition.append_records(
        records, required_acks=acks, produce_version=api_version
    )
    return info


def _hold_back(
    broker: "Broker", refused_batches: RefusedBatches, name: str, data: Body
) -> Body | None:
    """The answer for a batch that may not be tried before another one; None where it may."""
    index = data["index"]
    reason = refused_batches.reason_to_wait(name, index, data["records"])
    return None if reason is None else _describe_refusal(broker, name, index, *reason)


def _refuse(
    broker: "Broker", context: RequestContext, name: str, data: Body, error: Exception
) -> Body:
    """The answer for a batch that was refused, which its connection remembers if it may pass."""
    index = data["index"]
    answer = _describe_failure(broker, name, index, error)
    if answer["error_code"] in TRANSIENT:
        if context.refused_batches is None:
            context.refused_batches = RefusedBatches()
        reason = answer["error_code"], answer["error_message"]
        context.refused_batches.note_refused(name, index, data["records"], reason)
    return answer


class _CommitWait(LaterAnswer):
    """A request with acks=all whose records the high watermark has not passed yet."""

    def __init__(self, broker: "Broker") -> None:
        self._deadlines = broker.deadlines
        self._waiters: dict[int, Waiter] = {}
        self._answers: dict[int, Body] = {}
        self._body: Body | None = None
        self._timeout_ms = 0

    def add_partition(self, partition: "Partition", offset: int, answer: Body) -> None:
        """Wait until the high watermark of `partition` is at least `offset`."""
        number = len(self._answers)
        self._answers[number] = answer
        waiter = partition.wait_for_high_watermark(
            offset, lambda error: self._finish_partition(number, error)
        )
        if number in self._answers:  # else it was called back at once
            self._waiters[number] = waiter

    def begin(self, body: Body, timeout_ms: int) -> Body | LaterAnswer:
        """The body if all is committed by now, or the promise of it."""
        if not self._answers:
            return body
        self._body = body
        self._timeout_ms = max(timeout_ms, 0)
        self._deadlines.add(self, self._timeout_ms)
        return self

    def _finish_partition(self, number: int, error: BaseException | None) -> None:
        answer = self._answers.pop(number)
        self._waiters.pop(number, None)
        if error is not None:
            _mark_failed(answer, error)
        if not self._answers and self._body is not None:
            self.stop_waiting()
            # Who moved the high watermark is not done yet: the next requests come after that.
            self.give_within(self._body)

    def expire(self) -> None:
        """timeout_ms is over: what is not committed by now may be later, and is said to be late."""
        for answer in self._answers.values():
            _mark_failed(answer, TimeoutError("not replicated within timeout_ms"))
        self.stop_waiting()
        self.give(self._body)

    def stop_waiting(self) -> None:
        """See `LaterAnswer`."""
        self._deadlines.discard(self, self._timeout_ms)
        for waiter in self._waiters.values():
            waiter.cancel()
        self._waiters.clear()


def _mark_failed(answer: Body, error: BaseException) -> None:
    answer.update(_refusal(error_code_of(error), str(error)))


def _refusal(code: int, message: str) -> Body:
    return {
        "error_code": code,
        "error_message": message,
        "base_offset": -1,
        "log_start_offset": -1,
    }


def _describe_failure(broker: "Broker", name: str, index: int, error: Exception) -> Body:
    """The answer for a partition that refused: the code, and which records were at fault."""
    answer = _describe_refusal(broker, name, index, error_code_of(error), str(error))
    if isinstance(error, InvalidRecordError):
        answer["record_errors"] = [
            {"batch_index": batch_index, "batch_index_error_message": message}
            for batch_index, message in error.record_errors
        ]
    return answer


def _describe_refusal(broker: "Broker", name: str, index: int, code: int, message: str) -> Body:
    answer = {"index": index, **_refusal(code, message)}
    if code in MOVED:
        leader = describe_leader(broker, name, index)
        if leader is not None:
            answer["current_leader"] = leader
    return answer


def _name_endpoints(broker: "Broker", context: RequestContext, body: Body) -> None:
    """Say where the leaders are that the failed answers name."""
    leader_ids = {
        answer["current_leader"]["leader_id"]
        for topic in body["responses"]
        for answer in topic["partition_responses"]
        if "current_leader" in answer
    }
    if leader_ids:
        body["node_endpoints"] = describe_endpoints(broker, context, leader_ids)


def _describe_unanswered(responses: list[Body]) -> str:
    """Why a request that gets no answer (acks=0) closes its connection instead."""
    for topic in responses:
        for answer in topic["partition_responses"]:
            if answer["error_code"]:
                code = ErrorCode(answer["error_code"]).name
                reason = answer["error_message"]
                return f"Produce with acks=0 to {topic['name']}-{answer['index']}: {code}, {reason}"
    raise AssertionError(responses)
