"""Connections by selector: every node that a tag, a group or a user speaks of is connected to a WireGuard-only peer.

Rule 1: who is selected follows from the node, its user and the policy; whatever changes one of these changes the connections in
        the same decision, one event for each, which says because of which selector.
Rule 2: a connection that somebody asked for stays as it is, selected or not; of several selectors the first one counts, and
        when it ends, the connection goes over to the next.
Rule 3: a node that cannot be connected (no address left, an overlap, a client without a jail) is passed over with a
        warning: nobody is kept out of the tailnet by it. It is tried again whenever it or the selectors are looked at.
Rule 4: one decision adds so many connections at most; to add the selector again goes on with the rest. What is to end ends
        at once, however much it is.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from engine.domain.aggregates import Connection, Node, Peer, Selector
from engine.domain.commands import AddSelector, RemoveSelector
from engine.domain.connections import selected_connection
from engine.domain.decision import Decision, Given
from engine.domain.document import document_of
from engine.domain.endpoints import refuse_loops
from engine.domain.errors import Conflict, Invalid, NotFound, Refusal
from engine.domain.events import (
    ConnectionAdded,
    ConnectionRemoved,
    ConnectionUpdated,
    Event,
    NodeRegistered,
    NodeReregistered,
    NodeTagged,
    PeerPoolSet,
    PolicySet,
    SelectorAdded,
    SelectorRemoved,
)
from engine.domain.evolve import evolve_node
from engine.domain.pairs import named, part_of, refuse_free
from engine.domain.places import places_of
from engine.domain.prefixes import is_covered, parse_part
from engine.domain.refs import peer_of, user_of
from engine.domain.state import Tailnet
from engine.domain.tags import known_tags
from engine.domain.values import NodeId, PeerId, UserId
from engine.domain.whom import person_of

MAX_ADDED: Final = 2_000
"""Connections that one decision adds because of selectors; how many it ends is not bounded."""
MAX_SELECTORS: Final = 64
"""Selectors of one peer."""
_MAX_TOLD: Final = 10
"""Nodes that are passed over and told of by name."""
_OF_NODES: Final = (NodeRegistered, NodeReregistered, NodeTagged)
_OF_ALL: Final = (PolicySet, SelectorAdded, SelectorRemoved, PeerPoolSet)
_Step = ConnectionAdded | ConnectionUpdated | ConnectionRemoved


def add_selector(tailnet: Tailnet, command: AddSelector) -> Decision:
    """Decide to connect whoever the selector speaks of; what follows from it is added by `kept_in_step`.

    Raises:
        NotFound: `peer.not_found`, `user.not_found`, `selector.group`.
        Invalid: `tag.*`, `allowedips.*`, `connection.unjail`, `endpoint.loop`.
        Conflict: `selector.pool`, `selector.exists`, `selector.many`.
    """
    peer = peer_of(tailnet, command.peer)
    text = _canonical(tailnet, command.selector)
    allowed_ips, warnings = parse_part(command.allowed_ips, peer.allowed_ips)
    selector = Selector(selector=text, allowed_ips=allowed_ips, jailed=command.jailed)
    refuse_terms(peer, selector)
    if not (peer.masq_v4 or peer.masq_v6):
        raise Conflict(
            "selector.pool",
            f"{named(peer)} has no pool of masquerade addresses from which it could number nodes",
            field="peer",
            hint=f"netmap wg set-masq-pool {peer.name} --ipv4 PREFIX",
        )
    existing = next((held for held in peer.selectors if held.selector == text), None)
    if existing is not None and existing != selector:
        raise Conflict("selector.exists", f"{text} is a selector of {named(peer)} already, with other terms")
    if existing is None and len(peer.selectors) >= MAX_SELECTORS:
        raise Conflict("selector.many", f"{named(peer)} has {MAX_SELECTORS} selectors already")
    event = SelectorAdded(peer=peer.id, selector=text, allowed_ips=allowed_ips, jailed=command.jailed)
    result = {"peer": peer.id, "selector": text, "allowedIps": list(part_of(peer, allowed_ips))}
    if existing is not None and not _owed(tailnet, peer):
        return Decision(result=result, warnings=(*warnings, "selector.exists: nothing changed"))
    return Decision(events=(event,), result=result, warnings=tuple(warnings))


def remove_selector(tailnet: Tailnet, command: RemoveSelector) -> Decision:
    """Decide to connect nobody any more because of the selector.

    Raises:
        NotFound: `peer.not_found`, `selector.not_found`.
    """
    peer = peer_of(tailnet, command.peer)
    text = command.selector.strip()
    known = {held.selector for held in peer.selectors}
    found = next((form for form in (text, f"user:{text}", text.lower()) if form in known), None)
    if found is None:
        raise NotFound(
            "selector.not_found",
            f"{text[:80]!r} is no selector of {named(peer)}",
            field="selector",
            hint=f"it has {', '.join(sorted(known)) or 'none'}",
        )
    return Decision(
        events=(SelectorRemoved(peer=peer.id, selector=found),), result={"peer": peer.id, "selector": found}
    )


def refuse_terms(peer: Peer, selector: Selector) -> None:
    """Refuse a selector whose terms the peer cannot keep.

    Raises:
        Invalid: `allowedips.outside`, `connection.unjail`, `endpoint.loop`.
    """
    for prefix in selector.allowed_ips or ():
        if not is_covered(prefix, peer.allowed_ips):
            raise Invalid(
                "allowedips.outside",
                f"{selector.selector} has {prefix}, which is outside of what {named(peer)} may route",
                field="allowedIps",
            )
    refuse_loops(places_of(peer), selector.allowed_ips or ())
    if not selector.jailed:
        refuse_free(selector.selector, peer, part_of(peer, selector.allowed_ips))


def kept_in_step(tailnet: Tailnet, decision: Decision, given: Given) -> Decision:
    """Return the decision with what it means for connections by selector (rule 1)."""
    is_for_all = any(isinstance(event, _OF_ALL) for event in decision.events)
    if not tailnet.selecting and not any(isinstance(event, SelectorAdded) for event in decision.events):
        return decision
    nodes = {event.node for event in decision.events if isinstance(event, _OF_NODES)}
    if not is_for_all and not any(_is_owed(tailnet, decision.events, node, given) for node in nodes):
        return decision
    events, passed = _consequences(
        _later(tailnet, decision.events, given), None if is_for_all else nodes, given
    )
    told = passed[:_MAX_TOLD]
    if len(passed) > _MAX_TOLD:
        told.append(f"selector.passed: and {len(passed) - _MAX_TOLD} nodes more")
    return replace(decision, events=(*decision.events, *events), warnings=(*decision.warnings, *told))


def _later(tailnet: Tailnet, events: Iterable[Event], given: Given) -> Tailnet:
    later = tailnet.draft()
    for event in events:
        later.apply(event, given.now)
    return later


def _consequences(
    later: Tailnet, only: Iterable[NodeId] | None, given: Given
) -> tuple[list[Event], list[str]]:
    """Return what brings the connections of these nodes in step, None for all of them, and who is passed over."""
    events: list[Event] = []
    passed: list[str] = []
    room, is_more = MAX_ADDED, False
    for step in _steps(later, only):
        if isinstance(step, str):
            passed.append(step)
        elif isinstance(step, ConnectionAdded) and not room:
            is_more = True
        else:
            room -= isinstance(step, ConnectionAdded)
            later.apply(step, given.now)
            events.append(step)
    if is_more:
        more = "nodes were connected, and there are more: add a selector again to go on"
        passed.insert(0, f"selector.more: {MAX_ADDED} {more}")
    return events, passed


def _canonical(tailnet: Tailnet, text: str) -> str:
    """Return the selector in its one form.

    Raises:
        Invalid: `tag.syntax`, `tag.unknown`.
        NotFound: `user.not_found`, `selector.group`.
    """
    text = text.strip()
    if text.startswith("tag:"):
        known_tags(tailnet, (text,), field="selector")
        return text
    if text.startswith("group:"):
        groups = document_of(tailnet).groups
        if text not in groups:
            raise NotFound(
                "selector.group",
                f"the policy has no group {text[:80]!r}",
                field="selector",
                hint=f"it has {', '.join(sorted(groups)) or 'none'}",
            )
        return text
    return f"user:{user_of(tailnet, text.removeprefix('user:').removesuffix('@'), field='selector').name}"


class _Selected:
    """Who is selected, as the tailnet is."""

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet: Final = tailnet
        self._groups: Final[Mapping[str, tuple[str, ...]]] = document_of(tailnet).groups
        self._logins: Final[dict[UserId, frozenset[str]]] = {}

    def by(self, peer: Peer, node: Node) -> Iterator[Selector]:
        """Yield the peer's selectors that speak of the node."""
        return (held for held in peer.selectors if self._speaks(held.selector, node))

    def _speaks(self, text: str, node: Node) -> bool:
        kind, _, rest = text.partition(":")
        if kind == "tag" or node.tags:
            return text in node.tags
        if kind == "user":
            return self._tailnet.user_by_name.get(rest.lower()) == node.user
        return not self._logins_of(node.user).isdisjoint(self._groups.get(text, ()))

    def _logins_of(self, number: UserId) -> frozenset[str]:
        if number not in self._logins:
            user = self._tailnet.users.get(number)
            self._logins[number] = frozenset(() if user is None else person_of(user).logins)
        return self._logins[number]


