"""What every device may be told under a policy, worked out by brute force: the oracle of the policy tests.

1. Written from the text of the semantics and from the recorded vectors alone; it shares no code with the engine.
2. Every device is computed for itself, every pair is looked at; nothing is kept between two calls.
3. `evaluate` answers in the form and in the order of the vectors; `None` for a policy means that all is open.
"""

from dataclasses import dataclass
from typing import Any

from tests.kit.naive_checks import run_tests
from tests.kit.naive_filter import Entry, Rule, entries_of, rules_of
from tests.kit.naive_select import as_destination, as_source, covered
from tests.kit.naive_ssh import ssh_rules
from tests.kit.naive_world import EXIT_ROUTES, Node, Policy, User, World, any_overlap, contains, overlap

__all__ = [
    "Node",
    "NodeView",
    "Policy",
    "Reading",
    "User",
    "World",
    "allowed",
    "approved_routes",
    "evaluate",
    "lets_in",
    "run_tests",
    "sees",
    "settled",
]

FUNNEL = (
    "https://tailscale.com/cap/funnel-ports?ports=443,8443,10000",
    "https://tailscale.com/cap/warn-funnel-no-https",
)
BASE = (
    "https://tailscale.com/cap/file-sharing",
    "https://tailscale.com/cap/ssh",
    "https://tailscale.com/cap/tailnet-lock",
    "probe-udp-lifetime",
    "ssh-behavior-v1",
    "ssh-env-vars",
    "store-appc-routes",
)
DEFAULT_PROTOCOLS = (6, 17, 1, 58)


@dataclass(frozen=True)
class NodeView:
    """One device's netmap as far as the policy decides it; peers by id, with their prefixes of this view."""

    packet_filter: list[dict[str, Any]]
    peers: dict[int, list[str]]
    peer_caps: dict[int, dict[str, None]]
    primary_routes: list[str]
    addresses: list[str]
    ssh_rules: list[dict[str, Any]]
    caps: dict[str, Any]


class Reading:
    """A policy read in a world: the rules, and the filter of every device."""

    def __init__(self, world: World, policy: Policy) -> None:
        self.world = world
        self.policy = policy
        self.rules = rules_of(world, policy)
        self.entries: dict[int, list[Entry]] = {
            node.id: entries_of(world, policy, node, self.rules) for node in world.nodes
        }

    def texts(self, rule: Rule) -> list[str]:
        return [
            text for selector in rule.dst for text in as_destination(self.world, self.policy or {}, selector)
        ]

    def opens(self, node: Node) -> list[tuple[str, ...]]:
        """The source sets that a device hears from; a `via` grant of capabilities only counts as if it had ports."""
        found = [entry.sources for entry in self.entries[node.id]]
        for rule in self.rules:
            if rule.via & set(node.tags) and not rule.parts:
                internet = "autogroup:internet" in rule.dst and bool(node.exits)
                if internet or any_overlap(self.texts(rule), node.routes):
                    found.append(rule.sources)
        return found

    def hears(self, node: Node, other: Node) -> bool:
        reach = [*other.addresses, *other.routes]
        return any(any_overlap(origin, reach) for origin in self.opens(node))

    def sees(self, node: Node, other: Node) -> bool:
        return node.id != other.id and (self.hears(node, other) or self.hears(other, node))

    def plain(self, viewer: Node, router: Node, route: str) -> bool:
        """Whether a rule without `via` lets the viewer and the route meet (3.8, case 2)."""
        reach = [*viewer.addresses, *viewer.routes]
        for entry in self.entries[router.id]:
            meets = any(not dest.via and overlap(dest.text, route) for dest in entry.dests)
            if meets and any_overlap(entry.sources, reach):
                return True
        return any(any_overlap(entry.sources, [route]) for entry in self.entries[viewer.id])

    def steered(self, viewer: Node, router: Node, route: str) -> bool:
        """Whether a `via` grant sends the viewer to this router (3.8, case 3); the first grant that can, decides.

        One prefix on two peers would leave it to the client which of them it takes.
        """
        for rule in self.rules:
            if not rule.via or not any_overlap(rule.sources, [*viewer.addresses, *viewer.routes]):
                continue
            tagged = [node for node in self.world.nodes if rule.via & set(node.tags)]
            chosen = self.world.primary(route, tagged)
            if any_overlap(self.texts(rule), [route]) and chosen is not None:
                return chosen == router
        return False

    def routed(self, viewer: Node, router: Node, route: str) -> bool:
        if route in viewer.routes or self.plain(viewer, router, route):
            return self.world.primary(route) == router
        return self.steered(viewer, router, route)

    def prefixes(self, viewer: Node, peer: Node) -> list[str]:
        return [route for route in peer.routes if self.routed(viewer, peer, route)] + peer.exits


