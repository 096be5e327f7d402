"""Whether a node is told of a WireGuard-only peer: its key, its client, the connection, the policy; pure.

Rule 1: each finding that blocks here is a reason not to be told; if there is none, the node is told.
"""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from engine.contracts.told import FIRST_CAPVER
from engine.domain.aggregates import DEFAULT_ROUTES, Node
from engine.domain.connections import JAIL_CAPVER
from engine.domain.masquerade import V6_MASQ_CAPVER
from engine.domain.pairs import command_line, connected_part, listed, named
from engine.domain.values import NEVER, Position
from engine.policy.compiled import permit_of
from engine.policy.permit import permitted
from engine.policy.program import Rule
from projections.history.causes import connection_thing, identity_things
from projections.history.findings import Finding
from projections.history.scene import Pair, Scene

SOON: Final = 7 * 86_400_000
"""Milliseconds before a key's end within which its connections deserve a word; as `connection.key_expires`."""


def way(scene: Scene, pair: Pair) -> Iterator[Finding]:
    """Yield all that decides whether the node is told of the peer."""
    yield from of_node(scene, pair.node)
    yield from _client(scene, pair)
    yield from _connection(scene, pair)
    if pair.connection is not None:
        yield from _policy(scene, pair)


def of_node(scene: Scene, node: Node) -> Iterator[Finding]:
    """Yield what is so of a node, whatever it is connected to."""
    made = scene.causes.of(("node.expiry", node.id))
    fix = f"netmap node set-expiry {node.name} --in 180d"
    if node.expired:
        text = f"the key of node {named(node)} has expired: it is told of nobody until it logs in again"
        yield Finding(code="node.expired", verdict="blocks", text=text, fix=fix, made=made, node=node.id)
    elif NEVER < node.expiry < scene.now + SOON:
        text = (
            f"the key of node {named(node)} expires within a week; with a new one the far side must be told"
        )
        yield Finding(code="node.key_expires", verdict="warn", text=text, fix=fix, made=made, node=node.id)
    else:
        text = f"the key of node {named(node)} is good"
        yield Finding(code="node.key_good", verdict="ok", text=text, made=made, node=node.id)
    known = scene.presence(node.id)
    if known is not None:
        text = f"node {named(node)} is {'online' if known.online else 'offline'}"
        code = "node.online" if known.online else "node.offline"
        yield Finding(code=code, verdict="ok" if known.online else "note", text=text, node=node.id)


def _client(scene: Scene, pair: Pair) -> Iterator[Finding]:
    node, capver = pair.node, pair.capver
    whose, made = f"the client of node {named(node)}", scene.causes.of(("node.client", node.id))
    fix = "tailscale update   # on the node"
    if not capver:
        text = f"{whose} has not said its capability version yet: it needs {JAIL_CAPVER}"
        yield Finding(code="client.unknown", verdict="note", text=text, node=node.id)
    elif capver < JAIL_CAPVER:
        what = "WireGuard-only peers" if capver < FIRST_CAPVER else "jail: the far side could call it"
        needed = FIRST_CAPVER if capver < FIRST_CAPVER else JAIL_CAPVER
        text = f"{whose} is told of no WireGuard-only peer: capability version {capver} knows no {what} (needed {needed})"
        yield Finding(code="client.old", verdict="blocks", text=text, fix=fix, made=made, node=node.id)
    elif capver < V6_MASQ_CAPVER and _has_ipv6(pair):
        text = (
            f"{whose} does not translate IPv6 (capability version {capver}, needed {V6_MASQ_CAPVER}): it is told of "
            "no IPv6 masquerade address, and of no IPv6 prefix but the default route"
        )
        yield Finding(code="client.ipv6", verdict="warn", text=text, fix=fix, made=made, node=node.id)
    else:
        text = f"{whose} has capability version {capver}"
        yield Finding(code="client.known", verdict="ok", text=text, made=made, node=node.id)


def _has_ipv6(pair: Pair) -> bool:
    if pair.connection is None:
        return False
    part = connected_part(pair.connection, pair.peer)
    return bool(pair.connection.ipv6_masq) or any(
        ":" in prefix and prefix not in DEFAULT_ROUTES for prefix in part
    )


def _connection(scene: Scene, pair: Pair) -> Iterator[Finding]:
    node, peer, held = pair.node, pair.peer, pair.connection
    thing = connection_thing(node.id, peer.id)
    if held is None:
        yield _unconnected(scene, pair)
        return
    made = [thing, ("connection.terms", node.id, peer.id)]
    text = f"node {named(node)} is connected to {named(peer)} as {listed(held.ipv4_masq, held.ipv6_masq)}"
    if held.selector:
        made.append(("selector", peer.id, held.selector))
        text += f", because {held.selector} is"
    found = scene.causes.of(*made)
    yield Finding(code="connection.exists", verdict="ok", text=text, made=found, node=node.id, peer=peer.id)
    if not held.jailed:
        text = f"{named(peer)} may call node {named(node)}, as far as the policy lets it"
        yield Finding(
            code="connection.unjailed", verdict="note", text=text, made=found, node=node.id, peer=peer.id
        )


