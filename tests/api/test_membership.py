"""How a broker finds, forms, enters and leaves a cluster, with addresses that the test answers."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.api import membership
from headrace.api.broker_config import BrokerConfig, Listener
from headrace.api.membership import Membership
from headrace.core.errors import InconsistentLogDirError
from headrace.raft.broker_identity import BrokerIdentity
from headrace.raft.cluster_commands import RegisterBroker, UnregisterBroker
from headrace.raft.cluster_group import Standing
from headrace.raft.errors import NotControllerError
from headrace.raft.link_hello import LinkResult
from tests.support.manual_clock import ManualClock

OWN = Listener("PLAINTEXT", "localhost", 9092)
OTHER = ("127.0.0.1", 9093)
OTHERS_ANSWER = LinkResult(broker_id=1, session=5, cluster_id="theirs", is_reached=True)
NOBODY = LinkResult(refusal="nobody listens")

Answer = Callable[[tuple[str, int], int], LinkResult]


class PlayedRuntime:
    """Answers each dial by `answer(address, how often it was asked)`."""

    answer: Answer = staticmethod(lambda _address, _count: NOBODY)

    def __init__(self, **_: Any) -> None:
        self.session = 7
        self.cluster_id = ""
        self.on_seed: Any = None
        self.on_peers_changed: list[Any] = []
        self.addresses: list[dict[int, tuple[str, int]]] = []
        self.asked: list[tuple[str, int]] = []
        self.is_started = False

    def introduce(self, **_: Any) -> None: ...

    def on_message(self, *_: Any) -> None: ...

    def set_addresses(self, addresses: dict[int, tuple[str, int]], _lives: Any) -> None:
        self.addresses.append(dict(addresses))

    def dial(self, host: str, port: int, on_done: Callable[[LinkResult], None]) -> None:
        self.asked.append((host, port))
        answer = type(self).answer((host, port), self.asked.count((host, port)))
        asyncio.get_running_loop().call_soon(on_done, answer)

    def start(self) -> None:
        self.is_started = True


class PlayedGroup:
    """The cluster's group: decides a registration after `refusals` of them."""

    def __init__(self, standing: Standing, refusals: int = 0) -> None:
        self.broker_id = 0
        self.standing = standing
        self.state = SimpleNamespace(brokers={})
        self.voters: tuple[int, ...] = (0,)
        self.refusals = refusals
        self.journaled: list[Any] = []
        self.proposed: list[Any] = []
        self.listeners: list[Any] = []
        self.is_formed = False

    def add_listener(self, listener: Any) -> None:
        self.listeners.append(listener)

    def connect(self, *_: Any) -> None: ...

    def form(self) -> None:
        self.is_formed = True
        self.standing = Standing.SOLO

    def propose(self, command: Any, on_done: Any) -> None:
        self.proposed.append(command)
        late = len(self.proposed) <= self.refusals
        on_done(NotControllerError("nobody decides yet") if late else command)


class Stage:
    """One broker; call within a loop."""

    def __init__(
        self,
        *bootstrap: str,
        standing: Standing = Standing.FOLLOWER,
        cluster_id: str = "",
        refusals: int = 0,
        config: BrokerConfig | None = None,
    ) -> None:
        self.group = PlayedGroup(standing, refusals)
        self.folders = SimpleNamespace(cluster_id=cluster_id, adopt_cluster_id=self._adopt)
        self.led = 0
        self.deletions = 0
        self.fatal: list[str] = []
        self.wal = SimpleNamespace(on_failure=None)
        self.replicas = SimpleNamespace(
            seats=SimpleNamespace(stop_leading=self._hand_over),
            connect=lambda *_, **__: None,
            finish_deletions=self._finish,
            led_count=lambda: self.led,
            on_state_taken=None,
        )
        settings = config or BrokerConfig(
            controller_quorum_bootstrap_servers=bootstrap,
            listeners=(OWN,),
            advertised_listeners=(OWN,),
        )
        parts: dict[str, Any] = {
            "config": settings,
            "identity": BrokerIdentity(wal_id=9, incarnation=3, session=7, has_kept_cache=True),
            "wal": self.wal,
            "log_manager": self.folders,
            "cluster_group": self.group,
            "replicas": self.replicas,
            "clock": ManualClock(),
            "on_fatal": self.fatal.append,
        }
        self.member = Membership(**parts)

    def _adopt(self, cluster_id: str) -> None:
        self.folders.cluster_id = cluster_id or "new"

    def _finish(self) -> None:
        self.deletions += 1

    def _hand_over(self) -> None:
        asyncio.get_running_loop().call_soon(self._one_less)

    def _one_less(self) -> None:
        self.led -= 1
        self.replicas.on_state_taken(None)
        if self.led:
            asyncio.get_running_loop().call_soon(self._one_less)

    @property
    def runtime(self) -> Any:
        return self.member.runtime