def evaluate(world: World, policy: Policy) -> dict[int, NodeView]:
    """The view of every device, by its id."""
    reading = Reading(world, policy)
    return {node.id: view_of(reading, node) for node in world.nodes}


def view_of(reading: Reading, node: Node) -> NodeView:
    world, policy = reading.world, reading.policy
    peers = [other for other in world.nodes if reading.sees(node, other)]
    caps = caps_of(world, policy, node)
    return NodeView(
        packet_filter=[entry.wire() for entry in reading.entries[node.id]],
        peers={peer.id: reading.prefixes(node, peer) for peer in peers},
        peer_caps={peer.id: {"suggest-exit-node": None} for peer in peers if peer.exits},
        primary_routes=[route for route in node.routes if world.primary(route) == node],
        addresses=node.own_prefixes[1:] if "disable-ipv4" in caps else node.own_prefixes,
        ssh_rules=ssh_rules(world, policy, node),
        caps=caps,
    )


def caps_of(world: World, policy: Policy, node: Node) -> dict[str, Any]:
    policy = policy or {}
    found: dict[str, Any] = dict.fromkeys(BASE)
    found["default-auto-update"] = [world.auto_updates]
    roles = {"owner"} if node.owner is None else set(world.user(node.owner).roles)
    if "owner" in roles:
        found["https://tailscale.com/cap/is-owner"] = None
    if roles & {"owner", "admin"} and node.owner is not None:
        found["https://tailscale.com/cap/is-admin"] = None
    for entry in policy.get("nodeAttrs") or []:
        texts = [text for target in entry.get("target") or [] for text in as_source(world, policy, target)]
        if covered(node, texts):
            found.update(dict.fromkeys(entry.get("attr") or []))
    if policy.get("randomizeClientPort"):
        found["randomize-client-port"] = None
    if "funnel" in found:
        found.update(dict.fromkeys(FUNNEL))
    return found


def sees(world: World, policy: Policy, node: int, other: int) -> bool:
    return Reading(world, policy).sees(world.node(node), world.node(other))


def approved_routes(world: World, policy: Policy, node: Node) -> list[str]:
    """What auto-approval makes of the routes that a device advertises, in their order."""
    policy = policy or {}
    approvers = policy.get("autoApprovers") or {}

    def one_of(selectors: list[str]) -> bool:
        return any(covered(node, as_source(world, policy, selector)) for selector in selectors)

    found = []
    for route in node.advertised:
        if route in EXIT_ROUTES:
            if one_of(approvers.get("exitNode") or []):
                found.append(route)
        elif any(contains(k, route) and one_of(v) for k, v in (approvers.get("routes") or {}).items()):
            found.append(route)
    return found


def lets_in(
    packet_filter: list[dict[str, Any]], source: str, destination: str, port: int, proto: int
) -> bool:
    """Whether a filter has a rule for this packet; a port is compared whatever the protocol."""
    for rule in packet_filter:
        if proto in rule.get("IPProto", DEFAULT_PROTOCOLS) and any_overlap(rule["SrcIPs"], [source]):
            for dest in rule.get("DstPorts", ()):
                if (
                    overlap(dest["IP"], destination)
                    and dest["Ports"]["First"] <= port <= dest["Ports"]["Last"]
                ):
                    return True
    return False


def allowed(  # noqa: PLR0917
    world: World, policy: Policy, source: str, destination: str, port: int, proto: int
) -> bool:
    """Whether the device that has the destination lets the packet in.

    Behind a route that is any approved router of the narrowest prefix around the destination, at last an exit node.
    """
    holders = [node for node in world.nodes if destination in node.addresses]
    if not holders:
        around = {route for node in world.nodes for route in node.approved if contains(route, destination)}
        narrowest = max(around, key=lambda route: int(route.partition("/")[2]), default=None)
        holders = [node for node in world.nodes if narrowest in node.approved]
    rules = rules_of(world, policy)
    filters = [[e.wire() for e in entries_of(world, policy, node, rules)] for node in holders]
    return any(lets_in(found, source, destination, port, proto) for found in filters)


def settled(packet_filter: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A filter with the destinations of each rule sorted: their order is free where the recordings do not tell."""
    found = []
    for rule in packet_filter:
        ports = sorted(rule.get("DstPorts", ()), key=lambda dest: (dest["IP"], *dest["Ports"].values()))
        found.append(rule | ({"DstPorts": ports} if ports else {}))
    return found