def _unconnected(scene: Scene, pair: Pair) -> Finding:
    node, peer = pair.node, pair.peer
    gone = scene.causes.gone(*connection_thing(node.id, peer.id))
    before = None if gone is None else gone.connection
    text = f"node {named(node)} is not connected to {named(peer)}"
    made = () if gone is None else (gone.position,)
    fix = command_line("add", node.id, peer.id)
    if before is not None and before.selector:
        text += f" any more: it was because of {before.selector}"
        still = any(held.selector == before.selector for held in peer.selectors)
        fix = f"netmap connection add-selector --selector {before.selector} --wg-peer-id {peer.id}"
        if still and before.selector.startswith("tag:"):
            fix = f"netmap node tag {node.name} {' '.join(dict.fromkeys((*node.tags, before.selector)))}"
    elif before is not None:
        text += " any more"
        fix = command_line("add", node.id, peer.id, before.ipv4_masq, before.ipv6_masq)
        fix += f" --allowed-ips {','.join(before.allowed_ips)}" if before.allowed_ips else ""
        fix += "" if before.jailed else " --unjailed"
    elif not (peer.masq_v4 or peer.masq_v6):
        fix += " --ipv4-masq-addr ADDRESS"
    return Finding(
        code="connection.missing",
        verdict="blocks",
        text=text,
        fix=fix,
        made=made,
        node=node.id,
        peer=peer.id,
    )


def _policy(scene: Scene, pair: Pair) -> Iterator[Finding]:
    """Yield what the policy says, if it is asked (`settings set-wg-mode`)."""
    node, peer = pair.node, pair.peer
    mode = scene.causes.of(("mode",))
    if not scene.tailnet.settings.is_enforced:
        text = "the policy is not asked about WireGuard-only peers (mode bypass): the connection is enough"
        yield Finding(code="policy.bypass", verdict="ok", text=text, made=mode, node=node.id, peer=peer.id)
        return
    of_peer = (("peer", peer.id), ("peer.tags", peer.id), ("peer.allowed", peer.id))
    made = scene.causes.of(("policy",), ("mode",), *identity_things(node), *of_peer)
    for rule in _allowing(scene, pair):
        yield from _rule(pair, rule, made)
    if pair.extra is None:
        text = f"the policy lets node {named(node)} send nothing to {named(peer)}; a rule that would: {_wanted(scene, pair)}"
        yield Finding(
            code="policy.refuses",
            verdict="blocks",
            text=text,
            fix="netmap policy edit",
            made=made,
            node=node.id,
            peer=peer.id,
        )
        return
    whole, left = (
        connected_part(pair.connection, peer) if pair.connection else (),
        pair.extra.allowed_ips or (),
    )
    lost = [prefix for prefix in whole if prefix not in left]
    if lost:
        text = f"the policy leaves node {named(node)} {listed(*left) or 'the own addresses'} of {named(peer)}, and not {listed(*lost)}"
        yield Finding(
            code="policy.cut",
            verdict="warn",
            text=text,
            fix="netmap policy edit",
            made=made,
            node=node.id,
            peer=peer.id,
        )


def _allowing(scene: Scene, pair: Pair) -> tuple[Rule, ...]:
    identity = scene.identity(pair.node)
    return () if identity is None else scene.state.policy.allowing(identity)


def _rule(pair: Pair, rule: Rule, made: tuple[Position, ...]) -> Iterator[Finding]:
    """Yield what one rule leaves of the connection, if it speaks of the peer at all."""
    node, peer, permit = pair.node, pair.peer, permit_of([rule])
    if pair.connection is None:
        return
    part = connected_part(pair.connection, peer)
    left = permitted(part, (peer.ipv4, peer.ipv6), peer.extra.tags, permit)
    if left is None:
        return
    where = f"line {rule.line} of the policy" if rule.line else "without a policy everything"
    text = f"{where} lets node {named(node)} send to {listed(*left) or 'the own addresses'} through {named(peer)}"
    about = Finding(
        code="policy.permits",
        verdict="ok",
        text=text,
        made=made,
        rule=rule.place,
        line=rule.line,
        node=node.id,
        peer=peer.id,
    )
    yield about
    if permit.has_ports:
        text = f"{where} names ports or a protocol, which the client of node {named(node)} does not enforce towards {named(peer)}"
        yield replace(about, code="policy.ports", verdict="warn", text=text)


def _wanted(scene: Scene, pair: Pair) -> str:
    """Return a grant that would let the node use the peer."""
    node, peer = pair.node, pair.peer
    user = scene.tailnet.users.get(node.user)
    source = node.tags[0] if node.tags else "*"
    if not node.tags and user is not None:
        source = user.email or f"{user.name}@"
    part = connected_part(pair.connection, peer) if pair.connection else peer.allowed_ips
    targets = [prefix for prefix in part if prefix not in DEFAULT_ROUTES]
    targets += ["autogroup:internet"] if len(targets) < len(part) else []
    listing = ", ".join(f'"{target}"' for target in targets)
    return f'{{"src": ["{source}"], "dst": [{listing}], "ip": ["*"]}}'
