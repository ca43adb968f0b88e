"""A stage for group membership: members that join, sync and remember what they were told."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.api.coordinator.errors import GroupError
from headrace.api.coordinator.group import Group, JoinResult, SyncResult
from headrace.api.coordinator.group_settings import GroupSettings
from headrace.api.coordinator.membership import JoinRequest, Membership, SyncRequest
from headrace.api.coordinator.rebalance import OnStored
from tests.support.manual_clock import ManualClock
from tests.support.manual_scheduler import ManualScheduler

RANGE = (("range", b"range-metadata"),)


@dataclass
class Answer:
    """What came back, and how often."""

    joined: list[JoinResult | GroupError] = field(default_factory=list)
    synced: list[SyncResult | GroupError] = field(default_factory=list)

    @property
    def join(self) -> JoinResult:
        result = self.joined[-1]
        assert isinstance(result, JoinResult), result
        return result

    @property
    def sync(self) -> SyncResult:
        result = self.synced[-1]
        assert isinstance(result, SyncResult), result
        return result


class GroupStage:
    """One group, its clock, and a store whose answers may be held back."""

    def __init__(self, settings: GroupSettings | None = None) -> None:
        self.clock = ManualClock()
        self.scheduler = ManualScheduler(self.clock)
        self.settings = settings or GroupSettings(group_initial_rebalance_delay_ms=0)
        self.stored: list[dict[str, bytes]] = []
        self.held: list[OnStored] | None = None  # a list: keep the store's answers there
        self.store_error: GroupError | None = None
        self.membership = Membership(
            clock=self.clock,
            schedule=self.scheduler.schedule,
            settings=self.settings,
            store_group=self._store,
        )
        self.group = Group("g", 0, entered_at_ms=self.clock.now_ms())

    def _store(self, group: Group, assignment: Mapping[str, bytes], on_stored: OnStored) -> None:
        self.stored.append(dict(assignment))
        if self.held is not None:
            self.held.append(on_stored)
        else:
            on_stored(self.store_error)

    def join(
        self,
        member_id: str = "",
        *,
        instance: str | None = None,
        protocols: tuple[tuple[str, bytes], ...] = RANGE,
        protocol_type: str = "consumer",
        session_ms: int = 10_000,
        rebalance_ms: int = 60_000,
        requires_id: bool = False,
        version_9: bool = True,
    ) -> Answer:
        answer = Answer()
        request = JoinRequest(
            member_id=member_id,
            group_instance_id=instance,
            client_id="client",
            client_host="/127.0.0.1",
            protocol_type=protocol_type,
            protocols=protocols,
            session_timeout_ms=session_ms,
            rebalance_timeout_ms=rebalance_ms,
            requires_known_member_id=requires_id,
            supports_skipping_assignment=version_9,
        )
        self.membership.join_group(self.group, request, answer.joined.append)
        return answer

    def sync(
        self,
        member_id: str,
        generation_id: int,
        assignment: Mapping[str, bytes] | None = None,
        *,
        instance: str | None = None,
        protocol_type: str | None = None,
        protocol_name: str | None = None,
    ) -> Answer:
        answer = Answer()
        request = SyncRequest(
            member_id=member_id,
            group_instance_id=instance,
            generation_id=generation_id,
            protocol_type=protocol_type,
            protocol_name=protocol_name,
            assignment=assignment or {},
        )
        self.membership.sync_group(self.group, request, answer.synced.append)
        return answer

    def heartbeat(
        self, member_id: str, generation_id: int | None = None, *, instance: str | None = None
    ) -> None:
        self.membership.heartbeat(
            self.group,
            member_id=member_id,
            group_instance_id=instance,
            generation_id=self.group.generation_id if generation_id is None else generation_id,
        )

    def validate_commit(
        self, member_id: str = "", generation_id: int = -1, *, instance: str | None = None
    ) -> None:
        self.membership.validate_commit(
            self.group,
            member_id=member_id,
            group_instance_id=instance,
            generation_id=generation_id,
        )

    def stable(self, count: int, *, instances: tuple[str, ...] = ()) -> list[str]:
        """Bring `count` members together; the first leads.  Returns their ids."""
        names = [*instances, *[None] * (count - len(instances))]
        answers = [self.join(instance=name) for name in names]
        self.scheduler.advance(0)
        member_ids = [answer.join.member_id for answer in answers]
        self.assign(member_ids)
        return member_ids

    def assign(self, member_ids: list[str]) -> list[Answer]:
        """Everyone syncs; the leader gives each member its own id as the assignment."""
        generation_id = self.group.generation_id
        plan = {member_id: member_id.encode() for member_id in member_ids}
        return [
            self.sync(
                member_id,
                generation_id,
                plan if member_id == self.group.leader_id else None,
            )
            for member_id in member_ids
        ]

    def heartbeat_all(self) -> None:
        for member_id in list(self.group.members):
            self.heartbeat(member_id)
