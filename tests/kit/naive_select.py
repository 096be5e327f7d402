"""What a selector of a policy stands for, how ports and protocols are read, and which postures a device fulfils.

1. Selectors are trimmed. Sources resolve to a sorted set of texts, each destination selector to a list.
2. A rule with postures reaches fulfilling devices only: what its selectors cover becomes their addresses.
3. The policy is taken to be valid; what makes no sense resolves to nothing or raises whatever Python raises.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from tests.kit.naive_world import Fact, Node, World, any_overlap, overlap

WILDCARD: Final = ("100.115.94.0-100.127.255.255", "100.64.0.0-100.115.91.255", "fd7a:115c:a1e0::/48")
INTERNET: Final = (
    "0.0.0.0-9.255.255.255",
    "11.0.0.0-100.63.255.255",
    "100.128.0.0-169.253.255.255",
    "169.255.0.0-172.15.255.255",
    "172.32.0.0-192.167.255.255",
    "192.169.0.0-255.255.255.255",
    "2000::-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)
PROTOCOLS: Final = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}
ALL_PORTS: Final = (0, 65535)
Ports = tuple[int, int]


def addresses(nodes: Iterable[Node]) -> list[str]:
    return sorted({address for node in nodes for address in node.addresses})


def chosen(world: World, policy: dict[str, Any], selector: str) -> list[Node] | None:
    """The devices that a selector names by whose they are; None if it names none that way."""
    users = {user.id: user for user in world.users}
    if selector == "autogroup:member":
        return [node for node in world.nodes if not node.tags]
    if selector == "autogroup:tagged":
        return [node for node in world.nodes if node.tags]
    if selector.startswith("tag:"):
        return [node for node in world.nodes if selector in node.tags]
    if selector.startswith("group:"):
        members = [member.strip() for member in policy["groups"][selector]]
        return [node for member in members for node in chosen(world, policy, member) or []]
    if selector in ("autogroup:admin", "autogroup:owner"):
        roles = {"owner"} if selector == "autogroup:owner" else {"owner", "admin"}
        return [
            node for node in world.nodes if node.owner is not None and roles & set(users[node.owner].roles)
        ]
    if selector.startswith("user:*@"):
        domain = selector.removeprefix("user:*@")
        return [
            node
            for node in world.nodes
            if node.owner is not None and domain_of(users[node.owner].email) == domain
        ]
    if "@" in selector:
        return [
            node for node in world.nodes if node.owner is not None and users[node.owner].email == selector
        ]
    return None


def domain_of(email: str) -> str:
    return email.rpartition("@")[2]


def literal(policy: dict[str, Any], selector: str) -> str:
    """An address, prefix or host as it is printed: a single address bare."""
    network = ipaddress.ip_network(policy.get("hosts", {}).get(selector, selector).strip(), strict=False)
    return str(network[0]) if network.prefixlen == network.max_prefixlen else str(network)


def as_source(world: World, policy: dict[str, Any], selector: str) -> list[str]:
    selector = selector.strip()
    if selector == "*":
        return [*WILDCARD, *(route for node in world.nodes for route in node.routes)]
    if selector == "autogroup:danger-all":
        return ["*"]
    if selector == "autogroup:internet":
        return list(INTERNET)
    nodes = chosen(world, policy, selector)
    return [literal(policy, selector)] if nodes is None else addresses(nodes)


def as_destination(world: World, policy: dict[str, Any], selector: str) -> list[str]:
    return ["*"] if selector.strip() == "*" else as_source(world, policy, selector)


def sources(world: World, policy: dict[str, Any], rule: dict[str, Any]) -> tuple[str, ...]:
    """`SrcIPs` of a rule: sorted as strings, each once, cut down to devices if postures are asked for."""
    found = sorted({text for selector in rule["src"] for text in as_source(world, policy, selector)})
    names = rule.get("srcPosture") or policy.get("defaultSrcPosture")
    if names:
        fit = [node for node in world.nodes if any(fulfils(node, policy["postures"][name]) for name in names)]
        found = [address for address in addresses(fit) if any_overlap(found, [address])]
    return tuple(found)


def covered(node: Node, texts: Iterable[str]) -> list[str]:
    """The addresses of a device that lie in these."""
    texts = list(texts)
    return [address for address in node.addresses if any(overlap(address, text) for text in texts)]


def number_of(protocol: str) -> int:
    return PROTOCOLS[protocol] if protocol in PROTOCOLS else int(protocol)


def ports_of(text: str) -> list[Ports]:
    """Read `*`, `n`, `a-b` and lists of them; raise ValueError for anything else."""
    found = []
    for part in text.split(","):
        if part == "*":
            found.append(ALL_PORTS)
            continue
        match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part)
        if match is None:
            raise ValueError(f"bad port {part!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 < first <= last <= ALL_PORTS[1]:
            raise ValueError(f"bad port {part!r}")
        found.append((first, last))
    return found


def split_destination(text: str) -> tuple[str, str]:
    """An ACL destination is cut at its last colon; an IPv6 address may stand in brackets."""
    selector, _, ports = text.strip().rpartition(":")
    return re.sub(r"^\[(.*)\]", r"\1", selector), ports


def by_protocol(items: list[str]) -> dict[int | None, list[Ports]]:
    """The `ip` items of a grant, gathered by protocol in order of first appearance."""
    found: dict[int | None, list[Ports]] = {}
    for item in items:
        protocol, colon, ports = item.strip().rpartition(":")
        found.setdefault(number_of(protocol) if colon else None, []).extend(ports_of(ports))
    return found


COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
}


def fulfils(node: Node, conditions: list[str]) -> bool:
    return all(holds(node.posture, condition) for condition in conditions)


def holds(facts: dict[str, Fact], condition: str) -> bool:
    """One condition, `node:os == 'macos'`; where the attribute is not set only `NOT SET` holds."""
    match = re.fullmatch(
        r"\s*(\S+)\s+(IS SET|NOT SET|NOT IN|IN|==|!=|<=|>=|<|>)(?:\s+(.*\S))?\s*", condition, re.IGNORECASE
    )
    if match is None:
        raise ValueError(f"no condition: {condition!r}")
    name, operator, operand = match[1], match[2].upper(), match[3]
    if operator in ("IS SET", "NOT SET"):
        return (name in facts) == (operator == "IS SET")
    if name not in facts:
        return False
    fact = facts[name]
    if operator in ("IN", "NOT IN"):
        listed = any(same(fact, value(item)) for item in re.findall(r"'[^']*'|[^\s,'\[\]]+", operand))
        return listed == (operator == "IN")
    wanted = value(operand)
    if operator in ("==", "!="):
        return same(fact, wanted) == (operator == "==")
    if isinstance(fact, bool) or isinstance(wanted, bool) or isinstance(fact, str) != isinstance(wanted, str):
        return False
    if isinstance(fact, str):
        return COMPARE[operator](version(fact), version(str(wanted)))
    return COMPARE[operator](fact, wanted)


def same(fact: Fact, wanted: Fact) -> bool:
    """Equal and of one kind: `true` is neither 1 nor 'true'."""
    kinds = [str if isinstance(v, str) else bool if isinstance(v, bool) else float for v in (fact, wanted)]
    return kinds[0] is kinds[1] and fact == wanted


def value(text: str) -> Fact:
    if text[0] in "'\"":
        return text[1:-1]
    return text == "true" if text in ("true", "false") else float(text)


def version(text: str) -> list[int]:
    """The numbers of a dotted version; zeros at the end say nothing."""
    parts = [int(part) for part in re.findall(r"\d+", text)]
    while parts and parts[-1] == 0:
        parts.pop()
    return parts
