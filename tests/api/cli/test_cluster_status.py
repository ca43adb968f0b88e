"""What `headrace cluster status` says, of a partition that is led by nobody and with --watch."""

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.api.cli import cluster_status
from headrace.api.cli.cluster_status import BrokerRow, Status, Trouble, explain_unled

BY_HAND = "headrace cluster elect clicks:0 --unclean"


def explained(
    *,
    up: set[int],
    isr: tuple[int, ...],
    voters: tuple[int, ...] | None,
    offline: int = -1,
    elr: tuple[int, ...] = (),
) -> str:
    brokers = tuple(
        BrokerRow(each, "-", None, "up" if each in up else "down", 0, 1, 1) for each in range(5)
    )
    status = Status("id", 0, 1, (0, 1, 2), (), 1, 1, brokers, (), 0)
    replicas = (0, 1, 2)
    trouble = Trouble("clicks", 0, -1, 3, replicas, isr, "offline", (offline,), voters, elr)
    return explain_unled(status, trouble)


def test_where_a_majority_is_up_a_person_may_give_records_up() -> None:
    said = explained(up={1, 2}, isr=(0,), voters=(0, 1, 2))
    assert "broker 0 is down" in said
    assert said.endswith(BY_HAND)
    said = explained(up={0, 1, 2}, isr=(0,), voters=(0, 1, 2), offline=0)
    assert "broker 0 cannot serve its log" in said
    assert said.endswith(BY_HAND)
    assert explained(up={2}, isr=(0,), voters=None).endswith(BY_HAND)  # they were not asked for


def test_who_is_eligible_to_lead_has_every_record_too() -> None:
    said = explained(up={2, 3}, isr=(0,), elr=(1,), voters=(0, 1, 2, 3, 4))
    assert (
        "In sync or eligible, with every acknowledged record, were only: broker 0 is down" in said
    )
    said = explained(up={3, 4}, isr=(0,), elr=(1, 2), voters=None)
    assert "broker 0 is down; broker 1 is down; broker 2 is down" in said
    assert "no other broker has a replica" in said


def test_where_there_is_no_other_replica_no_election_by_hand_is_told_of() -> None:
    said = explained(up={3, 4}, isr=(0, 1, 2), voters=None)
    assert said.endswith("Bring one of these back as it was: no other broker has a replica.")


@pytest.mark.parametrize(
    ("up", "isr", "voters", "who"),
    [
        ({2}, (0, 1, 2), (2, 1, 0), "1 of brokers 0,1."),
        ({2}, (0, 2), (0, 1, 2), "1 of brokers 0,1, first of all broker 0, in sync till the end."),
        (
            {4},
            (0,),
            (0, 1, 2, 3, 4),
            "2 of brokers 0,1,2,3, first of all broker 0, in sync till the end.",
        ),
        ({3}, (0, 1), (0, 1), "brokers 0,1."),
        ({1}, (0,), (0, 1), "broker 0."),
        ({3}, (1, 2), (), "brokers 0,1,2, those in sync first."),
    ],
)
def test_without_a_majority_it_says_who_must_come_back_and_nothing_of_an_election_by_hand(
    up: set[int], isr: tuple[int, ...], voters: tuple[int, ...], who: str
) -> None:
    said = explained(up=up, isr=isr, voters=voters)
    assert "headrace cluster elect" not in said
    assert said.endswith(f"not even with\n--unclean.  Bring back {who}")


def test_what_is_watched_through_a_pipe_has_an_empty_line_between_two_looks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = iter("ab")

    def look_or_stop(*_: object) -> None:
        for look in looks:
            print(look)
            return
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster_status, "_show", look_or_stop)
    args: Any = SimpleNamespace(watch=True, interval=0.0, json=False)
    client: Any = None
    with pytest.raises(KeyboardInterrupt):
        cluster_status.run_status(client, args)
    assert capsys.readouterr().out == "a\n\nb\n\n"
