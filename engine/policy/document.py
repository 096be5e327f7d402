"""A policy as it was understood: what a text says, checked and with every name resolved as far as the text alone can.

Rule 1: nothing of a tailnet is in here: no node, no user's number. `reading.py` makes it from a text, once.
Rule 2: hosts and IP sets have become ranges of addresses; groups and tags have kept their names.
Rule 3: orders are the author's: of rules, of selectors, of ports.
Rule 4: `line` is where a rule begins in the text, from 1: what people are told when they ask why.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

import msgspec

Ports = tuple[tuple[int, int], ...]
"""First and last, both included."""
ALL_PORTS: Final[Ports] = ((0, 65_535),)


class Kind(Enum):
    """What sort of selector it is."""

    ANY = "*"
    DANGER_ALL = "autogroup:danger-all"
    RANGE = "range"
    """Addresses, a prefix, a host, a part of an IP set: `first` and `last` are set."""
    USER = "user"
    """By a login name, in lower case."""
    DOMAIN = "domain"
    """`user:*@domain`; `value` is the domain."""
    GROUP = "group"
    """`value` is the whole name, `group:eng`."""
    TAG = "tag"
    MEMBER = "autogroup:member"
    TAGGED = "autogroup:tagged"
    SELF = "autogroup:self"
    INTERNET = "autogroup:internet"
    ROLE = "role"
    """`value` is `owner`, `admin`, `it-admin`, `network-admin`, `billing-admin` or `auditor`."""


class Selector(msgspec.Struct, frozen=True, kw_only=True):
    """Some of a tailnet, as a rule names it.

    `value` is canonical: equal selectors are equal structs. A range's is its text in a packet filter: an address, a
    prefix with its host bits zero, or `a-b`.
    """

    kind: Kind
    value: str = ""
    first: int = 0
    """A range's first address as a number."""
    last: int = 0
    version: int = 0
    """A range's: 4 or 6."""


class Acl(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `acls`; destinations are the author's, equal selectors not yet folded."""

    sources: tuple[Selector, ...]
    destinations: tuple[tuple[Selector, Ports], ...]
    protocol: int | None = None
    postures: tuple[str, ...] = ()
    line: int = 0


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """The `ip` items of a grant that have one protocol (None: any), gathered in order."""

    protocol: int | None
    ports: Ports


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `grants`. `app` maps capabilities to their values, untouched."""

    sources: tuple[Selector, ...]
    destinations: tuple[Selector, ...]
    traffic: tuple[Traffic, ...] = ()
    app: Mapping[str, msgspec.Raw] = {}
    via: tuple[str, ...] = ()
    """Tags."""
    postures: tuple[str, ...] = ()
    line: int = 0


class SshRule(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `ssh`; `users` are as written, trimmed."""

    is_check: bool
    sources: tuple[Selector, ...]
    destinations: tuple[Selector, ...]
    users: tuple[str, ...]
    accept_env: tuple[str, ...] | None = None
    check_seconds: int | None = None
    """None is the default; 0 is always."""
    postures: tuple[str, ...] = ()
    line: int = 0


class NodeAttribute(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `nodeAttrs`."""

    targets: tuple[Selector, ...]
    names: tuple[str, ...]
    app: Mapping[str, msgspec.Raw] = {}
    line: int = 0


class RouteApprover(msgspec.Struct, frozen=True, kw_only=True):
    """Routes inside this prefix are approved when one of these offers them."""

    prefix: str
    approvers: tuple[Selector, ...]


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of a posture: `node:tsVersion >= '1.60'`."""

    attribute: str
    operator: str
    """One of `==`, `!=`, `<`, `<=`, `>`, `>=`, `IN`, `NOT IN`, `IS SET`, `NOT SET`."""
    values: tuple[str | float | bool, ...] = ()


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `tests` or `sshTests`, as written: whether it is well made is the check's own matter."""

    entry: Mapping[str, object]
    line: int = 0


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A whole policy. `acls` and `grants` are None when the text does not have them: that is not the empty list."""

    groups: Mapping[str, tuple[str, ...]] = {}
    """For each group its members' login names, in lower case."""
    tag_owners: Mapping[str, tuple[Selector, ...]] = {}
    hosts: Mapping[str, Selector] = {}
    acls: tuple[Acl, ...] | None = None
    grants: tuple[Grant, ...] | None = None
    ssh: tuple[SshRule, ...] = ()
    node_attributes: tuple[NodeAttribute, ...] = ()
    route_approvers: tuple[RouteApprover, ...] = ()
    exit_approvers: tuple[Selector, ...] = ()
    postures: Mapping[str, tuple[Condition, ...]] = {}
    default_postures: tuple[str, ...] = ()
    tests: tuple[Check, ...] = ()
    ssh_tests: tuple[Check, ...] = ()
    randomize_client_port: bool = False
    warnings: tuple[str, ...] = ()


EMPTY: Final = Document()
"""The policy of a tailnet that has none: everybody sees everybody and may send to every port."""
