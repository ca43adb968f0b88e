"""Proposals on their way to the group's controller, wherever it is.  Raft thread only.

A proposal asks this broker's own group, or the broker that is believed to be the controller, again
and again while the answer is "not me", until its deadline, or until this broker's own copy of the
group is closed: then the group has ended, and who proposes may ask the next generation.  Once it
was handed to a broker whose link then fails, nobody knows what became of it: that is its answer.
Who restarts numbers its proposals otherwise than before: an answer to its earlier life may come.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from .errors import (
    GroupSealedError,
    NotControllerError,
    ReplicationError,
    UnknownOutcomeError,
)
from .link_messages import (
    MAX_TEXT,
    NO_BROKER,
    LinkMessage,
    RefusalReason,
    error_of,
    reason_of,
)

MAX_HINTS = 10_000
MAX_PROPOSALS = 100_000
"""Under way from this broker at a time; above it they are refused."""
OWN_GROUP_LATE_S = 0.5
"""So long behind its deadline what this broker's own group holds is waited for: the group tells its
outcomes behind a sync, and a full disk may keep that from coming."""

OnDone = Callable[[Any], None]

logger = logging.getLogger(__name__)


class ProposalTarget(Protocol):
    """What is asked of a group here; `RaftGroup` is one."""

    @property
    def is_controller(self) -> bool: ...

    @property
    def leader_id(self) -> int | None: ...

    def propose(self, payload: bytes, on_done: OnDone, deadline_s: float) -> None: ...


class PendingProposal:
    """One proposal that has no outcome yet."""

    __slots__ = (
        "asked_id",
        "deadline_s",
        "group_id",
        "next_try_s",
        "on_done",
        "payload",
        "tries",
        "was_here",
    )

    def __init__(self, group_id: str, payload: bytes, on_done: OnDone, deadline_s: float) -> None:
        self.group_id = group_id
        self.payload = payload
        self.on_done = on_done
        self.deadline_s = deadline_s
        self.asked_id = NO_BROKER
        """Who holds it now; this broker's own id for its own group."""
        self.next_try_s = 0.0
        self.tries = 0
        self.was_here = False
        """Whether this broker had the group when it was last tried."""


