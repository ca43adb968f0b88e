"""What is done to a cluster, by name: each fault strikes, lasts, and is healed."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.cluster_processes import ClusterProcesses
from tests.support.link_proxy import LinkProxies

Heal = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that was done: in words, how to undo it, and how many brokers it left able."""

    words: str
    heal: Heal
    leaves_majority: bool = True


@dataclass(frozen=True, slots=True)
class Fault:
    """`strike(cluster, leader, chance)` does it; it lasts between the bounds."""

    strike: Callable[[ClusterProcesses, int, random.Random], Strike]
    lasts_s: tuple[float, float]


def _others(cluster: ClusterProcesses, number: int) -> list[int]:
    return [other for other in cluster.brokers if other != number]


def _kill(cluster: ClusterProcesses, victim: int) -> Strike:
    cluster.kill(victim)
    return Strike(f"kill -9 broker {victim}", lambda: cluster.start([victim]))


def kill_leader(cluster: ClusterProcesses, leader: int, chance: random.Random) -> Strike:
    return _kill(cluster, leader)


def kill_any(cluster: ClusterProcesses, leader: int, chance: random.Random) -> Strike:
    return _kill(cluster, chance.choice(list(cluster.brokers)))


def kill_all(cluster: ClusterProcesses, leader: int, chance: random.Random) -> Strike:
    for number in list(cluster.brokers):
        cluster.kill(number)
    return Strike("kill -9 all", lambda: cluster.start(cluster.brokers), leaves_majority=False)


def stop_cleanly(cluster: ClusterProcesses, leader: int, chance: random.Random) -> Strike:
    code = cluster.stop(leader)
    assert code == 0, f"broker {leader} ended with {code} after SIGTERM"
    return Strike(f"SIGTERM to broker {leader}", lambda: cluster.start([leader]))


def pause_leader(cluster: ClusterProcesses, leader: int, chance: random.Random) -> Strike:
    cluster.pause(leader)
    return Strike(f"SIGSTOP broker {leader}", lambda: cluster.resume(leader))


def _proxies(cluster: ClusterProcesses) -> LinkProxies:
    assert cluster.proxies is not None, "network faults need a proxied cluster"
    return cluster.proxies


def isolate_leader(cluster: ClusterProcesses, leader: int, chance: random.Random) -> Strike:
    _proxies(cluster).isolate(leader)
    return Strike(f"broker {leader} (leader) cut off from its peers", _proxies(cluster).heal)


def isolate_from_all(cluster: ClusterProcesses, leader: int, chance: random.Random) -> Strike:
    _proxies(cluster).isolate(leader, from_clients=True)
    return Strike(f"broker {leader} (leader) cut off from everybody", _proxies(cluster).heal)


def isolate_follower(cluster: ClusterProcesses, leader: int, chance: random.Random) -> Strike:
    follower = chance.choice(_others(cluster, leader))
    _proxies(cluster).isolate(follower)
    return Strike(f"broker {follower} (follower) cut off from its peers", _proxies(cluster).heal)


def one_way(cluster: ClusterProcesses, leader: int, chance: random.Random) -> Strike:
    for other in _others(cluster, leader):
        _proxies(cluster).cut(leader, other)
    return Strike(f"nothing from broker {leader} (leader) arrives", _proxies(cluster).heal)


def deaf(cluster: ClusterProcesses, leader: int, chance: random.Random) -> Strike:
    for other in _others(cluster, leader):
        _proxies(cluster).cut(other, leader)
    return Strike(f"nothing reaches broker {leader} (leader)", _proxies(cluster).heal)


def bridge(cluster: ClusterProcesses, leader: int, chance: random.Random) -> Strike:
    other = chance.choice(_others(cluster, leader))
    _proxies(cluster).cut_both(leader, other)
    return Strike(f"brokers {leader} and {other} see only the third", _proxies(cluster).heal)


def tear_links(cluster: ClusterProcesses, leader: int, chance: random.Random) -> Strike:
    after_bytes = chance.randrange(1, 300)
    count = _proxies(cluster).tear(leader, after_bytes=after_bytes)
    words = f"{count} connections of broker {leader} torn after {after_bytes} bytes"
    return Strike(words, lambda: None)


FAULTS: dict[str, Fault] = {
    "kill-leader": Fault(kill_leader, (0.5, 2.0)),
    "kill-any": Fault(kill_any, (0.5, 2.0)),
    "kill-all": Fault(kill_all, (0.0, 0.5)),
    "stop-cleanly": Fault(stop_cleanly, (0.5, 1.0)),
    "pause-leader": Fault(pause_leader, (1.0, 5.0)),
    "isolate-leader": Fault(isolate_leader, (2.0, 6.0)),
    "isolate-from-all": Fault(isolate_from_all, (2.0, 6.0)),
    "isolate-follower": Fault(isolate_follower, (2.0, 6.0)),
    "one-way": Fault(one_way, (2.0, 6.0)),
    "deaf": Fault(deaf, (2.0, 6.0)),
    "bridge": Fault(bridge, (2.0, 6.0)),
    "tear-links": Fault(tear_links, (0.2, 1.0)),
}
