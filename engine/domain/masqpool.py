"""Masquerade addresses that a WireGuard-only peer's own pool hands out.

Rule 1: the next address is the first free one after the last that the pool handed out, round and round: one that was given
        back comes again only when all others were handed out since.
Rule 2: nobody gets the pool's network address, its last one, the one after the network's (by custom the far side's own
        gateway), one that is the peer's by its allowed IPs or resolvers, or one that another node has there.
Rule 3: addresses that were given by hand may lie in the pool; they are passed over, and do not move the place where it
        goes on. Another pool leaves the connections as they are.
"""

import ipaddress
from typing import Final

from msgspec.structs import replace

from engine.domain.addresses import POOL_NAMES, Network, Pool, in_tailnet, next_free, pool_of
from engine.domain.aggregates import Peer
from engine.domain.commands import SetMasqueradePool
from engine.domain.decision import Decision
from engine.domain.errors import Conflict, Invalid, Refusal
from engine.domain.events import PeerPoolSet
from engine.domain.masquerade import is_the_peers_own
from engine.domain.pairs import named
from engine.domain.refs import peer_of
from engine.domain.state import Tailnet

FIELDS: Final = {4: "ipv4", 6: "ipv6"}
_NARROWEST: Final = {4: 30, 6: 126}
"""Prefix lengths beyond which a pool has no address to give."""
_UNUSABLE: Final = (
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/3",
    "::/127",
    "fe80::/10",
    "ff00::/8",
)


def set_masquerade_pool(tailnet: Tailnet, command: SetMasqueradePool) -> Decision:
    """Decide from where connections to the peer get their masquerade addresses; two empty texts end the pool.

    Raises:
        NotFound: `peer.not_found`.
        Invalid: `masq.pool`.
        Conflict: `masq.in_use`.
    """
    peer = peer_of(tailnet, command.peer)
    warnings: list[str] = []
    found = {
        version: _parsed(tailnet, text.strip(), version, warnings)
        for version, text in ((4, command.ipv4), (6, command.ipv6))
    }
    same = (found[4], found[6]) == (peer.masq_v4, peer.masq_v6)
    event = PeerPoolSet(peer=peer.id, ipv4=found[4], ipv6=found[6])
    return Decision(
        events=() if same else (event,),
        result={"id": peer.id, "name": peer.name, "ipv4": found[4], "ipv6": found[6]},
        warnings=tuple(warnings),
    )


def hand_out(tailnet: Tailnet, peer: Peer) -> tuple[str, str]:
    """Return the next free address of each IP version that the peer's pool has; empty texts if it has none.

    Raises:
        Refusal: `masq.pool_exhausted`.
    """
    return _next(tailnet, peer, 4, peer.masq_v4), _next(tailnet, peer, 6, peer.masq_v6)


def capacity_of(prefix: str) -> int:
    """Return how many addresses a masquerade pool can give; `prefix` is canonical."""
    return _pool(prefix).capacity


class _Held:
    """The addresses of one IP version that are not free at a peer, as numbers."""

    def __init__(self, tailnet: Tailnet, peer: Peer, version: int) -> None:
        self._tailnet: Final = tailnet
        self._peer: Final = peer
        self._version: Final = version

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        text = _text(number, self._version)
        return (self._peer.id, text) in self._tailnet.masq_by_peer or is_the_peers_own(self._peer, text)


def _next(tailnet: Tailnet, peer: Peer, version: int, prefix: str) -> str:
    if not prefix:
        return ""
    pool = _pool(prefix)
    after = tailnet.masq_handed_out.get((peer.id, version), 0)
    try:
        number = next_free(pool, after=after, held=_Held(tailnet, peer, version), count=0)
    except Refusal:
        raise Refusal(
            "masq.pool_exhausted",
            f"all {pool.capacity} addresses of {prefix}, the masquerade pool of {named(peer)}, are in use",
            field=f"ipv{version}MasqAddr",
            hint=f"end connections, or: netmap wg set-masq-pool {peer.name} --ipv{version} PREFIX",
        ) from None
    return _text(number, version)


def _text(number: int, version: int) -> str:
    return str(ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number))  # noqa: PLR2004


def _pool(prefix: str) -> Pool:
    """Return what a pool hands out: not the gateway's address either (rule 2)."""
    pool = pool_of(prefix)
    return replace(pool, first=pool.first + 1, capacity=pool.capacity - 1)


def _parsed(tailnet: Tailnet, text: str, version: int, warnings: list[str]) -> str:
    if not text:
        return ""
    network = _network(text, version)
    for name in POOL_NAMES:
        prefix = tailnet.pools[name].prefix
        if (":" in prefix) == (version == 6) and ipaddress.ip_network(prefix).overlaps(network):  # noqa: PLR2004
            raise Conflict(
                "masq.in_use",
                f"{text} overlaps {prefix}, from which the tailnet numbers its own",
                field=FIELDS[version],
                hint="give the prefix from which the peer's side numbers its customers",
            )
    if in_tailnet(network.network_address):
        warnings.append(
            f"masq.tailnet: {network} is inside the tailnet's ranges, though not handed out by it"
        )
    elif network.is_global:
        warnings.append(f"masq.public: {network} is public: is it the one that the peer assigned?")
    return str(network)


def _network(text: str, version: int) -> Network:
    try:
        network: Network | None = ipaddress.ip_network(text)
    except ValueError:
        network = None
    unusable = [ipaddress.ip_network(kept) for kept in _UNUSABLE]
    if network is None or network.version != version or "%" in text or "/" not in text:
        why = f"it must be an IPv{version} prefix without host bits"
    elif network.prefixlen > _NARROWEST[version]:
        why = f"it has no address to give: /{_NARROWEST[version]} is the narrowest pool"
    elif any(kept.version == version and kept.overlaps(network) for kept in unusable):
        why = "nobody can have an address there as a source"
    else:
        return network
    raise Invalid("masq.pool", f"{text[:80]!r} cannot be a masquerade pool: {why}", field=FIELDS[version])
