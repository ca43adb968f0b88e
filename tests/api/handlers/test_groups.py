"""The group APIs from request bytes to response bytes, at every version that is advertised."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from headrace.api.coordinator.group_coordinator import GroupCoordinator
from headrace.api.coordinator.group_settings import GroupSettings
from headrace.api.handlers.context import RequestContext
from headrace.api.handlers.routes import ROUTES
from headrace.api.wire.api_keys import ApiKey
from headrace.api.wire.codec import (
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from headrace.api.wire.error_codes import ErrorCode
from headrace.core.errors import HeadraceError, KafkaStorageError
from headrace.raft.cluster_commands import CreateTopic
from headrace.raft.cluster_state import ClusterState
from tests.api.coordinator.test_subscription import subscription
from tests.support.manual_clock import ManualClock
from tests.support.manual_scheduler import ManualScheduler
from tests.support.offsets_partitions import FakeReplicas

CLICKS_ID = b"clicks-topic-id!"
NEVER_ASKED = -(2**31)


class GroupBroker:
    """What the group handlers use of a broker."""

    def __init__(self, *, has_offsets_topic: bool = True) -> None:
        self.node_id = 5
        self.clock = ManualClock()
        self.scheduler = ManualScheduler(self.clock)
        self.replicas = FakeReplicas()
        self.exists = False
        self.disk_failure: HeadraceError | None = None
        self.cluster_state = ClusterState()
        self.cluster_state.apply(CreateTopic("clicks", CLICKS_ID, ((5,), (5,)), ()))
        self.groups = GroupCoordinator(
            replicas=self.replicas,
            clock=self.clock,
            schedule=self.scheduler.schedule,
            settings=GroupSettings(group_initial_rebalance_delay_ms=0),
            create_offsets_topic=self.create_offsets_topic,
            offsets_partition_count=lambda: int(self.exists),
        )
        if has_offsets_topic:
            self.lead()

    async def create_offsets_topic(self) -> None:
        if self.disk_failure is not None:
            raise self.disk_failure
        self.lead()

    def lead(self) -> None:
        self.exists = True
        self.groups.on_partition_online(self.replicas.partition("__consumer_offsets", 0))

    def describe_brokers(
        self, listener_name: str, *, names_missing: bool = False
    ) -> list[dict[str, Any]]:
        return [{"node_id": 5, "host": f"{listener_name}.local", "port": 9092, "rack": None}]

    def start(self, key: ApiKey, version: int, body: dict[str, Any]) -> Any:
        """Call the handler of `key`; its body, or an awaitable of it."""
        route = ROUTES[key]
        assert route.min_version <= version <= route.max_version
        request = decode_request(key, version, encode_request(key, version, body))
        context = RequestContext(
            api_key=key, api_version=version, client_id="me", client_host="127.0.0.1"
        )
        return route.handler(self, context, request)  # type: ignore[arg-type]

    async def ask(self, key: ApiKey, version: int, body: dict[str, Any]) -> dict[str, Any]:
        """The response as the client decodes it."""
        answer = self.start(key, version, body)
        self.scheduler.advance(0)
        answer = answer if isinstance(answer, dict) else await answer
        return decode_response(key, version, encode_response(key, version, answer))

    async def join(
        self, version: int = 9, member_id: str = "", instance: str | None = None
    ) -> dict[str, Any]:
        body = {
            "group_id": "g",
            "session_timeout_ms": 10_000,
            "rebalance_timeout_ms": 60_000,
            "member_id": member_id,
            "group_instance_id": instance,
            "protocol_type": "consumer",
            "protocols": [{"name": "range", "metadata": subscription(["clicks"])}],
            "reason": None,
        }
        return await self.ask(ApiKey.JOIN_GROUP, version, body)

    async def sync(self, member_id: str, generation_id: int, version: int = 5) -> dict[str, Any]:
        body = {
            "group_id": "g",
            "generation_id": generation_id,
            "member_id": member_id,
            "protocol_type": "consumer" if version >= 5 else None,
            "protocol_name": "range" if version >= 5 else None,
            "assignments": [{"member_id": member_id, "assignment": b"plan"}],
        }
        return await self.ask(ApiKey.SYNC_GROUP, version, body)

    async def member(self) -> str:
        """A group of one, Stable; its member id."""
        first = await self.join(3)
        await self.sync(first["member_id"], first["generation_id"], 3)
        member_id: str = first["member_id"]
        return member_id

    async def commit(
        self,
        version: int,
        offset: int = 7,
        *,
        topic: str = "clicks",
        partition: int = 0,
        topic_id: bytes = CLICKS_ID,
        **fields: Any,
    ) -> int:
        body = {
            "group_id": "g",
            "topics": [
                {
                    "name": topic,
                    "topic_id": topic_id,
                    "partitions": [
                        {
                            "partition_index": partition,
                            "committed_offset": offset,
                            "committed_leader_epoch": 2,
                            "committed_metadata": "note",
                        }
                    ],
                }
            ],
            **fields,
        }
        answer = await self.ask(ApiKey.OFFSET_COMMIT, version, body)
        code: int = answer["topics"][0]["partitions"][0]["error_code"]
        return code

    async def fetch(
        self, version: int, topics: Any = "clicks", *, topic_id: bytes = CLICKS_ID
    ) -> dict[str, Any]:
        """The group's answer, whatever the version wraps around it."""
        asked = topics
        if topics is not None:
            topic = {"topic_id": topic_id} if version >= 10 else {"name": topics}
            asked = [{**topic, "partition_indexes": [0, 1]}]
        group = {"group_id": "g", "topics": asked}
        body = {"groups": [group], "require_stable": True} if version >= 8 else group
        answer = await self.ask(ApiKey.OFFSET_FETCH, version, body)
        found: dict[str, Any] = answer["groups"][0] if version >= 8 else answer
        return found


