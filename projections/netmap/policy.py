"""A policy takes effect: it is compiled, and every node and class is looked at anew.

Rule 1: only what differs afterwards is a change: an edit of one rule changes its entry, the order, and the classes and sets that
        it speaks of.
Rule 2: a text that was a policy once and can no longer be read allows nothing: what is not understood may be a revocation.
"""

from typing import Final

from engine.contracts.netmap import Change, EntryObject, ProgramObject, SshRuleObject
from engine.domain.values import NodeId
from engine.domain.whom import domains_of
from engine.policy.compiled import Policy
from engine.policy.document import EMPTY, Document
from engine.policy.faults import PolicyFault
from engine.policy.policy import Identity
from engine.policy.reading import read
from projections.netmap.classes import identity_of, put_sets, stand, vanish
from projections.netmap.state import NetmapState

NOTHING: Final = Document(acls=())


def recompile(state: NetmapState) -> list[Change | None]:
    """Compile the tailnet's policy; return what changes of its entries, their order and the SSH rules."""
    state.policy = Policy(_document(state), state.epoch)
    return _put_program(state)


def reclass(state: NetmapState) -> tuple[dict[NodeId, Identity], list[Change | None]]:
    """Look at every node anew; return their identities by node, and what changes of classes and sets."""
    found = {number: identity_of(state, node) for number, node in state.tailnet.nodes.items()}
    state.members = {}
    for identity in found.values():
        state.members[identity.id] = state.members.get(identity.id, 0) + 1
    wanted = {identity.id: identity for identity in found.values()}
    touched: set[str] = set()
    changes = []
    for name in state.identities.keys() - wanted.keys():
        state.members[name] = 0
        changes.append(vanish(state, name, touched))
    changes += [stand(state, identity, touched) for identity in wanted.values()]
    held = {key[4:] for key in state.objects if key.startswith("set/")}
    return found, changes + put_sets(state, touched | held)


def _document(state: NetmapState) -> Document:
    policy = state.tailnet.policy
    if policy is None:
        return EMPTY
    try:
        return read(policy.text, domains=domains_of(state.tailnet))
    except PolicyFault:
        return NOTHING


def _put_program(state: NetmapState) -> list[Change | None]:
    policy = state.policy
    wanted = {f"entry/{entry.id}" for entry in policy.entries} | {f"ssh/{r.id}" for r in policy.ssh_rules}
    gone = [key for key in state.objects if key.startswith(("entry/", "ssh/")) and key not in wanted]
    return [
        *(state.drop(key) for key in gone),
        *(state.put(EntryObject(entry=entry)) for entry in policy.entries),
        *(state.put(SshRuleObject(rule=rule)) for rule in policy.ssh_rules),
        state.put(ProgramObject(entries=tuple(entry.id for entry in policy.entries))),
    ]
