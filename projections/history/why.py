"""Why a node sees a peer or does not, and whether it can use it: of a WireGuard-only peer, and of another node; pure.

Rule 1: every fact that has a say is told, also those that are as they must be: who asks why wants to see what was looked at.
Rule 2: the worst stands first.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from engine.domain.aggregates import Node, Peer
from engine.domain.pairs import named
from engine.domain.values import Position
from engine.policy.program import Rule
from projections.history.causes import Gone, identity_things
from projections.history.findings import SEVERITY, Explanation, Finding
from projections.history.places import of_peer, of_place
from projections.history.scene import Scene
from projections.history.traffic import mutual, traffic
from projections.history.way import of_node, way


def explain(scene: Scene, node: Node, peer: Peer, capver: int | None = None) -> Explanation:
    """Return why the node is told of the WireGuard-only peer or not, and what it can do with it.

    `capver` is its client's capability version, if not the last known one is meant.
    """
    pair = scene.pair(node, peer, capver)
    found = [*way(scene, pair), *of_peer(scene, peer), *of_place(scene, peer, node.id)]
    if pair.told is not None:
        found += [*traffic(scene, pair), *mutual(scene, pair)]
    return _explanation(found, is_seen=pair.told is not None)


def removed(node: Node, number: int, gone: Gone) -> Explanation:
    """Return why the node does not see a peer that is not there any more."""
    what = f"{number}({gone.name})" if gone.name else str(number)
    finding = Finding(
        code="peer.removed",
        verdict="blocks",
        text=f"{what} was removed; ids are never used again",
        made=(gone.position,),
        node=node.id,
        peer=number,
    )
    return _explanation([finding], is_seen=False)


def between(scene: Scene, node: Node, other: Node) -> Explanation:
    """Return why a node is told of another one or not, by which rules."""
    found = [*_alone(scene, node), *_alone(scene, other, of=node)]
    mine, theirs = scene.identity(node), scene.identity(other)
    held = scene.state.node(node.id)
    own = None if held is None or held.expired else scene.state.class_of(held.class_id)
    sees = own is not None and theirs is not None and theirs.id in scene.state.classes_in(own.sees)
    policy = scene.state.policy
    if mine is not None and theirs is not None:
        found += [_rule(scene, node, other, rule) for rule in policy.reaching(mine, theirs)]
        found += [_rule(scene, other, node, rule) for rule in policy.reaching(theirs, mine)]
    if not sees and not node.expired:
        text = f"no rule of the policy lets node {named(node)} and node {named(other)} reach each other"
        made = _made(scene, node, other)
        found.append(
            Finding(
                code="policy.refuses",
                verdict="blocks",
                text=text,
                fix="netmap policy edit",
                made=made,
                node=node.id,
            )
        )
    elif sees and not any(finding.code == "policy.permits" for finding in found):
        text = f"the policy shows node {named(other)} to node {named(node)}, for a route or for everybody"
        found.append(
            Finding(
                code="policy.shows", verdict="ok", text=text, made=_made(scene, node, other), node=node.id
            )
        )
    return _explanation(found, is_seen=sees)


def _alone(scene: Scene, node: Node, of: Node | None = None) -> Iterator[Finding]:
    """Yield what is so of a node; that another's key has expired keeps nobody from seeing it, but nothing answers."""
    for finding in of_node(scene, node):
        if of is not None and finding.code == "node.expired":
            text = f"the key of node {named(node)} has expired: it is shown, and answers nothing"
            yield replace(finding, text=text)
        else:
            yield finding


def _rule(scene: Scene, source: Node, target: Node, rule: Rule) -> Finding:
    where = f"line {rule.line} of the policy lets" if rule.line else "there is no rule, which lets"
    return Finding(
        code="policy.permits",
        verdict="ok",
        text=f"{where} node {named(source)} reach node {named(target)}",
        made=_made(scene, source, target),
        rule=rule.place,
        line=rule.line,
        node=source.id,
    )


def _made(scene: Scene, node: Node, other: Node) -> tuple[Position, ...]:
    """Return what made the policy say what it says of two nodes."""
    return scene.causes.of(("policy",), *identity_things(node), *identity_things(other))


def _explanation(found: list[Finding], *, is_seen: bool) -> Explanation:
    ordered = sorted(found, key=lambda finding: SEVERITY[finding.verdict])
    return Explanation(is_seen=is_seen, findings=tuple(ordered))
