"""Which replicas cannot be served: told in pieces, held until the broker says otherwise."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.raft.errors import CorruptCommandError
from headrace.raft.offline_replicas import ITEMS_A_MESSAGE, OFFLINE, OfflineReplicas
from headrace.raft.runtime_contract import Runtime

MANY = [f"partition-{number:04}" for number in range(2 * ITEMS_A_MESSAGE + 1)]


class Pair:
    """Broker 1 tells, broker 2 hears; `is_linked` False: what is told is lost."""

    def __init__(self) -> None:
        self.is_linked = True
        self.session = 7
        self.messages = 0
        self.changed: list[str] = []
        self.take: Callable[[int, bytes], None]
        self.teller = OfflineReplicas(1, lambda _base_ids: None)
        self.hearer = OfflineReplicas(2, self.changed.extend)
        self.teller.connect(cast(Runtime, self))
        self.hearer.connect(cast(Runtime, self))
        self.hearer.peers_changed(self.live_brokers(), [])

    def live_brokers(self) -> Mapping[int, Any]:
        return {1: SimpleNamespace(session=self.session), 2: SimpleNamespace(session=1)}

    def send(self, broker_id: int, channel: str, body: bytes) -> bool:
        assert (broker_id, channel) == (2, OFFLINE)
        self.messages += 1
        if self.is_linked:
            self.take(1, body)
        return self.is_linked

    def on_message(self, channel: str, callback: Callable[[int, bytes], None]) -> None:
        if channel == OFFLINE:
            self.take = callback

    def heard(self, base_ids: list[str]) -> list[str]:
        return [each for each in base_ids if list(self.hearer.brokers_of(each)) == [1]]


def test_many_are_told_in_pieces() -> None:
    pair = Pair()
    assert pair.teller.note_own(MANY, is_offline=True) == MANY
    assert pair.messages == 3
    assert pair.heard(MANY) == pair.changed == MANY
    assert pair.teller.note_own(MANY, is_offline=True) == []  # nothing new, nothing told
    assert pair.messages == 3
    pair.teller.note_own(MANY[:-1], is_offline=False)
    assert pair.heard(MANY) == MANY[-1:]


def test_who_comes_back_hears_everything_again_and_drops_what_holds_no_more() -> None:
    pair = Pair()
    pair.teller.note_own(MANY, is_offline=True)
    pair.is_linked = False
    pair.teller.note_own(MANY[:-1], is_offline=False)
    assert pair.heard(MANY) == MANY
    pair.is_linked = True
    pair.changed.clear()
    pair.teller.peers_changed(pair.live_brokers(), [2])
    assert pair.heard(MANY) == MANY[-1:]
    assert pair.changed == MANY[:-1]
    pair.teller.note_own(MANY, is_offline=False)
    pair.teller.peers_changed(pair.live_brokers(), [2])
    assert not pair.hearer


def test_another_life_of_a_broker_begins_with_nothing_offline() -> None:
    pair = Pair()
    pair.teller.note_own(MANY[:2], is_offline=True)
    pair.hearer.peers_changed({}, [])  # its link broke: its disk is as it was
    assert pair.heard(MANY) == MANY[:2]
    pair.session = 8
    pair.hearer.peers_changed(pair.live_brokers(), [1])
    assert not pair.hearer


def test_bytes_that_no_broker_sends_change_nothing() -> None:
    pair = Pair()
    for body in (b"", b"\x93\x01\xc3\x90", b"\x94\x01\x01\x90\x90", b"\x94\x01\xc3\x91\x01\x90"):
        with pytest.raises(CorruptCommandError):
            pair.take(1, body)
    assert not pair.hearer
    assert pair.changed == []


def test_what_an_earlier_life_told_is_not_taken_for_the_next_ones() -> None:
    pair = Pair()
    pair.session = 8  # the link to the next life is up, and the loop has not heard so yet
    pair.teller.note_own(MANY[:1], is_offline=True)
    assert pair.heard(MANY[:1]) == MANY[:1]
    pair.hearer.peers_changed(pair.live_brokers(), [1])
    assert not pair.hearer
