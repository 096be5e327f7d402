"""Many connections in one decision: every one of some nodes with every one of some WireGuard-only peers.

Rule 1: all or nothing; each connection is decided as if it were asked for alone, after those before it, and has an event
        of its own.
Rule 2: a pair that is connected on the same terms is no error; on other terms it is, and names the pair.
Rule 3: addresses come from the peers' pools. Only one node at a time can be given one, the same at every peer: two nodes
        with one address could not be told apart.
"""

from collections import Counter
from typing import Final

from engine.domain.commands import AddConnection, AddConnections
from engine.domain.connections import add_connection
from engine.domain.decision import Decision, Given
from engine.domain.errors import Invalid
from engine.domain.events import Event
from engine.domain.refs import node_of, peer_of
from engine.domain.state import Tailnet

MAX_PAIRS: Final = 2_000
"""Pairs of one command: as many as a selector adds at a time."""


def add_connections(tailnet: Tailnet, command: AddConnections, given: Given) -> Decision:
    """Decide whether the nodes may all be connected to all of the WireGuard-only peers.

    Raises:
        NotFound: `node.not_found`, `peer.not_found`.
        Invalid: `connection.many`, `masq.many`, and as `add_connection`.
        Conflict: as `add_connection`.
        Refusal: `masq.pool_exhausted`.
    """
    nodes = list(dict.fromkeys(node_of(tailnet, ref, field="nodes").id for ref in command.nodes))
    peers = list(dict.fromkeys(peer_of(tailnet, ref, field="peers").id for ref in command.peers))
    if len(nodes) * len(peers) > MAX_PAIRS:
        raise Invalid(
            "connection.many",
            f"{len(nodes)} nodes and {len(peers)} peers are {len(nodes) * len(peers)} connections: one command "
            f"adds at most {MAX_PAIRS}",
            field="nodes",
            hint="send several commands; `netmap connection add` does so by itself",
        )
    if len(nodes) > 1 and (command.ipv4_masq_addr.strip() or command.ipv6_masq_addr.strip()):
        raise Invalid(
            "masq.many",
            f"{len(nodes)} nodes cannot have one masquerade address: a peer could not tell them apart",
            field="ipv4MasqAddr" if command.ipv4_masq_addr.strip() else "ipv6MasqAddr",
            hint="give none, and every peer a pool: netmap wg set-masq-pool PEER --ipv4 PREFIX",
        )
    later = tailnet.draft()
    events: list[Event] = []
    told: Counter[str] = Counter()
    for peer in peers:
        for node in nodes:
            one = AddConnection(
                node=node,
                peer=peer,
                ipv4_masq_addr=command.ipv4_masq_addr,
                ipv6_masq_addr=command.ipv6_masq_addr,
                allowed_ips=command.allowed_ips,
                jailed=command.jailed,
            )
            decision = add_connection(later, one, given)
            if decision.events:
                told.update(decision.warnings)
            for event in decision.events:
                later.apply(event, given.now)
                events.append(event)
    result = {"added": len(events), "present": len(nodes) * len(peers) - len(events)}
    return Decision(events=tuple(events), result=result, warnings=_summary(told))


def _summary(told: Counter[str]) -> tuple[str, ...]:
    """Return the first warning of each code, and of how many more it speaks."""
    numbers: Counter[str] = Counter()
    first: dict[str, str] = {}
    for warning, count in told.items():
        code = warning.partition(":")[0]
        numbers[code] += count
        first.setdefault(code, warning)
    return tuple(
        text + (f" (and {numbers[code] - 1} more)" if numbers[code] > 1 else "")
        for code, text in first.items()
    )
