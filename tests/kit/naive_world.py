"""A tailnet in plain words, and the arithmetic of addresses: the ground under the naive policy evaluator.

1. An address, a prefix, a range `a-b` and `*` are all texts; `overlap` is the one question asked of them.
2. A tagged device belongs to nobody, whoever its `user` is. Lower ids registered earlier.
3. Of routes only the approved ones mean anything; `advertised` is looked at by auto-approval alone.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

Policy = dict[str, Any] | None
Fact = str | int | float | bool

EXIT_ROUTES: Final = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True)
class User:
    id: int
    email: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Node:
    id: int
    name: str
    user: int | None
    tags: tuple[str, ...]
    ipv4: str
    ipv6: str
    advertised: tuple[str, ...] = ()
    approved: tuple[str, ...] = ()
    online: bool = True
    posture: dict[str, Fact] = field(default_factory=dict)

    @property
    def owner(self) -> int | None:
        return None if self.tags else self.user

    @property
    def addresses(self) -> list[str]:
        return sorted([self.ipv4, self.ipv6])

    @property
    def routes(self) -> list[str]:
        return [route for route in self.approved if route not in EXIT_ROUTES]

    @property
    def exits(self) -> list[str]:
        return [route for route in self.approved if route in EXIT_ROUTES]

    @property
    def own_prefixes(self) -> list[str]:
        return [f"{self.ipv4}/32", f"{self.ipv6}/128"]


@dataclass(frozen=True)
class World:
    users: tuple[User, ...]
    nodes: tuple[Node, ...]
    domains: tuple[str, ...]
    auto_updates: bool = False

    def node(self, number: int) -> Node:
        return next(node for node in self.nodes if node.id == number)

    def user(self, number: int) -> User:
        return next(user for user in self.users if user.id == number)

    def routers(self, route: str) -> list[Node]:
        return sorted((node for node in self.nodes if route in node.routes), key=lambda node: node.id)

    def primary(self, route: str, among: Iterable[Node] | None = None) -> Node | None:
        """The oldest router that is online, of all or of these; with none online the oldest."""
        routers = [node for node in self.routers(route) if among is None or node in among]
        return next((node for node in routers if node.online), routers[0] if routers else None)


@cache
def span(text: str) -> tuple[int, int, int]:
    """IP version, first and last address as numbers, of an address, a prefix or a range."""
    if "-" in text:
        first, last = (ipaddress.ip_address(end) for end in text.split("-"))
        return first.version, int(first), int(last)
    network = ipaddress.ip_network(text, strict=False)
    return network.version, int(network[0]), int(network[-1])


def overlap(one: str, two: str) -> bool:
    if "*" in (one, two):
        return True
    (version, first, last), (other, start, end) = span(one), span(two)
    return version == other and first <= end and start <= last


def any_overlap(texts: Iterable[str], others: Iterable[str]) -> bool:
    others = list(others)
    return any(overlap(text, other) for text in texts for other in others)


def contains(prefix: str, inner: str) -> bool:
    (version, first, last), (other, start, end) = span(prefix), span(inner)
    return version == other and first <= start and end <= last
