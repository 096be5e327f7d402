"""A policy takes effect: it is compiled, and whoever it speaks of otherwise than the one before is looked at anew.

Rule 1: only what differs afterwards is a change: an edit of one rule changes its entry, the order, and the classes and sets that
        it speaks of.
Rule 2: an edit of rules alone looks only at the classes that those rules speak of, and at the nodes in ranges that came or went;
        anything else looks at everybody (`engine/policy/edit.py`).
Rule 3: a text that was a policy once and can no longer be read allows nothing: what is not understood may be a revocation.
"""

from collections.abc import Iterable
from typing import Final

from engine.contracts.netmap import Change, EntryObject, ProgramObject, SshRuleObject
from engine.domain.document import document_of
from engine.domain.values import NodeId
from engine.policy.compiled import Policy
from engine.policy.edit import Edit
from engine.policy.ranges import Span, overlap, span_of
from projections.netmap.classes import identity_of, move, put_sets, stand, vanish
from projections.netmap.objects import node_object
from projections.netmap.routes import put_routes
from projections.netmap.state import NetmapState

_LAST_IPV4: Final = 2**32


def take_effect(state: NetmapState) -> list[Change | None]:
    """Compile the tailnet's policy, and return what changes of its entries, of classes, sets, nodes and routes."""
    before, state.policy = state.policy, Policy(document_of(state.tailnet), state.epoch)
    edit = state.policy.since(before)
    changes = _put_program(state, before)
    if edit is None:
        changes += _look_at_all(state)
        return changes + put_routes(state, state.routers)
    changes += _look_at(state, before, edit)
    return changes + put_routes(state, [p for p in state.routers if edit.concerns(span_of(p))])


def take_effect_on_all(state: NetmapState) -> None:
    """Compile the tailnet's policy and look at everybody; of entries, classes and sets the state holds nothing yet."""
    before, state.policy = state.policy, Policy(document_of(state.tailnet), state.epoch)
    _put_program(state, before)
    _look_at_all(state)
    put_routes(state, state.routers)


def _put_program(state: NetmapState, before: Policy) -> list[Change | None]:
    policy = state.policy
    entries = {entry.id for entry in before.entries}.difference(entry.id for entry in policy.entries)
    rules = {rule.id for rule in before.ssh_rules}.difference(rule.id for rule in policy.ssh_rules)
    return [
        *(state.drop(f"entry/{name}") for name in entries),
        *(state.drop(f"ssh/{name}") for name in rules),
        *(state.put(EntryObject(entry=entry)) for entry in policy.entries),
        *(state.put(SshRuleObject(rule=rule)) for rule in policy.ssh_rules),
        state.put(ProgramObject(entries=tuple(entry.id for entry in policy.entries))),
    ]


def _look_at(state: NetmapState, before: Policy, edit: Edit) -> list[Change | None]:
    touched = set(state.policy.named_otherwise(before))
    spoken = edit.keys
    changes = [
        stand(state, identity, touched)
        for name, identity in state.identities.items()
        if not spoken.isdisjoint(state.keys[name]) or not edit.tags.isdisjoint(identity.tags)
    ]
    changes += put_sets(state, touched)
    for number in _in_ranges(state, edit.spans):
        node, held = state.tailnet.nodes[number], state.node(number)
        identity = identity_of(state, node)
        changes.append(state.put(node_object(node, identity.id)))
        changes += move(state, "" if held is None else held.class_id, identity)
    return changes


def _in_ranges(state: NetmapState, spans: tuple[Span, ...]) -> list[NodeId]:
    """Return the nodes that have an address in one of the ranges, or a route that overlaps one."""
    if not spans:
        return []
    found = {
        number
        for version, first, last in spans
        for address, number in state.tailnet.holders.items()
        if first <= address <= last and (address < _LAST_IPV4) is (version == 4)  # noqa: PLR2004 (an IP version)
    }
    for prefix, routers in state.routers.items():
        if any(overlap(span_of(prefix), span) for span in spans):
            found.update(routers)
    expired = (node.id for node in state.tailnet.nodes.values() if node.routes and node.expired)
    return sorted(NodeId(number) for number in found.union(expired) if number in state.tailnet.nodes)


def _look_at_all(state: NetmapState) -> list[Change | None]:
    found = {number: identity_of(state, node) for number, node in state.tailnet.nodes.items()}
    wanted = {identity.id: identity for identity in found.values()}
    touched: set[str] = set()
    changes = _vanish_all(state, state.identities.keys() - wanted.keys(), touched)
    state.members = dict.fromkeys(wanted, 0)
    for identity in found.values():
        state.members[identity.id] += 1
    changes += [stand(state, identity, touched) for identity in wanted.values()]
    changes += put_sets(state, touched.union(state.sets))
    for number, identity in found.items():
        changes.append(state.put(node_object(state.tailnet.nodes[number], identity.id)))
    return changes


def _vanish_all(state: NetmapState, names: Iterable[str], touched: set[str]) -> list[Change | None]:
    return [vanish(state, name, touched) for name in names]
