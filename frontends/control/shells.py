"""Rules of Tailscale SSH in their wire form: for each class what its nodes' clients get; pure.

Rule 1: principals are addresses, sorted as texts; where a rule counts a node once for each of its tags, so does its list
        (policy-semantics §3.12).
Rule 2: a rule with names of its users' own is one rule for each source user, in the order of their ids, and one for all tagged
        sources at the end.
Rule 3: what was made for a rule is kept until one of its sources' classes has other nodes.
Rule 4: no rule is left out of fear, only if nobody is meant: a rule without principals would match nobody anyway.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from engine.contracts.netmap import ClassObject, NodeObject, SshRuleObject
from engine.domain.values import UserId
from engine.policy.policy import SshRule, SshUse
from frontends.control.replica import Replica
from frontends.control.sources import Sources, senders
from frontends.wire.codec import encode
from frontends.wire.tailcfg.ssh import SSHAction, SSHPrincipal
from frontends.wire.tailcfg.ssh import SSHRule as WireRule

CHECK_PATH: Final = "/machine/ssh/check/"
CHECK_URL: Final = f"https://unused{CHECK_PATH}$SRC_NODE_ID/$DST_NODE_ID?user=$SSH_USER&local=$LOCAL_USER"
"""Where a client asks what becomes of a held connection: always this server, over Noise (control-protocol §5.8)."""
_ACCEPT: Final = SSHAction(
    accept=True,
    allow_agent_forwarding=True,
    allow_local_port_forwarding=True,
    allow_remote_port_forwarding=True,
)
_CHECK: Final = SSHAction(hold_and_delegate=CHECK_URL)
NOBODY: Final = encode({"rules": []})


class _Group(msgspec.Struct):
    """The sources of a rule that are of one user, 0 for all tagged ones."""

    addresses: list[str]
    names: dict[str, None]


class Shells:
    """The SSH policies of a replica's classes."""

    def __init__(self, replica: Replica, sources: Sources) -> None:
        self._replica: Final = replica
        self._sources: Final = sources
        self._made: Final[dict[str, tuple[frozenset[str], int, Mapping[int, _Group]]]] = {}
        self._texts: Final[dict[str, tuple[int, ClassObject, bytes]]] = {}

    def of(self, own: ClassObject, node: NodeObject) -> bytes:
        """Return the value of `SSHPolicy` for a node of the class."""
        if not own.ssh:
            return NOBODY
        if not own.user and any(use.own for use in own.ssh):
            return self._encoded(own, node)  # its own addresses may stand in it
        known = self._texts.get(own.id)
        if known is not None and known[0] == self._sources.tick and known[1] is own:
            return known[2]
        text = self._encoded(own, node)
        if known is not None and known[2] == text:
            text = known[2]
        self._texts[own.id] = (self._sources.tick, own, text)
        return text

    def _encoded(self, own: ClassObject, node: NodeObject) -> bytes:
        addresses = senders(node)
        rules = [rule for use in own.ssh for rule in self._rules(use, own, addresses)]
        return encode({"rules": rules})

    def _rules(self, use: SshUse, own: ClassObject, addresses: tuple[str, ...]) -> Iterator[WireRule]:
        value = self._replica.get(f"ssh/{use.rule}")
        if not isinstance(value, SshRuleObject):
            return
        rule, groups = value.rule, self._groups(value.rule)
        if use.own and rule.local and not self._sources.classes(rule.towards):
            return
        if use.own:
            groups = _own_groups(own, groups, addresses)
        if not rule.local:
            everybody = [address for group in groups.values() for address in group.addresses]
            yield from _wire(rule, everybody, dict(rule.users))
            return
        for user in sorted(groups, key=lambda user: (not user, user)):
            yield from _wire(rule, groups[user].addresses, dict(rule.users))
            for name in groups[user].names:
                yield from _wire(rule, groups[user].addresses, {name: name})

    def _groups(self, rule: SshRule) -> Mapping[int, _Group]:
        once, each = self._sources.classes(rule.sets), self._sources.classes(rule.each)
        both = once | each
        stamp = self._sources.stamp(both)
        known = self._made.get(rule.id)
        if known is not None and known[:2] == (both, stamp):
            return known[2]
        groups: dict[int, _Group] = defaultdict(lambda: _Group([], {}))
        for name in both:
            self._gather(rule, name, name in each, groups)
        self._made[rule.id] = (both, stamp, dict(groups))
        return groups

    def _gather(self, rule: SshRule, name: str, is_each: bool, groups: dict[int, _Group]) -> None:  # noqa: FBT001
        value = self._replica.get(f"class/{name}")
        if not isinstance(value, ClassObject):
            return
        group = groups[value.user]
        for shown in self._sources.nodes(name):
            times = len(shown.node.tags or ()) if is_each else 1
            group.addresses += shown.addresses * times
        group.names.update(dict.fromkeys(local for place, local in value.local_names if place == rule.id))


def _own_groups(
    own: ClassObject, groups: Mapping[int, _Group], addresses: tuple[str, ...]
) -> Mapping[int, _Group]:
    if not own.user:
        return {0: _Group(list(addresses), {})}
    return {own.user: groups[UserId(own.user)]} if own.user in groups else {}


def _wire(rule: SshRule, addresses: Iterable[str], users: dict[str, str]) -> Iterator[WireRule]:
    principals = tuple(SSHPrincipal(node_ip=address) for address in sorted(addresses))
    if principals:
        yield WireRule(
            principals=principals,
            ssh_users=users,
            action=_CHECK if rule.is_check else _ACCEPT,
            accept_env=rule.accept_env,
        )
