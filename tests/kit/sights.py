"""What a client held after each frame, and the judge who holds that against the log (S1, S1w).

A frame does not say at which position it was made. So what a client holds is right if the log entitled its node to
exactly that at some position: not after the head when the frame was there, not before the position of the frame that
came earlier, and for the first frame of a session not before what had been acknowledged when it was asked for (F4).

Rule 1: entitlement is the oracle's, computed from the events alone.
Rule 2: a frame says nothing about a peer that the client does not hold after it, and takes away only what it held.
Rule 3: a watchword stands for something that nobody is entitled to: it is in no frame's octets, ever.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from engine.domain.events import (
    CommandHandled,
    Event,
    NodeRegistered,
    NodeRenamed,
    PeerDisabled,
    PeerEnabled,
    PeerExpired,
    PeerRegistered,
    PeerUpdated,
)
from engine.domain.values import Millis, Position
from engine.ports import Recorded
from tests.kit.oracle import entitlement


class Extra(NamedTuple):
    """A WireGuard-only peer in somebody's hands."""

    id: int
    key: str
    """The node key: the peer's own, or the one that it is parked under."""
    is_expired: bool
    ipv4_masq: str
    ipv6_masq: str


class Held(NamedTuple):
    """What a client holds, or may: peers as (id, node key, name), and WireGuard-only peers."""

    peers: frozenset[tuple[int, str, str]]
    wireguard: frozenset[Extra]

    def ids(self) -> set[int]:
        return {peer[0] for peer in self.peers} | {extra.id for extra in self.wireguard}


class Sight(NamedTuple):
    """One frame, and what the client held after it."""

    at: Millis
    """When the frame was there."""
    floor: Position
    """For the first frame of a session: what had been acknowledged before it was asked for; else 0."""
    held: Held
    told: frozenset[int] = frozenset()
    """The peers that the frame says something about."""
    strangers: frozenset[int] = frozenset()
    """The peers that it takes away, and that the client did not hold."""
    watchwords: tuple[str, ...] = ()
    """The watchwords in its octets."""


class Stretch(NamedTuple):
    """What a node may hold from a position on, until the next stretch; None while it is not in the tailnet."""

    position: Position
    at: Millis
    """When that position was recorded; it was in the log later, never earlier."""
    may: Held | None


def entitled(events: Sequence[Event], node: int) -> Held | None:
    """Return what the node may hold after the events; None if it is not in the tailnet."""
    found = entitlement(events, node)
    if found is None:
        return None
    names: dict[int, str] = {}
    for event in events:
        if isinstance(event, NodeRegistered | NodeRenamed):
            names[event.node] = event.name
    switches = _switches(events)
    return Held(
        peers=frozenset((number, key, names[number]) for number, (key, _) in found.peers.items()),
        wireguard=frozenset(
            Extra(number, *switches[number], *masquerade) for number, masquerade in found.wireguard.items()
        ),
    )


def _switches(events: Sequence[Event]) -> dict[int, tuple[str, bool]]:
    """Return under which key each WireGuard-only peer is shown, and whether it counts as expired."""
    own: dict[int, str] = {}
    now: dict[int, tuple[str, bool]] = {}
    for event in events:
        match event:
            case PeerRegistered():
                own[event.peer] = event.public_key
                now[event.peer] = (event.public_key, False)
            case PeerDisabled():
                now[event.peer] = (event.parked_key, now[event.peer][1])
            case PeerExpired():
                now[event.peer] = (now[event.peer][0], True)
            case PeerEnabled():
                now[event.peer] = (own[event.peer], False)
            case PeerUpdated():
                shown, is_expired = now[event.peer]
                shown = event.public_key if shown == own[event.peer] else shown
                own[event.peer] = event.public_key
                now[event.peer] = (shown, is_expired)
            case _:
                pass
    return now


def course(records: Sequence[Recorded], node: int) -> list[Stretch]:
    """Return what the node may hold over the whole log."""
    stretches: list[Stretch] = []
    events: list[Event] = []
    for record in records:
        if isinstance(record.event, CommandHandled):
            continue
        events.append(record.event)
        may = entitled(events, node)
        if not stretches or stretches[-1].may != may:
            stretches.append(Stretch(record.position, record.envelope.at, may))
    return stretches


def complaints(sights: Sequence[Sight], stretches: Sequence[Stretch]) -> list[str]:
    """Say what is wrong with what one client was shown; nothing if all is well."""
    found: list[str] = []
    place = 0
    for number, sight in enumerate(sights):
        found += [f"frame {number}: {what}" for what in _inside(sight)]
        possible = list(_possible(sight, stretches, place))
        fitting = [index for index in possible if stretches[index].may == sight.held]
        if fitting:
            place = fitting[0]
        else:
            found.append(f"frame {number}: {_why(sight, stretches, possible)}")
    return found


def _inside(sight: Sight) -> Iterator[str]:
    """What is wrong with a frame whatever the log says."""
    if sight.watchwords:
        yield f"a watchword: {', '.join(sight.watchwords)}"
    if more := sight.told - sight.held.ids():
        yield f"says something about {sorted(more)}, which the client does not hold"
    if sight.strangers:
        yield f"takes away {sorted(sight.strangers)}, which the client did not hold"


def _possible(sight: Sight, stretches: Sequence[Stretch], place: int) -> Iterator[int]:
    """The stretches of which one must be what the client holds."""
    for index in range(place, len(stretches)):
        ends = stretches[index + 1].position if index + 1 < len(stretches) else None
        if stretches[index].at <= sight.at and (ends is None or ends > sight.floor):
            yield index


def _why(sight: Sight, stretches: Sequence[Stretch], possible: Sequence[int]) -> str:
    allowed = [stretches[index].may for index in possible]
    ever = {number for may in allowed if may is not None for number in may.ids()}
    if more := sight.held.ids() - ever:
        return f"holds {sorted(more)}, to which it is not entitled"
    if any(stretch.may == sight.held for stretch in stretches[: possible[0] if possible else None]):
        return "goes back to what was before"
    return "holds what it was never entitled to at one position"
