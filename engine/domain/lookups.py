"""Decisions about what looking up a host name gave.

Rule 1: an event is what changed: the addresses, or that lookups fail now, or no longer do. Order, repetitions and times
        to live are no change, nor is another way of failing.
Rule 2: a lookup that fails keeps the last good addresses; so does an answer that cannot be.
Rule 3: an address is refused as it would be if it were typed, but for private ones: a name inside a site has no others.
        Of an answer the other addresses are taken; clients send to it, the engine never does.
Rule 4: an answer that a node could not have beside its other peers is refused as a whole (`pairs.py`, rule 1).
Rule 5: an answer that comes too late, for a name that the peer has no longer, is nothing.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from engine.domain.addresses import Address
from engine.domain.aggregates import Peer
from engine.domain.commands import ReportLookup
from engine.domain.decision import Decision, Given
from engine.domain.endpoints import parse_address, wrong_with_answer
from engine.domain.errors import Refusal
from engine.domain.events import HostAnswer, PeerEndpointsResolved
from engine.domain.peerlife import connections_of, refuse_for_connections
from engine.domain.places import answer_for, hosts_of, places_of
from engine.domain.refs import peer_of
from engine.domain.state import Tailnet
from engine.domain.values import NEVER, Millis

MAX_ADDRESSES: Final = 8
"""Addresses that are kept of one name, IPv4 first, each family in numeric order."""
_LONGEST_FAILURE: Final = 200


def report_lookup(tailnet: Tailnet, command: ReportLookup, given: Given) -> Decision:
    """Decide whether a lookup of one of the peer's names says anything new.

    Raises:
        NotFound: `peer.not_found`.
    """
    peer = peer_of(tailnet, command.peer)
    if command.host not in hosts_of(peer):
        return Decision(result={"id": peer.id})
    held = answer_for(peer, command.host) or HostAnswer(host=command.host)
    after, failure = held, command.failure
    if not failure:
        after, failure = _answered(tailnet, peer, command, given.now)
    if failure:
        since = held.failing_since or given.now
        told = held.failure or failure[:_LONGEST_FAILURE]
        after = replace(held, failing_since=since, failure=told)
    if after == held:
        return Decision(result={"id": peer.id})
    return Decision(
        events=(PeerEndpointsResolved(peer=peer.id, hosts=_with(peer, after)),),
        result={"id": peer.id, "host": after.host, "addresses": list(after.addresses)},
        warnings=(f"endpoint.lookup: {after.host}: {after.failure}",) if after.failure else (),
    )


def _answered(tailnet: Tailnet, peer: Peer, command: ReportLookup, now: Millis) -> tuple[HostAnswer, str]:
    """Return what is known of the name after an answer, and why it is none (rules 3, 4)."""
    held = answer_for(peer, command.host) or HostAnswer(host=command.host)
    addresses, failure = _usable(command.addresses, _inside(tailnet, peer))
    if not addresses:
        return held, failure or "it has no address"
    if addresses == held.addresses:
        return replace(held, failing_since=NEVER, failure=""), ""
    after = HostAnswer(host=command.host, addresses=addresses, changed=now)
    later = replace(peer, resolved=_with(peer, after))
    if places_of(later) != places_of(peer):
        try:
            refuse_for_connections(tailnet, later)
        except Refusal as refusal:
            return held, f"{refusal.code}: {refusal.message}"
    return after, ""


def _usable(texts: Iterable[str], allowed_ips: list[str]) -> tuple[tuple[str, ...], str]:
    """Return the addresses that can be, sorted, and what is wrong with the last that cannot."""
    found: set[Address] = set()
    failure = ""
    for text in texts:
        address = parse_address(text)
        wrong = "it is no address" if address is None else wrong_with_answer(address, allowed_ips)
        if address is None or wrong:
            failure = f"{text[:80]} cannot be an endpoint: {wrong}"
        else:
            found.add(address)
    ordered = sorted(found, key=lambda address: (address.version, int(address)))
    return tuple(str(address) for address in ordered[:MAX_ADDRESSES]), failure


def _inside(tailnet: Tailnet, peer: Peer) -> list[str]:
    """Return every prefix that the tunnel has for somebody: the peer's, and the parts of its connections."""
    parts = [held.allowed_ips or () for held in connections_of(tailnet, peer)]
    parts += [held.allowed_ips or () for held in peer.selectors]
    return list(dict.fromkeys((*peer.allowed_ips, *(prefix for part in parts for prefix in part))))


def _with(peer: Peer, one: HostAnswer) -> tuple[HostAnswer, ...]:
    """Return what is known of the peer's names, with this of one of them, in the order of the names."""
    known = {held.host: held for held in peer.resolved} | {one.host: one}
    return tuple(known[host] for host in hosts_of(peer) if host in known)