def _steps(tailnet: Tailnet, only: Iterable[NodeId] | None) -> Iterator[_Step | str]:
    """Yield what brings the connections in step, or why a node is passed over; each is to be applied before the next."""
    selected = _Selected(tailnet)
    for number in sorted(tailnet.nodes if only is None else only):
        node = tailnet.nodes.get(number)
        if node is None:
            continue
        for peer_number in sorted(tailnet.selecting | _selected_peers(tailnet, number)):
            peer = tailnet.peers[peer_number]
            step = _step(tailnet, node, peer, list(selected.by(peer, node)))
            if step is not None:
                yield step


def _selected_peers(tailnet: Tailnet, node: NodeId) -> set[PeerId]:
    """Return the peers that the node is connected to by a selector that may be gone."""
    return {peer for peer in tailnet.peers_of_node.get(node, ()) if tailnet.connections[node, peer].selector}


def _step(tailnet: Tailnet, node: Node, peer: Peer, wanted: list[Selector]) -> _Step | str | None:
    held = tailnet.connections.get((node.id, peer.id))
    if held is None:
        return _added(tailnet, node, peer, wanted[0]) if wanted else None
    if not held.selector or held.selector in {selector.selector for selector in wanted}:
        return None
    if not wanted:
        return ConnectionRemoved(node=node.id, peer=peer.id)
    return _moved(held, wanted[0])


