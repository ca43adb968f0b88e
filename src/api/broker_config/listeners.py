"""Where a broker listens and what it tells its clients: `listeners`, `advertised.listeners`.

listeners=PLAINTEXT://:9092                 name://host:port, comma separated
PLAINTEXT://:9092                           localhost only (Kafka: every interface)
PLAINTEXT://0.0.0.0 and a port              every interface; advertised.listeners must be given,
                                            or clients would be told to connect to 0.0.0.0
"""

import re
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ...core.address_text import address_text
from ...core.errors import InvalidConfigError

SUPPORTED_PROTOCOLS = ("PLAINTEXT",)
KNOWN_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_PLAINTEXT = "PLAINTEXT"
_NO_ADDRESSES = {socket.AF_INET: bytes(4), socket.AF_INET6: bytes(16)}
_LISTENER = re.compile(r"^([A-Za-z0-9_.-]+)://(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/]*):(-?\d+)$")

_HOST_AND_PORT = re.compile(r"^(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/@\s]+):(\d{1,5})$")


@dataclass(frozen=True, slots=True)
class Listener:
    """One address with its name.  `port` 0 lets the system choose a free one."""

    name: str
    host: str
    port: int
    security_protocol: str = "PLAINTEXT"

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for every interface, which is no address a client can use."""
        return any(_packed(family, self.host) == none for family, none in _NO_ADDRESSES.items())

    @property
    def address(self) -> str:
        """`host:port`, with brackets around an IPv6 address."""
        return address_text(self.host, self.port)

    def __str__(self) -> str:
        return f"{self.name}://{self.address}"


def parse_protocol_map(text: str) -> dict[str, str]:
    """listener.security.protocol.map: listener name -> security protocol."""
    mapping: dict[str, str] = {}
    for entry in (part.strip() for part in text.split(",")):
        if not entry:
            continue
        name, separator, protocol = entry.partition(":")
        if not separator or protocol.strip().upper() not in KNOWN_PROTOCOLS:
            raise InvalidConfigError(
                "listener.security.protocol.map",
                text,
                f"'{entry}' is not NAME:PROTOCOL with one of {', '.join(KNOWN_PROTOCOLS)}",
            )
        mapping[name.strip().upper()] = protocol.strip().upper()
    return mapping


def _packed(family: int, host: str) -> bytes | None:
    """The bytes of an address, however it is spelled (0 is 0.0.0.0); None where it is none."""
    try:
        is_v4 = family == socket.AF_INET
        return socket.inet_aton(host) if is_v4 else socket.inet_pton(family, host)
    except (OSError, UnicodeEncodeError):  # a name, or an address of the other family
        return None


def parse_listeners(setting: str, text: str, protocols: Mapping[str, str]) -> tuple[Listener, ...]:
    """The listeners that `text`, the value of `setting`, names; InvalidConfigError when it errs.

    One port for two of them is an address that is taken, unless one is IPv4 and the other IPv6.
    What is advertised may well be one address: that of what stands before the broker.
    """
    found: list[Listener] = []
    for entry in (part.strip() for part in text.split(",")):
        if not entry:
            continue
        listener = _parse_listener(setting, text, entry, protocols)
        if any(other.name == listener.name for other in found):
            raise InvalidConfigError(setting, text, f"the name {listener.name} is used twice")
        taken = next((each for each in found if _is_same_port(each, listener)), None)
        if setting == "listeners" and taken is not None:
            raise InvalidConfigError(
                setting, text, f"each needs a port of its own: {taken} and {listener} have the same"
            )
        found.append(listener)
    return tuple(found)


def _is_same_port(left: Listener, right: Listener) -> bool:
    families = {_family_of(left.host), _family_of(right.host)}
    return left.port == right.port != 0 and families != set(_NO_ADDRESSES)


def _family_of(host: str) -> int | None:
    """Of an address; None for a name, which may have addresses of both."""
    return next((each for each in _NO_ADDRESSES if _packed(each, host) is not None), None)


def _parse_listener(setting: str, text: str, entry: str, protocols: Mapping[str, str]) -> Listener:
    match = _LISTENER.match(entry)
    if match is None:
        raise InvalidConfigError(
            setting, text, f"'{entry}' is not NAME://HOST:PORT, for example PLAINTEXT://:9092"
        )
    name, host, port_text = match.group(1).upper(), match.group(2).strip("[]"), match.group(3)
    port = int(port_text)
    if not 0 <= port <= 65535:
        raise InvalidConfigError(setting, text, f"port {port} is not between 0 and 65535")
    protocol = protocols.get(name)
    if protocol is None:
        raise InvalidConfigError(
            setting,
            text,
            f"listener.security.protocol.map does not say which protocol {name} speaks",
        )
    return Listener(name, host or "localhost", port, protocol)


def parse_servers(setting: str, text: str) -> tuple[tuple[str, int], ...]:
    """The addresses that `text`, the value of `setting`, names as HOST:PORT, comma separated."""
    found: list[tuple[str, int]] = []
    for entry in (part.strip() for part in text.split(",")):
        if not entry:
            continue
        match = _HOST_AND_PORT.match(entry)
        if match is None:
            hint = "without a node's id, for example" if "@" in entry else "for example"
            raise InvalidConfigError(
                setting, text, f"'{entry}' is not HOST:PORT, {hint} localhost:9092"
            )
        port = int(match.group(2))
        if not 1 <= port <= 65535:
            raise InvalidConfigError(setting, text, f"port {port} is not between 1 and 65535")
        found.append((match.group(1).strip("[]"), port))
    return tuple(found)


def check_protocols(setting: str, text: str, listeners: tuple[Listener, ...]) -> None:
    """Refuses a listener whose security protocol is not served: never silently in the clear."""
    for listener in listeners:
        if listener.security_protocol not in SUPPORTED_PROTOCOLS:
            raise InvalidConfigError(
                setting,
                text,
                f"{listener.name} speaks {listener.security_protocol}, which is not supported; "
                f"use {', '.join(SUPPORTED_PROTOCOLS)}",
            )


def advertise(
    listeners: tuple[Listener, ...],
    advertised_text: str | None,
    protocols: Mapping[str, str],
    controllers: Collection[str] = (),
) -> tuple[Listener, ...]:
    """What clients are told for each of `listeners`, in the same order.

    A port 0 in the answer stands for the port that was really bound.
    """
    given: dict[str, Listener] = {}
    if advertised_text:
        parsed = parse_listeners("advertised.listeners", advertised_text, protocols)
        given = {listener.name: listener for listener in parsed}
        _refuse_unknown(advertised_text, given, {*controllers, *(each.name for each in listeners)})
    told: list[Listener] = []
    for listener in listeners:
        known = given.get(listener.name, listener)
        if known.is_wildcard:
            raise _wildcard_error(listener, known, given)
        told.append(known)
    return tuple(told)


def _refuse_unknown(text: str, given: Collection[str], known: Collection[str]) -> None:
    """As Kafka: who advertises a listener that is not there believes that clients can come to it.

    That of a controller may be named, and is told nobody.
    """
    if unknown := sorted(set(given) - set(known)):
        raise InvalidConfigError(
            "advertised.listeners",
            text,
            f"listeners has no {', '.join(unknown)}; it names {', '.join(sorted(known))}",
        )


def inter_broker_listener(listeners: Sequence[Listener], name: str | None) -> str:
    """The name of the listener at which other brokers reach this one.

    `name` is inter.broker.listener.name; without it, as in Kafka, the one that is called
    PLAINTEXT, and where there is none (which Kafka refuses) the first.
    """
    known = [each.name for each in listeners]
    if name is None:
        return _PLAINTEXT if _PLAINTEXT in known else known[0]
    if name.upper() not in known:
        raise InvalidConfigError(
            "inter.broker.listener.name",
            name,
            f"it must name one of the listeners for brokers: {', '.join(known)}",
        )
    return name.upper()


def _wildcard_error(
    listener: Listener, known: Listener, given: Mapping[str, Listener]
) -> InvalidConfigError:
    example = f"advertised.listeners={listener.name}://this-machine:{listener.port}"
    if listener.name in given:
        return InvalidConfigError(
            "advertised.listeners",
            str(known),
            f"clients cannot connect to {known.host}; name this machine, for example {example}",
        )
    return InvalidConfigError(
        "listeners",
        str(listener),
        f"{listener.host} means every interface, so advertised.listeners must say which address "
        f"clients shall use, for example {example}",
    )
