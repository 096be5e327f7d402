"""Decisions about resolvers: those of the whole tailnet, and whether they go before those of a WireGuard-only exit.

Rule 1: clients ignore an exit's resolvers while the tailnet has some of its own (tailscale ipn/ipnlocal: dnsConfigForNetmap).
        Demoted, the tailnet's are a fall-back for nodes that have such an exit, and the exit's are asked while it is used.
Rule 2: demotion is opted in: a node that has such an exit and uses none asks its own resolvers then.
Rule 3: what is set already is not set again.
"""

from collections.abc import Iterator
from typing import Final

from engine.domain.commands import SetResolvers, SetWireGuardDns
from engine.domain.decision import Decision
from engine.domain.errors import Invalid
from engine.domain.events import ResolversSet, WireGuardDnsSet
from engine.domain.extra import parse_resolver
from engine.domain.pairs import named
from engine.domain.state import Tailnet

MODES: Final = ("keep", "demote")
MAX_RESOLVERS: Final = 16
"""Resolvers of a tailnet: each is in every node's netmap, and clients ask them all."""
_MAX_SHOWN: Final = 5
DEMOTE: Final = "netmap settings set-wg-dns demote"


def set_resolvers(tailnet: Tailnet, command: SetResolvers) -> Decision:
    """Decide which resolvers every node asks instead of its own; none is well.

    Raises:
        Invalid: `dns.resolver`, `dns.many`.
    """
    found = tuple(
        dict.fromkeys(
            parse_resolver(text.strip(), code="dns.resolver", field="resolvers") for text in command.resolvers
        )
    )
    if len(found) > MAX_RESOLVERS:
        raise Invalid(
            "dns.many", f"{len(found)} resolvers are too many: at most {MAX_RESOLVERS}", field="resolvers"
        )
    same = found == tailnet.settings.resolvers
    is_overriding = bool(found) and not tailnet.settings.is_demoting
    return Decision(
        events=() if same else (ResolversSet(resolvers=found),),
        result={"resolvers": list(found)},
        warnings=tuple(_overridden(tailnet)) if is_overriding else (),
    )


def set_wireguard_dns(tailnet: Tailnet, command: SetWireGuardDns) -> Decision:
    """Decide whether the tailnet's resolvers go before those of a WireGuard-only exit.

    Raises:
        Invalid: `wgdns.unknown`.
    """
    if command.mode not in MODES:
        raise Invalid(
            "wgdns.unknown", f"{command.mode[:80]!r} is not a mode: {' or '.join(MODES)}", field="mode"
        )
    same = command.mode == tailnet.settings.wireguard_dns
    is_overriding = bool(tailnet.settings.resolvers) and command.mode == "keep"
    return Decision(
        events=() if same else (WireGuardDnsSet(mode=command.mode),),
        result={"mode": command.mode},
        warnings=tuple(_overridden(tailnet)) if is_overriding else (),
    )


def _overridden(tailnet: Tailnet) -> Iterator[str]:
    """Warn of peers whose resolvers are ignored."""
    peers = [named(peer) for peer in tailnet.peers.values() if peer.extra.exit_node_dns_resolvers]
    if peers:
        more = f" and {len(peers) - _MAX_SHOWN} more" if len(peers) > _MAX_SHOWN else ""
        yield (
            f"dns.override: clients ignore the resolvers of {', '.join(peers[:_MAX_SHOWN])}{more} while the tailnet has its own; "
            f"{DEMOTE}"
        )