def versions(key: ApiKey) -> list[int]:
    route = ROUTES[key]
    return list(range(route.min_version, route.max_version + 1))


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


# -- coordinator --------------------------------------------------------------------------


@pytest.mark.parametrize("version", versions(ApiKey.FIND_COORDINATOR))
def test_the_coordinator_is_this_broker_at_the_listeners_address(version: int) -> None:
    async def story() -> None:
        broker = GroupBroker(has_offsets_topic=False)
        body = {"key": "g", "key_type": 0, "coordinator_keys": ["g", "h"]}
        answer = await broker.ask(ApiKey.FIND_COORDINATOR, version, body)
        found = answer["coordinators"] if version >= 4 else [answer]
        assert [(f["node_id"], f["host"], f["port"], f["error_code"]) for f in found] == [
            (5, "PLAINTEXT.local", 9092, 0)
        ] * (2 if version >= 4 else 1)
        assert broker.exists, "the first look-up makes __consumer_offsets"

    run(story())


@pytest.mark.parametrize("version", [1, 3, 4, 6])
def test_a_transaction_coordinator_is_refused_in_words(
    version: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        broker = GroupBroker(has_offsets_topic=False)
        body = {"key": "t", "key_type": 1, "coordinator_keys": ["t", "u"]}
        answer = await broker.ask(ApiKey.FIND_COORDINATOR, version, body)
        found = answer["coordinators"][0] if version >= 4 else answer
        assert found["error_code"] == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        assert "groups only" in found["error_message"]
        assert not broker.exists

    run(story())
    # Java's producer asks here first, and shows its user the code alone.
    (said,) = caplog.messages
    assert "transactional.id=t)" in said
    assert "not supported" in said


@pytest.mark.parametrize("version", [0, 3, 6])
def test_a_disk_that_cannot_hold_the_offsets_is_told_to_try_again(version: int) -> None:
    async def story() -> None:
        broker = GroupBroker(has_offsets_topic=False)
        broker.disk_failure = KafkaStorageError(Path("/data"), "no space left")
        body = {"key": "g", "coordinator_keys": ["g"]}
        answer = await broker.ask(ApiKey.FIND_COORDINATOR, version, body)
        found = answer["coordinators"][0] if version >= 4 else answer
        assert found["error_code"] == ErrorCode.COORDINATOR_NOT_AVAILABLE

    run(story())


# -- membership ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", versions(ApiKey.JOIN_GROUP))
def test_a_member_joins_at_every_version(version: int) -> None:
    async def story() -> None:
        broker = GroupBroker()
        answer = await broker.join(version)
        if version >= 4:
            assert answer["error_code"] == ErrorCode.MEMBER_ID_REQUIRED
            answer = await broker.join(version, answer["member_id"])
        assert answer["error_code"] == 0
        assert answer["member_id"].startswith("me-")
        assert answer["leader"] == answer["member_id"]
        assert (answer["generation_id"], answer["protocol_name"]) == (1, "range")
        assert [m["member_id"] for m in answer["members"]] == [answer["member_id"]]
        if version >= 7:
            assert answer["protocol_type"] == "consumer"

    run(story())


@pytest.mark.parametrize("version", versions(ApiKey.JOIN_GROUP))
def test_a_refused_join_has_no_generation_and_no_protocol(version: int) -> None:
    async def story() -> None:
        answer = await GroupBroker().join(version, "nobody")
        assert answer["error_code"] == ErrorCode.UNKNOWN_MEMBER_ID
        assert answer["generation_id"] == -1
        assert answer["protocol_name"] == (None if version >= 7 else "")
        assert answer["member_id"] == "nobody"

    run(story())


@pytest.mark.parametrize("version", versions(ApiKey.SYNC_GROUP))
def test_a_leader_brings_and_gets_its_assignment(version: int) -> None:
    async def story() -> None:
        broker = GroupBroker()
        joined = await broker.join(3)
        answer = await broker.sync(joined["member_id"], 1, version)
        assert (answer["error_code"], answer["assignment"]) == (0, b"plan")
        if version >= 5:
            assert answer["protocol_name"] == "range"
        refused = await broker.sync(joined["member_id"], 9, version)
        assert refused["error_code"] == ErrorCode.ILLEGAL_GENERATION

    run(story())


@pytest.mark.parametrize("version", versions(ApiKey.HEARTBEAT))
def test_heartbeats_are_answered_by_the_members_standing(version: int) -> None:
    async def story() -> None:
        broker = GroupBroker()
        member_id = await broker.member()
        for generation_id, name, expected in (
            (1, member_id, ErrorCode.NONE),
            (2, member_id, ErrorCode.ILLEGAL_GENERATION),
            (1, "nobody", ErrorCode.UNKNOWN_MEMBER_ID),
        ):
            body = {"group_id": "g", "generation_id": generation_id, "member_id": name}
            answer = await broker.ask(ApiKey.HEARTBEAT, version, body)
            assert answer["error_code"] == expected

    run(story())


@pytest.mark.parametrize("version", versions(ApiKey.LEAVE_GROUP))
def test_leaving_is_answered_for_each_member(version: int) -> None:
    async def story() -> None:
        broker = GroupBroker()
        member_id = await broker.member()
        body = {
            "group_id": "g",
            "member_id": "nobody",
            "members": [{"member_id": "nobody"}, {"member_id": member_id}],
        }
        answer = await broker.ask(ApiKey.LEAVE_GROUP, version, body)
        if version < 3:
            assert answer["error_code"] == ErrorCode.UNKNOWN_MEMBER_ID
            body["member_id"] = member_id
            assert (await broker.ask(ApiKey.LEAVE_GROUP, version, body))["error_code"] == 0
        else:
            assert answer["error_code"] == 0
            codes = [member["error_code"] for member in answer["members"]]
            assert codes == [ErrorCode.UNKNOWN_MEMBER_ID, 0]
        assert broker.groups.describe_group("g").state == "Empty"

    run(story())


def test_an_empty_group_id_has_no_members() -> None:
    async def story() -> None:
        body = {"group_id": "", "generation_id": 0, "member_id": ""}
        answer = await GroupBroker().ask(ApiKey.HEARTBEAT, 4, body)
        assert answer["error_code"] == ErrorCode.INVALID_GROUP_ID

    run(story())


# -- offsets ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", versions(ApiKey.OFFSET_COMMIT))
def test_commits_of_every_version_are_fetched_again(version: int) -> None:
    async def story() -> None:
        broker = GroupBroker()
        assert await broker.commit(version) == 0
        answer = await broker.fetch(9)
        first, second = answer["topics"][0]["partitions"]
        assert (first["committed_offset"], first["metadata"]) == (7, "note")
        assert first["committed_leader_epoch"] == (2 if version >= 6 else -1)
        assert (second["committed_offset"], second["error_code"]) == (-1, 0)

    run(story())


@pytest.mark.parametrize("version", versions(ApiKey.OFFSET_COMMIT))
def test_commits_to_unknown_partitions_fail_alone(version: int) -> None:
    async def story() -> None:
        broker = GroupBroker()
        unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert await broker.commit(version, partition=2) == unknown
        if version < 10:
            assert await broker.commit(version, topic="nothing") == unknown
        else:
            missing = await broker.commit(version, topic_id=b"no such topic id")
            assert missing == ErrorCode.UNKNOWN_TOPIC_ID

    run(story())


@pytest.mark.parametrize(
    ("version", "expected"),
    [(8, ErrorCode.ILLEGAL_GENERATION), (9, ErrorCode.GROUP_ID_NOT_FOUND)],
)
def test_a_generation_of_an_unknown_group(version: int, expected: ErrorCode) -> None:
    async def story() -> None:
        code = await GroupBroker().commit(version, generation_id_or_member_epoch=3, member_id="m")
        assert code == expected

    run(story())


def test_a_commit_without_a_member_is_refused_while_the_group_lives() -> None:
    async def story() -> None:
        broker = GroupBroker()
        member_id = await broker.member()
        assert await broker.commit(9) == ErrorCode.UNKNOWN_MEMBER_ID
        fenced: dict[str, Any] = {"generation_id_or_member_epoch": 1, "member_id": member_id}
        assert await broker.commit(9, **fenced) == 0

    run(story())


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_retention_of_its_own_ends_an_offset(version: int) -> None:
    async def story() -> None:
        broker = GroupBroker()
        await broker.commit(version, retention_time_ms=1_000)
        broker.groups.expire_offsets(broker.clock.now_ms() + 999)
        assert broker.groups.fetch_offsets("g")
        broker.groups.expire_offsets(broker.clock.now_ms() + 1_000)
        assert not broker.groups.fetch_offsets("g")

    run(story())


def test_a_waiting_commit_is_answered_when_the_high_watermark_passed() -> None:
    async def story() -> None:
        broker = GroupBroker()
        partition = broker.replicas.partitions[0]
        partition.is_held = True
        waiting = asyncio.ensure_future(broker.commit(9))
        await asyncio.sleep(0)
        assert not waiting.done()
        partition.release()
        assert await waiting == 0

    run(story())


@pytest.mark.parametrize("version", versions(ApiKey.OFFSET_FETCH))
def test_a_group_that_does_not_exist_fetches_nothing_without_an_error(version: int) -> None:
    async def story() -> None:
        answer = await GroupBroker().fetch(version)
        if version >= 2:
            assert answer["error_code"] == 0
        partitions = answer["topics"][0]["partitions"]
        assert [(p["committed_offset"], p["error_code"]) for p in partitions] == [(-1, 0)] * 2
        assert {p["metadata"] for p in partitions} == {""}

    run(story())


@pytest.mark.parametrize("version", versions(ApiKey.OFFSET_FETCH)[1:])
def test_null_fetches_all_topics_of_a_group(version: int) -> None:
    async def story() -> None:
        broker = GroupBroker()
        await broker.commit(9)
        answer = await broker.fetch(version, None)
        (topic,) = answer["topics"]
        assert topic["topic_id" if version >= 10 else "name"] in ("clicks", CLICKS_ID)
        assert [p["committed_offset"] for p in topic["partitions"]] == [7]

    run(story())


@pytest.mark.parametrize("version", versions(ApiKey.OFFSET_FETCH))
def test_a_fetch_that_finds_no_coordinator_says_so_where_the_version_can(version: int) -> None:
    async def story() -> None:
        answer = await GroupBroker(has_offsets_topic=False).fetch(version)
        if version >= 2:
            assert answer["error_code"] == ErrorCode.NOT_COORDINATOR
            assert answer["topics"] == []
        else:
            codes = {p["error_code"] for p in answer["topics"][0]["partitions"]}
            assert codes == {ErrorCode.NOT_COORDINATOR}

    run(story())


def test_an_unknown_topic_id_is_told_in_its_partitions() -> None:
    async def story() -> None:
        answer = await GroupBroker().fetch(10, topic_id=b"no such topic id")
        codes = {p["error_code"] for p in answer["topics"][0]["partitions"]}
        assert codes == {ErrorCode.UNKNOWN_TOPIC_ID}

    run(story())


def test_offsets_are_deleted_unless_their_topic_is_consumed() -> None:
    async def story() -> None:
        broker = GroupBroker()
        await broker.commit(9)
        parts = [{"partition_index": 0}, {"partition_index": 9}]
        body = {"group_id": "g", "topics": [{"name": "clicks", "partitions": parts}]}
        answer = await broker.ask(ApiKey.OFFSET_DELETE, 0, body)
        codes = [p["error_code"] for p in answer["topics"][0]["partitions"]]
        assert codes == [0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
        assert not broker.groups.fetch_offsets("g")
        await broker.member()
        answer = await broker.ask(ApiKey.OFFSET_DELETE, 0, body)
        codes = [p["error_code"] for p in answer["topics"][0]["partitions"]]
        assert codes[0] == ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
        body["group_id"] = "nobody"
        answer = await broker.ask(ApiKey.OFFSET_DELETE, 0, body)
        assert answer["error_code"] == ErrorCode.GROUP_ID_NOT_FOUND

    run(story())


# -- administration -----------------------------------------------------------------------


@pytest.mark.parametrize("version", versions(ApiKey.DESCRIBE_GROUPS))
def test_a_stable_group_is_described_with_its_members(version: int) -> None:
    async def story() -> None:
        broker = GroupBroker()
        member_id = await broker.member()
        body = {"groups": ["g"], "include_authorized_operations": version >= 3}
        (group,) = (await broker.ask(ApiKey.DESCRIBE_GROUPS, version, body))["groups"]
        assert (group["group_state"], group["protocol_type"]) == ("Stable", "consumer")
        assert group["protocol_data"] == "range"
        (member,) = group["members"]
        assert member["member_id"] == member_id
        assert (member["client_id"], member["client_host"]) == ("me", "/127.0.0.1")
        assert member["member_metadata"] == subscription(["clicks"])
        assert member["member_assignment"] == b"plan"
        if version >= 3:
            assert group["authorized_operations"] == 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11

    run(story())


@pytest.mark.parametrize("version", versions(ApiKey.DESCRIBE_GROUPS))
def test_an_unknown_group_is_dead_and_from_version_6_on_an_error(version: int) -> None:
    async def story() -> None:
        body = {"groups": ["nobody"]}
        (group,) = (await GroupBroker().ask(ApiKey.DESCRIBE_GROUPS, version, body))["groups"]
        assert group["group_state"] == "Dead"
        assert group["error_code"] == (ErrorCode.GROUP_ID_NOT_FOUND if version >= 6 else 0)
        if version >= 3:
            assert group["authorized_operations"] == NEVER_ASKED

    run(story())


def test_members_of_a_rebalancing_group_have_no_assignment() -> None:
    async def story() -> None:
        broker = GroupBroker()
        await broker.member()
        waiting = asyncio.ensure_future(broker.join(3))
        await asyncio.sleep(0)
        body = {"groups": ["g"]}
        (group,) = (await broker.ask(ApiKey.DESCRIBE_GROUPS, 5, body))["groups"]
        assert (group["group_state"], group["protocol_data"]) == ("PreparingRebalance", "")
        assert {m["member_assignment"] for m in group["members"]} == {b""}
        waiting.cancel()

    run(story())


@pytest.mark.parametrize("version", versions(ApiKey.LIST_GROUPS))
def test_groups_are_listed_and_filtered(version: int) -> None:
    async def story() -> None:
        broker = GroupBroker()
        await broker.member()
        await broker.commit(9, group_id="simple")
        everything = (await broker.ask(ApiKey.LIST_GROUPS, version, {}))["groups"]
        found = {group["group_id"]: group["protocol_type"] for group in everything}
        assert found == {"g": "consumer", "simple": ""}
        if version >= 4:
            body: dict[str, Any] = {"states_filter": ["stable"]}
            (stable,) = (await broker.ask(ApiKey.LIST_GROUPS, version, body))["groups"]
            assert (stable["group_id"], stable["group_state"]) == ("g", "Stable")
        if version >= 5:
            for types, count in ((["Classic"], 2), (["consumer"], 0), (["share", "classic"], 2)):
                body = {"types_filter": types}
                listed = (await broker.ask(ApiKey.LIST_GROUPS, version, body))["groups"]
                assert [g["group_type"] for g in listed] == ["classic"] * count

    run(story())


@pytest.mark.parametrize("version", versions(ApiKey.DELETE_GROUPS))
def test_only_empty_groups_are_deleted(version: int) -> None:
    async def story() -> None:
        broker = GroupBroker()
        await broker.member()
        await broker.commit(9, group_id="simple")
        body = {"groups_names": ["g", "simple", "nobody"]}
        answer = await broker.ask(ApiKey.DELETE_GROUPS, version, body)
        assert [(r["group_id"], r["error_code"]) for r in answer["results"]] == [
            ("g", ErrorCode.NON_EMPTY_GROUP),
            ("simple", ErrorCode.NONE),
            ("nobody", ErrorCode.GROUP_ID_NOT_FOUND),
        ]

    run(story())
