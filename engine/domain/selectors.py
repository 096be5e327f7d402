"""Connections by selector: every node that a tag, a group or a user speaks of is connected to a WireGuard-only peer.

Rule 1: who is selected follows from the node, its user and the policy; whatever changes one of these changes the connections in
        the same decision, one event for each, which says because of which selector.
Rule 2: a connection that somebody asked for stays as it is, selected or not; of several selectors the first one counts, and
        when it ends, the connection goes over to the next.
Rule 3: a node that cannot be connected (no address left, an overlap, a client without a jail) is passed over with a
        warning: nobody is kept out of the tailnet by it. It is tried again whenever it or the selectors are looked at.
Rule 4: at a provider's relay a selected node is registered with the provider first, and connected when it has its
        addresses; a device that is there because of a selector leaves when no selector of the provider's relays speaks of
        its node any more, and no connection is left.
Rule 5: one decision adds so many connections at most; to add the selector again goes on with the rest. What is to end ends
        at once, however much it is.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from engine.domain.aggregates import Connection, Node, Peer, Selector
from engine.domain.commands import AddSelector, RemoveSelector
from engine.domain.connections import selected_connection
from engine.domain.decision import Decision, Given
from engine.domain.device import Device, end_of
from engine.domain.devicemasq import gives_masquerades, provider_of_peer
from engine.domain.document import document_of
from engine.domain.endpoints import refuse_loops
from engine.domain.errors import Conflict, Invalid, NotFound, Refusal
from engine.domain.events import (
    ConnectionAdded,
    ConnectionRemoved,
    ConnectionUpdated,
    Event,
    NodeEvent,
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
from engine.domain.providerevents import (
    DeviceEvent,
    DeviceForgotten,
    DeviceLeft,
    DeviceRegistered,
    DeviceRevoked,
    DeviceWanted,
    PeerProviderSet,
)
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
_OF_NODES: Final = (
    NodeRegistered,
    NodeReregistered,
    NodeTagged,
    DeviceRegistered,
    DeviceRevoked,
    DeviceForgotten,
)
_OF_ALL: Final = (PolicySet, SelectorAdded, SelectorRemoved, PeerPoolSet)
_Step = ConnectionAdded | ConnectionUpdated | ConnectionRemoved | DeviceWanted | DeviceLeft | DeviceForgotten


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
    if not gives_masquerades(tailnet, peer):
        raise Conflict(
            "selector.pool",
            f"{named(peer)} has neither a pool of masquerade addresses from which it could number nodes, nor a provider",
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
    is_for_all = any(
        isinstance(event, _OF_ALL) or _is_of_selecting(tailnet, event) for event in decision.events
    )
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


def _is_of_selecting(tailnet: Tailnet, event: Event) -> bool:
    return isinstance(event, PeerProviderSet) and event.peer in tailnet.selecting


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
        elif isinstance(step, ConnectionAdded | DeviceWanted) and not room:
            is_more = True
        else:
            room -= isinstance(step, ConnectionAdded | DeviceWanted)
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
        for device in list(tailnet.provided.devices_of(number)):
            if _is_done_with(tailnet, device, node, selected):
                yield end_of(device)


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


def wanted_by(tailnet: Tailnet, device: Device) -> tuple[str, Peer] | None:
    """Return a selector that needs the device, and its peer; None if there is none."""
    node = tailnet.nodes.get(device.node)
    return None if node is None else _wanting(tailnet, device, node, _Selected(tailnet))


def _wanting(tailnet: Tailnet, device: Device, node: Node, selected: _Selected) -> tuple[str, Peer] | None:
    for number in sorted(tailnet.provided.relays.get(device.provider, set()) & tailnet.selecting):
        peer = tailnet.peers[number]
        for selector in selected.by(peer, node):
            return selector.selector, peer
    return None


def _is_done_with(tailnet: Tailnet, device: Device, node: Node, selected: _Selected) -> bool:
    """Return whether a device that selectors brought is needed by none of them, nor by a connection (rule 4)."""
    if not device.selector or device.state == "leaving":
        return False
    relays = tailnet.provided.relays.get(device.provider, set())
    if relays & tailnet.peers_of_node.get(device.node, set()):
        return False
    return _wanting(tailnet, device, node, selected) is None


def _added(
    tailnet: Tailnet, node: Node, peer: Peer, selector: Selector
) -> ConnectionAdded | DeviceWanted | str | None:
    """Return the connection, or what must be there before; None while that is on its way."""
    provider = provider_of_peer(tailnet, peer)
    if provider is not None:
        device = tailnet.provided.device(provider, node.id)
        if device is None:
            return DeviceWanted(
                device=tailnet.provided.next_device,
                provider=provider,
                node=node.id,
                node_key=node.node_key,
                selector=selector.selector,
            )
        if not device.has_addresses:
            return None
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
    """Return whether the peer's selectors have something left to do (rule 5)."""
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
        if isinstance(event, NodeEvent) and event.node == number:
            node = evolve_node(node, event, given.now)
        elif isinstance(event, DeviceEvent) and event.node == number:
            return True
    if node is None:
        return False
    selected = _Selected(tailnet)
    if any(_is_done_with(tailnet, device, node, selected) for device in tailnet.provided.devices_of(number)):
        return True
    for peer_number in tailnet.selecting:
        held = tailnet.connections.get((number, peer_number))
        if held is None and _is_on_its_way(tailnet, number, peer_number):
            continue
        wanted = {selector.selector for selector in selected.by(tailnet.peers[peer_number], node)}
        if bool(wanted) if held is None else bool(held.selector) and held.selector not in wanted:
            return True
    return False


def _is_on_its_way(tailnet: Tailnet, node: NodeId, peer: PeerId) -> bool:
    """Return whether the node is to be registered at the peer's provider, and has no addresses there yet."""
    provider = tailnet.provided.provider_of_peer.get(peer)
    device = None if provider is None else tailnet.provided.device(provider, node)
    return device is not None and not device.has_addresses
