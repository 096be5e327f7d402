"""The packet filter of one device, entry by entry: policy-semantics 3.3 to 3.6 read as plainly as possible.

1. Grants in order, then ACLs in order; entries of the same sources and protocol merge wherever they stand.
2. Merge first, reduce after. A rule with `via` takes part only on devices that carry one of its tags.
3. Where the text leaves the order of ACL destinations free, they stay as written behind users and groups.
4. Capability rules name those addresses of the device that the destinations contain.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.kit.naive_select import (
    ALL_PORTS,
    Ports,
    addresses,
    as_destination,
    as_source,
    by_protocol,
    covered,
    number_of,
    ports_of,
    sources,
    split_destination,
)
from tests.kit.naive_world import Node, Policy, World, any_overlap

DRIVE, RELAY = "tailscale.com/cap/drive", "tailscale.com/cap/relay"
COMPANIONS = {DRIVE: "tailscale.com/cap/drive-sharer", RELAY: "tailscale.com/cap/relay-target"}
Part = tuple[int | None, list[tuple[str, list[Ports]]]]


@dataclass
class Rule:
    """A grant or an ACL: resolved sources, and per protocol the destination selectors with their ports."""

    sources: tuple[str, ...]
    parts: list[Part]
    dst: list[str] = field(default_factory=list)
    app: dict[str, Any] = field(default_factory=dict)
    via: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Dest:
    text: str
    ports: Ports
    internet: bool
    via: bool


@dataclass
class Entry:
    """One rule of a filter; with `caps` it grants capabilities on `dsts`, else it opens ports."""

    sources: tuple[str, ...]
    protocol: int | None = None
    dests: list[Dest] = field(default_factory=list)
    dsts: list[str] = field(default_factory=list)
    caps: dict[str, Any] | None = None

    def wire(self) -> dict[str, Any]:
        if self.caps is not None:
            return {"SrcIPs": list(self.sources), "CapGrant": [{"Dsts": self.dsts, "CapMap": self.caps}]}
        ports = [
            {"IP": dest.text, "Ports": {"First": dest.ports[0], "Last": dest.ports[1]}} for dest in self.dests
        ]
        protocol = {} if self.protocol is None else {"IPProto": [self.protocol]}
        return {"SrcIPs": list(self.sources), "DstPorts": ports} | protocol


def rules_of(world: World, policy: Policy) -> list[Rule]:
    """All rules in the order in which a filter is built; no rules at all mean that everything is open."""
    policy = policy or {}
    if policy.get("acls") is None and policy.get("grants") is None:
        return [Rule(sources(world, policy, {"src": ["*"]}), [(None, [("*", [ALL_PORTS])])])]
    grants = [grant for grant in policy.get("grants") or [] if grant.get("src") and grant.get("dst")]
    found = [grant_rule(world, policy, grant) for grant in grants]
    return found + [acl_rule(world, policy, acl) for acl in policy.get("acls") or []]


def grant_rule(world: World, policy: dict[str, Any], grant: dict[str, Any]) -> Rule:
    dst = [selector.strip() for selector in grant["dst"]]
    parts: list[Part] = [
        (protocol, [(selector, ports) for selector in dst])
        for protocol, ports in by_protocol(grant.get("ip") or []).items()
    ]
    via = frozenset(tag.strip() for tag in grant.get("via") or [])
    return Rule(sources(world, policy, grant), parts, dst, grant.get("app") or {}, via)


def acl_rule(world: World, policy: dict[str, Any], acl: dict[str, Any]) -> Rule:
    folded: dict[str, list[Ports]] = {}
    for text in acl.get("dst") or []:
        selector, ports = split_destination(text)
        folded.setdefault(selector, []).extend(ports_of(ports))
    ordered = sorted(folded.items(), key=lambda item: kind_order(item[0]))
    protocol = number_of(acl["proto"]) if acl.get("proto") else None
    return Rule(sources(world, policy, {"src": []} | acl), [(protocol, ordered)])


def kind_order(selector: str) -> int:
    if selector == "*":
        return 0
    if selector.startswith("autogroup:"):
        return 4
    if selector.startswith("group:"):
        return 2
    return 1 if "@" in selector else 3


def self_sources(world: World, node: Node, rule: Rule) -> list[str]:
    """What `autogroup:self` leaves of the sources on a device: the devices of its own user."""
    own = [other for other in world.nodes if node.owner is not None and other.owner == node.owner]
    return sorted({address for other in own for address in covered(other, rule.sources)})


def entries_of(world: World, policy: Policy, node: Node, rules: list[Rule]) -> list[Entry]:
    """The filter of a device, merged and reduced."""
    merged: list[Entry] = []
    for rule in rules:
        if rule.via and not rule.via & set(node.tags):
            continue
        for protocol, destinations in rule.parts:
            for selector, ports in destinations:
                own = selector == "autogroup:self"
                origin = tuple(self_sources(world, node, rule)) if own else rule.sources
                if origin:
                    texts = node.addresses if own else as_destination(world, policy or {}, selector)
                    internet = selector == "autogroup:internet"
                    dests = [Dest(text, port, internet, bool(rule.via)) for text in texts for port in ports]
                    entry_for(merged, origin, protocol).dests.extend(dests)
        if rule.app and not rule.via:
            merged.extend(capabilities(world, policy or {}, node, rule))
    for entry in merged:
        entry.dests = [dest for dest in entry.dests if concerns(node, dest)]
    return [entry for entry in merged if entry.dests or entry.caps is not None]


def entry_for(merged: list[Entry], origin: tuple[str, ...], protocol: int | None) -> Entry:
    for entry in merged:
        if entry.caps is None and (entry.sources, entry.protocol) == (origin, protocol):
            return entry
    merged.append(Entry(origin, protocol))
    return merged[-1]


def concerns(node: Node, dest: Dest) -> bool:
    if dest.internet and node.exits:
        return True
    if dest.via:
        return any_overlap(node.routes, [dest.text])
    return dest.text == "*" or any_overlap([*node.addresses, *node.routes], [dest.text])


def capabilities(world: World, policy: dict[str, Any], node: Node, rule: Rule) -> list[Entry]:
    """The capability rules of a grant on a device: its own, then the companions that point the other way."""
    found = []
    rest = [selector for selector in rule.dst if selector != "autogroup:self"]
    own = node.owner is not None and len(rest) < len(rule.dst)
    targets = [text for selector in rest for text in as_destination(world, policy, selector)]
    if covered(node, targets):
        found.append(Entry(rule.sources, dsts=prefixes(covered(node, targets)), caps=rule.app))
    if own:
        origin = tuple(self_sources(world, node, rule))
        found.append(Entry(origin, dsts=prefixes(node.addresses), caps=rule.app))
    back = {text for selector in rest for text in as_source(world, policy, selector)}
    if own:
        back |= set(addresses([other for other in world.nodes if other.owner == node.owner]))
    here = covered(node, rule.sources)
    for name in (DRIVE, RELAY):
        if name in rule.app and here and (rest or own):
            companion = {COMPANIONS[name]: None}
            found.append(Entry(tuple(sorted(back)), dsts=prefixes(here), caps=companion))
    return found


def prefixes(texts: list[str]) -> list[str]:
    return sorted(f"{text}/128" if ":" in text else f"{text}/32" for text in texts)