def _added(tailnet: Tailnet, node: Node, peer: Peer, selector: Selector) -> ConnectionAdded | str:
    try:
        return selected_connection(tailnet, node, peer, selector)
    except Refusal as refusal:
        return f"selector.passed: {selector.selector} does not connect node {named(node)}: {refusal.message}"


def _moved(held: Connection, selector: Selector) -> ConnectionUpdated:
    """Return that the connection is another selector's from now on; its terms stay."""
    return ConnectionUpdated(
        node=held.node,
        peer=held.peer,
        ipv4_masq=held.ipv4_masq,
        ipv6_masq=held.ipv6_masq,
        allowed_ips=held.allowed_ips,
        jailed=held.jailed,
        selector=selector.selector,
    )


def _owed(tailnet: Tailnet, peer: Peer) -> bool:
    """Return whether the peer's selectors have something left to do (rule 4)."""
    selected = _Selected(tailnet)
    return any(
        (node.id, peer.id) not in tailnet.connections and any(selected.by(peer, node))
        for node in tailnet.nodes.values()
    )


def _is_owed(tailnet: Tailnet, events: Iterable[Event], number: NodeId, given: Given) -> bool:
    """Return whether a node, as it is after the events, is not connected as selectors say.

    To find out what is to be done costs a draft of the tailnet, which is spared to all others.
    """
    node = tailnet.nodes.get(number)
    for event in events:
        if isinstance(event, _OF_NODES) and event.node == number:
            node = evolve_node(node, event, given.now)
    if node is None:
        return False
    selected = _Selected(tailnet)
    for peer_number in tailnet.selecting:
        held = tailnet.connections.get((number, peer_number))
        wanted = {selector.selector for selector in selected.by(tailnet.peers[peer_number], node)}
        if bool(wanted) if held is None else bool(held.selector) and held.selector not in wanted:
            return True
    return False