@pytest.fixture(autouse=True)
def _played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "RaftRuntime", PlayedRuntime)
    monkeypatch.setattr(membership, "ASK_AGAIN_S", 0)
    monkeypatch.setattr(membership, "REGISTER_AGAIN_S", 0)


def play(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, act: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    monkeypatch.setattr(PlayedRuntime, "answer", staticmethod(answer))
    asyncio.run(asyncio.wait_for(act(), 30))


def test_the_first_of_the_list_forms_a_cluster_where_nobody_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def act() -> None:
        stage = Stage("127.0.0.1:9092", "127.0.0.1:9093")  # it is advertised as localhost
        await stage.member.join((OWN,))
        assert stage.group.is_formed
        assert stage.folders.cluster_id
        assert stage.runtime.cluster_id == stage.folders.cluster_id
        assert set(stage.runtime.asked) == {OTHER}, "not itself"
        (registration,) = stage.group.proposed
        assert (registration.broker_id, registration.incarnation) == (0, 3)
        assert registration.listeners == (("PLAINTEXT", "localhost", 9092),)

    play(monkeypatch, lambda _address, _count: NOBODY, act)


def test_any_other_asks_on_until_somebody_tells_of_a_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def act() -> None:
        stage = Stage("127.0.0.1:9093", "localhost:9092")
        await stage.member.join((OWN,))
        assert not stage.group.is_formed
        assert stage.runtime.asked.count(OTHER) >= 9
        assert stage.folders.cluster_id == stage.runtime.cluster_id == "theirs"
        assert {1: OTHER} in stage.runtime.addresses
        assert stage.deletions == 1

    play(monkeypatch, lambda _, count: OTHERS_ANSWER if count >= 9 else NOBODY, act)


def test_a_folder_of_a_cluster_is_not_formed_anew_by_the_first_of_the_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def act() -> None:
        stage = Stage("localhost:9092", "127.0.0.1:9093", cluster_id="theirs")
        await stage.member.join((OWN,))
        assert not stage.group.is_formed
        assert stage.folders.cluster_id == "theirs"

    play(monkeypatch, lambda _, count: OTHERS_ANSWER if count >= 4 else NOBODY, act)


def test_without_others_in_the_list_a_cluster_is_formed_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def act() -> None:
        stage = Stage("localhost:9092")
        await stage.member.join((OWN,))
        assert stage.group.is_formed
        assert stage.runtime is None, "no Raft thread"

    play(monkeypatch, lambda _address, _count: NOBODY, act)


def test_a_refusal_that_stays_is_told_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = LinkResult(broker_id=1, refusal="broker id 0 is taken", is_reached=True)

    async def act() -> None:
        stage = Stage("127.0.0.1:9093")
        with pytest.raises(InconsistentLogDirError, match=r"127\.0\.0\.1:9093 refuses: broker id"):
            await stage.member.join((OWN,))
        assert len(stage.runtime.asked) == membership.REFUSED_TRIES + 1
        assert not stage.group.proposed

    play(monkeypatch, lambda _address, _count: refusal, act)


@pytest.mark.parametrize("others", [(), ("127.0.0.1:9093",)])
def test_the_first_of_the_list_may_name_itself_otherwise_than_its_listeners(
    monkeypatch: pytest.MonkeyPatch, others: tuple[str, ...]
) -> None:
    itself = LinkResult(broker_id=0, session=7, refusal="this is broker 0 itself", is_reached=True)

    async def act() -> None:
        stage = Stage("this-machine:9092", *others)
        await stage.member.join((OWN,))
        assert stage.group.is_formed

    play(monkeypatch, lambda address, _: NOBODY if address[1] == 9093 else itself, act)


def test_a_later_one_of_the_list_may_do_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    itself = LinkResult(broker_id=0, session=7, refusal="this is broker 0 itself", is_reached=True)

    async def act() -> None:
        stage = Stage("127.0.0.1:9093", "this-machine:9092")
        await stage.member.join((OWN,))
        assert not stage.group.is_formed
        assert stage.runtime.cluster_id == OTHERS_ANSWER.cluster_id

    play(monkeypatch, lambda address, _: itself if address[1] == 9092 else OTHERS_ANSWER, act)


@pytest.mark.parametrize(
    ("refusal", "cluster_id", "remedy"),
    [
        ("broker id 0 is taken", "c", "; stop that one, or set another node.id here"),
        ("cluster id own: no", "c", "; what is in log.dirs here belongs to cluster own: choose"),
        ("link version 9: this broker speaks 1", "own", ""),
    ],
)
def test_a_refusal_says_what_to_change(
    monkeypatch: pytest.MonkeyPatch, refusal: str, cluster_id: str, remedy: str
) -> None:
    answer = LinkResult(broker_id=1, cluster_id=cluster_id, refusal=refusal, is_reached=True)
    own_id = "" if "taken" in refusal else "own"

    async def act() -> None:
        stage = Stage("127.0.0.1:9093", cluster_id=own_id)
        with pytest.raises(InconsistentLogDirError) as caught:
            await stage.member.join((OWN,))
        assert f"127.0.0.1:9093 refuses: {refusal}{remedy}" in str(caught.value)

    play(monkeypatch, lambda _address, _count: answer, act)


def test_where_no_cluster_is_found_each_address_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = LinkResult(broker_id=4, is_reached=True)
    closed = LinkResult(refusal="127.0.0.1:9094: [Errno 111] Connection refused")

    def answer(address: tuple[str, int], count: int) -> LinkResult:
        if count > 2:
            return OTHERS_ANSWER
        return waiting if address[1] == 9093 else closed

    async def act() -> None:
        await Stage("127.0.0.1:9093", "127.0.0.1:9094").member.join((OWN,))

    play(monkeypatch, answer, act)
    assert caplog.messages[0] == (
        "no cluster found yet, asking on: 127.0.0.1:9093: broker 4 waits for its cluster too; "
        "127.0.0.1:9094: [Errno 111] Connection refused"
    )


def test_a_refusal_by_our_last_life_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = LinkResult(broker_id=1, refusal="broker id 0 is taken", is_reached=True)

    async def act() -> None:
        stage = Stage("127.0.0.1:9093", standing=Standing.VOTER)
        await stage.member.join((OWN,))
        assert len(stage.group.proposed) == 1

    play(monkeypatch, lambda _, count: refusal if count < 3 else OTHERS_ANSWER, act)


def test_it_registers_until_the_cluster_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act() -> None:
        stage = Stage("127.0.0.1:9093", refusals=4)
        await stage.member.join((OWN,))
        assert len(stage.group.proposed) == 5
        assert all(isinstance(each, RegisterBroker) for each in stage.group.proposed)

    play(monkeypatch, lambda _address, _count: OTHERS_ANSWER, act)


@pytest.mark.parametrize(("said_after_s", "said"), [(1, 0), (0, 1)])
def test_only_a_wait_that_lasts_is_warned_about(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    said_after_s: int,
    said: int,
) -> None:
    monkeypatch.setattr(membership, "SAY_WAITING_S", said_after_s)

    async def act() -> None:
        await Stage("127.0.0.1:9093", refusals=4).member.join((OWN,))

    play(monkeypatch, lambda _address, _count: OTHERS_ANSWER, act)
    assert sum("not registered" in each for each in caplog.messages) == said


def test_links_follow_registrations(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act() -> None:
        stage = Stage("127.0.0.1:9093")
        await stage.member.join((OWN,))
        (applied,) = stage.group.listeners
        brokers = stage.group.state.brokers
        for broker_id, port in ((0, 9092), (1, 9095)):
            brokers[broker_id] = SimpleNamespace(broker_id=broker_id, host="h", port=port)
        applied(RegisterBroker(1, 2, "h", 9095), None)
        assert stage.runtime.addresses[-1] == {1: ("h", 9095)}, "no link to itself"
        del brokers[1]
        applied(UnregisterBroker(1), None)
        assert stage.runtime.addresses[-1] == {}

    play(monkeypatch, lambda _address, _count: OTHERS_ANSWER, act)


def test_a_broker_leaves_once_others_lead_what_it_led(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act() -> None:
        stage = Stage("127.0.0.1:9093")
        await stage.member.join((OWN,))
        stage.led = 3
        assert await stage.member.leave()
        assert stage.led == 0
        assert not await stage.member.leave(), "nothing was left to hand over"

    play(monkeypatch, lambda _address, _count: OTHERS_ANSWER, act)


def test_a_broker_that_is_alone_or_told_not_to_hands_nothing_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def act() -> None:
        alone = Stage("localhost:9092")
        await alone.member.join((OWN,))
        unasked = Stage(
            config=BrokerConfig(
                controller_quorum_bootstrap_servers=("127.0.0.1:9093",),
                controlled_shutdown_enable=False,
            )
        )
        await unasked.member.join((OWN,))
        for stage in (alone, unasked):
            stage.led = 1
            assert not await stage.member.leave()
            assert stage.led == 1

    play(monkeypatch, lambda _address, _count: OTHERS_ANSWER, act)


def test_a_failed_journal_ends_a_broker_among_others_and_not_one_that_is_alone() -> None:
    async def play() -> None:
        stage = Stage("127.0.0.1:9093")
        assert stage.wal.on_failure is None
        stage.member.take_part()
        stage.wal.on_failure("the disk does not write")
        assert stage.fatal == [], "it may be told under a lock, on another thread"
        await asyncio.sleep(0)
        assert stage.fatal == ["the disk does not write"]

    asyncio.run(play())


@pytest.mark.parametrize(
    ("standing", "awaited"),
    [
        (Standing.VOTER, "a majority of brokers 0,1,2, which vote on the cluster"),
        (Standing.FOLLOWER, "the Controller of the cluster"),
    ],
)
def test_who_waits_to_be_registered_says_for_whom(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    standing: Standing,
    awaited: str,
) -> None:
    monkeypatch.setattr(membership, "SAY_WAITING_S", 0)

    async def act() -> None:
        stage = Stage(standing=standing)
        stage.group.state.brokers[1] = SimpleNamespace(broker_id=1, host="localhost", port=9093)
        stage.group.voters = (2, 0, 1)
        stage.member.take_part().live_brokers = lambda: {1: None, 0: None}  # type: ignore
        decided: list[Any] = []
        stage.group.propose = lambda _command, on_done: decided.append(on_done)  # type: ignore
        joining = asyncio.ensure_future(stage.member.join((OWN,)))
        while not caplog.messages:
            await asyncio.sleep(0)
        decided[0]("registered")
        await joining
        assert caplog.messages == [f"waiting for {awaited}, to register; up are 0,1"]

    with caplog.at_level("INFO"):
        play(monkeypatch, lambda _address, _count: NOBODY, act)