class ProposalRouter:
    """See the module."""

    def __init__(
        self,
        *,
        broker_id: int,
        find_group: Callable[[str], ProposalTarget | None],
        send: Callable[[int, tuple[Any, ...]], bool],
        live_ids: Callable[[], Mapping[int, Any]],
        retry_s: float,
        first_request_id: int,
    ) -> None:
        self._broker_id = broker_id
        self._find_group = find_group
        self._send = send
        self._live_ids = live_ids
        self._retry_s = retry_s
        self._pending: dict[int, PendingProposal] = {}
        self._waiting: dict[int, PendingProposal] = {}
        self._hints: dict[str, int] = {}
        self._next_id = first_request_id
        self.next_check_s = float("inf")

    @property
    def pending_count(self) -> int:
        return len(self._pending)

    def propose(
        self, group_id: str, payload: bytes, on_done: OnDone, deadline_s: float, now_s: float
    ) -> None:
        """`on_done` gets (entry_index, result) or a ReplicationError, by the deadline."""
        if len(self._pending) >= MAX_PROPOSALS:
            on_done(ReplicationError(f"{MAX_PROPOSALS} proposals are under way already"))
            return
        request_id = self._next_id
        self._next_id += 1
        proposal = PendingProposal(group_id, payload, on_done, deadline_s)
        self._pending[request_id] = proposal
        self.next_check_s = min(self.next_check_s, deadline_s)
        self._try(request_id, proposal, now_s)

    def check(self, now_s: float) -> None:
        """Retry what waits for a controller, and end what is past its deadline."""
        if now_s < self.next_check_s:
            return
        for request_id, proposal in list(self._waiting.items()):
            if proposal.next_try_s <= now_s < proposal.deadline_s:
                self._try(request_id, proposal, now_s)
        for request_id, proposal in list(self._pending.items()):
            is_own = proposal.asked_id == self._broker_id
            if proposal.deadline_s + is_own * OWN_GROUP_LATE_S <= now_s:
                self._finish(request_id, self._overdue(proposal))
        times = [proposal.next_try_s for proposal in self._waiting.values()]
        times += [proposal.deadline_s for proposal in self._pending.values()]
        # What this broker's own group holds ends by the group's word, most likely a little later.
        self.next_check_s = max(min(times, default=float("inf")), now_s + self._retry_s)

    def peer_down(self, broker_id: int) -> None:
        """What `broker_id` held has no known outcome."""
        for request_id, proposal in list(self._pending.items()):
            if proposal.asked_id == broker_id:
                text = f"the link to broker {broker_id} failed while it held the proposal"
                self._finish(request_id, UnknownOutcomeError(text))

    def close(self) -> None:
        """End all that is under way."""
        for request_id in list(self._pending):
            self._finish(request_id, UnknownOutcomeError("the broker stops"))

    # -- from other brokers

    def proposed(self, request_id: int, entry_index: int, result: int | bytes | None) -> None:
        """A proposal of ours was carried out."""
        self._finish(request_id, (entry_index, result))

    def refused(
        self, request_id: int, reason: int, controller_id: int, text: str, now_s: float
    ) -> None:
        """A proposal of ours has no result where it was sent."""
        proposal = self._pending.get(request_id)
        if proposal is None or proposal.asked_id == NO_BROKER:
            return
        if reason != RefusalReason.NOT_CONTROLLER:
            self._finish(request_id, error_of(reason, text))
            return
        self._retry(request_id, proposal, controller_id, now_s)

    def serve(
        self, from_id: int, group_id: str, request_id: int, deadline_s: float, payload: bytes
    ) -> None:
        """Another broker's proposal: carry it out if this broker is the controller."""
        group = self._find_group(group_id)
        answer = partial(self._answer, from_id, group_id, request_id)
        if group is None:
            answer(NotControllerError("no such group here", None))
        elif not group.is_controller:
            answer(NotControllerError("not the controller", group.leader_id))
        else:
            group.propose(payload, answer, deadline_s)

    def _answer(self, to_id: int, group_id: str, request_id: int, outcome: Any) -> None:
        if isinstance(outcome, ReplicationError):
            hint = outcome.controller_id if isinstance(outcome, NotControllerError) else None
            controller_id = NO_BROKER if hint is None else hint
            text = str(outcome)[:MAX_TEXT]
            reason = reason_of(outcome)
            fields: tuple[Any, ...] = (request_id, reason, controller_id, text)
            self._send(to_id, (group_id, LinkMessage.REFUSED, *fields))
        else:
            self._send(to_id, (group_id, LinkMessage.PROPOSED, request_id, *outcome))

    # -- one try

    def _try(self, request_id: int, proposal: PendingProposal, now_s: float) -> None:
        self._waiting.pop(request_id, None)
        group = self._find_group(proposal.group_id)
        if group is None and proposal.was_here:
            self._finish(request_id, GroupSealedError(f"{proposal.group_id} has ended here"))
            return
        proposal.was_here = group is not None
        if group is not None and group.is_controller:
            proposal.asked_id = self._broker_id
            on_done = partial(self._own_group_answered, request_id)
            group.propose(proposal.payload, on_done, proposal.deadline_s)
            return
        target = self._target_of(proposal, group)
        if target is not None:
            timeout_ms = max(int((proposal.deadline_s - now_s) * 1000), 1)
            fields = (request_id, timeout_ms, proposal.payload)
            if self._send(target, (proposal.group_id, LinkMessage.PROPOSE, *fields)):
                proposal.asked_id = target
                return
        self._wait(request_id, proposal, now_s)

    def _target_of(self, proposal: PendingProposal, group: ProposalTarget | None) -> int | None:
        """Whom to ask: the controller by what is known here, else every live broker in turn."""
        live = self._live_ids()
        hint = self._hints.get(proposal.group_id) if group is None else group.leader_id
        if hint is not None and hint != self._broker_id and hint in live:
            return hint
        if group is not None:
            return None
        others = [broker_id for broker_id in sorted(live) if broker_id != self._broker_id]
        return others[proposal.tries % len(others)] if others else None

    def _own_group_answered(self, request_id: int, outcome: Any) -> None:
        proposal = self._pending.get(request_id)
        if proposal is None:
            return
        if isinstance(outcome, NotControllerError):
            hint = NO_BROKER if outcome.controller_id is None else outcome.controller_id
            self._retry(request_id, proposal, hint, 0.0)
        else:
            self._finish(request_id, outcome)

    def _retry(
        self, request_id: int, proposal: PendingProposal, controller_id: int, now_s: float
    ) -> None:
        """Ask whom the refusal names, at once if that is news, else a little later."""
        asked_id = proposal.asked_id
        proposal.asked_id = NO_BROKER
        proposal.tries += 1
        if len(self._hints) >= MAX_HINTS:
            self._hints.clear()
        if controller_id in (NO_BROKER, asked_id):
            self._hints.pop(proposal.group_id, None)
            self._wait(request_id, proposal, now_s)
        else:
            self._hints[proposal.group_id] = controller_id
            if proposal.tries % 8 and asked_id != self._broker_id:
                self._try(request_id, proposal, now_s)
            else:
                self._wait(request_id, proposal, now_s)

    def _wait(self, request_id: int, proposal: PendingProposal, now_s: float) -> None:
        proposal.asked_id = NO_BROKER
        proposal.next_try_s = now_s + self._retry_s
        self._waiting[request_id] = proposal
        self.next_check_s = min(self.next_check_s, proposal.next_try_s)

    def _overdue(self, proposal: PendingProposal) -> ReplicationError:
        if proposal.asked_id == NO_BROKER:
            return NotControllerError(f"{proposal.group_id} has no controller that is known here")
        return UnknownOutcomeError(f"broker {proposal.asked_id} did not decide in time")

    def _finish(self, request_id: int, outcome: Any) -> None:
        proposal = self._pending.pop(request_id, None)
        self._waiting.pop(request_id, None)
        if proposal is not None:
            proposal.on_done(outcome)
