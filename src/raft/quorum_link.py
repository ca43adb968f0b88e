"""How groups vote, told to any broker that asks: who leads, and how far each voter is.

    TAG  MESSAGE   FIELDS
      1  Ask       request_id, (base group id, ...)
      2  Answer    request_id, (description, ...)

Who is asked tells of the groups in which it votes; only the Raft leader knows how far the others
are.  A question is answered, or ends empty, by its deadline or with the link.  Loop thread only.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from ..core.clock import Clock
from .errors import CorruptCommandError
from .group_description import GroupDescription
from .group_machines import split_group_id
from .packed_fields import (
    pack_fields,
    read_fields,
    read_int,
    read_text,
    record_of,
    tuple_of,
    unpack_fields,
)
from .runtime_contract import Runtime, Schedule

CHANNEL = "quorum"
ASK_TIMEOUT_MS = 1_000
GROUPS_A_MESSAGE = 1_000
UNKNOWN = -1

_ASK, _ANSWER = 1, 2
_VOTER = record_of(read_int, read_int, read_int, read_int)
_DESCRIPTION = record_of(read_text, read_int, read_int, read_int, read_int, tuple_of(_VOTER))
_LAYOUTS = {_ASK: (read_int, tuple_of(read_text)), _ANSWER: (read_int, tuple_of(_DESCRIPTION))}


class VoterProgress(NamedTuple):
    """One voter: its last entry, when it was last heard, when it last had all; -1 is unknown."""

    broker_id: int
    last_index: int
    heard_ms: int
    caught_up_ms: int


class QuorumDescription(NamedTuple):
    """One group as broker `told_by` sees it."""

    base_id: str
    told_by: int
    leader_id: int
    term: int
    commit_index: int
    voters: tuple[VoterProgress, ...]

    @property
    def is_leaders(self) -> bool:
        """Whether it comes from the one who knows."""
        return self.leader_id == self.told_by


OnDescribed = Callable[[Sequence[QuorumDescription]], None]


class GroupTeller(Runtime, Protocol):
    """What is asked of the Raft thread here."""

    def describe_groups(self, on_done: Callable[[list[GroupDescription]], None]) -> None: ...


def describe_alone(base_id: str, broker_id: int, now_ms: int) -> QuorumDescription:
    """A group that this broker decides by itself has no terms and no votes to tell of."""
    own = VoterProgress(broker_id, 0, now_ms, now_ms)
    return QuorumDescription(base_id, broker_id, broker_id, 0, 0, (own,))


class QuorumLink:
    """See the module.  `is_alone(base_id)`: whether this broker decides a group by itself."""

    def __init__(
        self,
        *,
        broker_id: int,
        runtime: GroupTeller,
        schedule: Schedule,
        clock: Clock,
        is_alone: Callable[[str], bool],
    ) -> None:
        self._broker_id = broker_id
        self._runtime = runtime
        self._schedule = schedule
        self._clock = clock
        self._is_alone = is_alone
        self._asked: dict[int, tuple[int, OnDescribed]] = {}
        self._next_request_id = runtime.session  # not those of an earlier life
        runtime.on_message(CHANNEL, self._receive)
        runtime.on_peers_changed.append(self._peers_changed)

    def ask(self, broker_id: int, base_ids: Sequence[str], on_described: OnDescribed) -> None:
        """Have a broker, or this one, describe those of the groups that it votes in.

        Called back once; at most GROUPS_A_MESSAGE of them at a time.
        """
        if broker_id == self._broker_id:
            self._describe_own(base_ids, on_described)
            return
        request_id = self._next_request_id
        self._next_request_id += 1
        if not self._runtime.send(broker_id, CHANNEL, pack_fields(_ASK, (request_id, base_ids))):
            on_described(())
            return
        self._asked[request_id] = (broker_id, on_described)
        self._schedule(ASK_TIMEOUT_MS, partial(self._answered, request_id, ()))

    def _describe_own(self, base_ids: Sequence[str], on_described: OnDescribed) -> None:
        def describe(groups: list[GroupDescription]) -> None:
            by_id = {split_group_id(group.group_id)[0]: group for group in groups}
            now_ms = self._clock.now_ms()
            found = []
            for base_id in base_ids:
                group = by_id.get(base_id)
                if self._is_alone(base_id):
                    found.append(describe_alone(base_id, self._broker_id, now_ms))
                elif group is not None:
                    found.append(self._describe(base_id, group, now_ms))
            on_described(found)

        self._runtime.describe_groups(describe)

    def _describe(self, base_id: str, group: GroupDescription, now_ms: int) -> QuorumDescription:
        live = self._runtime.live_brokers()
        voters = []
        for voter in group.voters:
            is_own = voter == self._broker_id
            last = group.last_index if is_own else group.match_indexes.get(voter, UNKNOWN)
            # A link that is up was heard within its ping's time, also while the group sleeps.
            heard_ms = now_ms if voter in live else UNKNOWN
            has_all = last >= group.last_index
            voters.append(VoterProgress(voter, last, heard_ms, heard_ms if has_all else UNKNOWN))
        leader_id = UNKNOWN if group.leader_id is None else group.leader_id
        return QuorumDescription(
            base_id, self._broker_id, leader_id, group.term, group.commit_index, tuple(voters)
        )

    # -- messages

    def _receive(self, broker_id: int, body: bytes) -> None:
        tag, fields = unpack_fields(body)
        if tag not in _LAYOUTS:
            raise CorruptCommandError(f"quorum message {tag} is unknown to this headrace")
        request_id, told = read_fields(_LAYOUTS[tag], fields, "a question about votes")
        if tag == _ASK:
            self._describe_own(told, partial(self._tell, broker_id, request_id))
            return
        descriptions = []
        for base_id, told_by, leader_id, term, commit_index, rows in told:
            voters = tuple(VoterProgress(*row) for row in rows)
            description = QuorumDescription(base_id, told_by, leader_id, term, commit_index, voters)
            descriptions.append(description)
        self._answered(request_id, descriptions)

    def _tell(self, broker_id: int, request_id: int, found: Sequence[QuorumDescription]) -> None:
        self._runtime.send(broker_id, CHANNEL, pack_fields(_ANSWER, (request_id, found)))

    def _answered(self, request_id: int, found: Sequence[QuorumDescription]) -> None:
        asked = self._asked.pop(request_id, None)
        if asked is not None:
            asked[1](found)

    def _peers_changed(self, peers: Mapping[int, Any]) -> None:
        for request_id, (broker_id, _) in list(self._asked.items()):
            if broker_id not in peers:
                self._answered(request_id, ())
