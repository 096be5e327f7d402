"""Selectors of a policy: what names somebody or something, in all its forms; pure.

    *  1.2.3.4  10.0.0.0/8  10.0.0.1-10.0.0.9  name-of-a-host  host:name  alice@example.com  alice@  user:*@example.com
    group:eng  tag:server  ipset:offices  autogroup:member|tagged|self|internet|danger-all|owner|admin|…

Rule 1: a selector is trimmed; a name in it must be defined in the same text, but for users: they come and go without it.
Rule 2: a bare word is a host; where no host can stand (members of groups, owners of tags, approvers) it is a user.
Rule 3: a host and an IP set become their ranges, in place; so does nothing else.
Rule 4: domains are compared as written, upper and lower case apart, as the hosted service does; logins are in lower case.
"""

import re
from collections.abc import Callable, Collection, Iterable
from typing import Final

from engine.policy.document import Kind, Selector
from engine.policy.faults import PolicyFault
from engine.policy.text.addresses import selector_of, span_in
from engine.policy.text.fields import (
    MAX_SELECTORS,
    MAX_TOTAL,
    MAX_WARNINGS,
    Place,
    fault,
    suggestion,
    too_many,
)
from engine.policy.text.hujson import Text, shown

ROLES: Final = ("owner", "admin", "it-admin", "network-admin", "billing-admin", "auditor")
AUTOGROUPS: Final = {
    kind.value: Selector(kind=kind)
    for kind in (Kind.MEMBER, Kind.TAGGED, Kind.SELF, Kind.INTERNET, Kind.DANGER_ALL)
} | {f"autogroup:{role}": Selector(kind=Kind.ROLE, value=role) for role in ROLES}
SHARED: Final = "autogroup:shared"
"""Devices that other tailnets share into this one: there is no such thing here, so it is nobody."""
ANYBODY_OF: Final = "user:*@"
PEOPLE: Final = frozenset({Kind.USER, Kind.DOMAIN, Kind.GROUP, Kind.MEMBER, Kind.ROLE})
"""What stands for users only."""
_ANY: Final = Selector(kind=Kind.ANY)
_LOGIN: Final = re.compile(r'[^\s@:/*,"\\]+@[^\s@:/*,"\\]*')
_MAX_LOGIN: Final = 254
"""Characters of a login name: an e-mail address has no more (RFC 5321, erratum 1690)."""
_BARE_LOGIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+-]*")
_PREFIXED: Final = re.compile(r"([a-z]+):")
_PORT_AT_END: Final = re.compile(r"(.+):([0-9*][0-9,*-]*)")

Check = Callable[[Selector, Text], None]
"""Raises a fault if the selector may not stand where it does."""


class Scope:
    """The names that a text defines, as far as they have been read, and what is said about it besides."""

    def __init__(self, domains: Collection[str]) -> None:
        self.domains: Final = frozenset(domains)
        self.groups: Final[dict[str, tuple[str, ...]]] = {}
        self.hosts: Final[dict[str, Selector]] = {}
        self.tags: Final[dict[str, Text]] = {}
        self.ipsets: Final[dict[str, tuple[Selector, ...]]] = {}
        self.postures: Final[set[str]] = set()
        self.warnings: Final[list[str]] = []
        self._selectors = 0

    def warn(self, place: Place, message: str) -> None:
        """Say something that is no reason to refuse."""
        if len(self.warnings) == MAX_WARNINGS:
            self.warnings.append("there are more warnings")
        elif len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(f"line {place.line}: {message}")

    def count(self, number: int, place: Place) -> None:
        """Count the selectors of one list.

        Raises:
            PolicyFault: `too-many`.
        """
        self._selectors += number
        if self._selectors > MAX_TOTAL:
            raise too_many(
                place,
                f"the policy has more than {MAX_TOTAL:,} selectors, IP sets counted by range",
            )


def selectors_of(scope: Scope, texts: Iterable[Text], check: Check) -> tuple[Selector, ...]:
    """Return the selectors of a list, in order; `check` says what may stand in it.

    Raises:
        PolicyFault: that of `check`; `too-many`; see `selectors_in`.
    """
    found: list[Selector] = []
    for text in texts:
        for selector in selectors_in(scope, text.value, text):
            check(selector, text)
            found.append(selector)
        if len(found) > MAX_SELECTORS:
            raise too_many_selectors(text)
        scope.count(1, text)
    return tuple(found)


def selectors_in(scope: Scope, text: str, place: Text) -> tuple[Selector, ...]:
    """Return what one text selects: one selector, or the ranges of an IP set.

    Raises:
        PolicyFault: `bad-address`, `unknown-tag`, `unknown-group`, `unknown-ipset`, `domain-not-associated`,
            `unsupported`.
    """
    name = text.strip()
    if name == "*":
        return (_ANY,)
    prefix = _PREFIXED.match(name)
    match prefix.group(1) if prefix else "":
        case "autogroup":
            return _autogroup(scope, name, place)
        case "tag":
            return (tag(scope, name, place),)
        case "group":
            return (_group(scope, name, place),)
        case "ipset":
            return _ipset(scope, name, place)
        case "user":
            return (_domain(scope, name, place),)
        case "host":
            return (_host(scope, name.removeprefix("host:"), place),)
        case "svc":
            raise fault(
                "unsupported",
                place,
                f"{shown(name)} is a service: there are none here",
                "name devices, by a tag",
            )
        case _:
            return (_host(scope, name, place) if "@" not in name else _login(name, place),)


def person_in(scope: Scope, text: Text, check: Check) -> tuple[Selector, ...]:
    """Return what one text selects where no host can stand: a bare word is a user.

    Raises:
        PolicyFault: that of `check`; see `selectors_in`.
    """
    name = text.value.strip()
    if _BARE_LOGIN.fullmatch(name) and len(name) <= _MAX_LOGIN:
        return (Selector(kind=Kind.USER, value=name.lower()),)
    found = selectors_in(scope, name, text)
    for selector in found:
        check(selector, text)
    return found


def range_in(scope: Scope, text: str, place: Place) -> Selector | None:
    """Return an address, prefix or range, or None if the text is none; host bits are cut with a warning."""
    found = span_in(text.strip())
    if found is None:
        return None
    span, was_cut = found
    selector = selector_of(span)
    if was_cut:
        scope.warn(place, f"{text.strip()} has host bits; {selector.value} is what it means")
    return selector


def login_of(text: Text) -> str | None:
    """Return a user's login name in lower case, or None if the text is none: `alice@example.com`, `alice@` or `alice`."""
    name = text.value.strip()
    if _BARE_LOGIN.fullmatch(name) and len(name) <= _MAX_LOGIN:
        return name.lower()
    return name.lower() if _is_login(name) else None


def tag(scope: Scope, name: str, place: Text) -> Selector:
    """Return a tag that the text defines.

    Raises:
        PolicyFault: `unknown-tag`.
    """
    if name in scope.tags:
        return Selector(kind=Kind.TAG, value=name)
    hint = (
        _without_port(name, scope.tags) or suggestion(name, scope.tags) or f"add {shown(name)} to tagOwners"
    )
    raise fault("unknown-tag", place, f"tag not found: {shown(name)}", hint)


def checked_domain(scope: Scope, domain: str, place: Text) -> str:
    """Return a domain that belongs to the tailnet.

    Raises:
        PolicyFault: `domain-not-associated`.
    """
    if domain in scope.domains:
        return domain
    known = ", ".join(sorted(scope.domains)[:10]) or "none"
    message = f"{shown(domain)} is no domain of this tailnet and cannot be used in {shown(place.value)}"
    raise fault("domain-not-associated", place, message, f"its domains, in this spelling: {known}")


def is_there(kinds: Collection[Kind], where: str) -> Check:
    """Return the check that only these kinds stand there."""

    def check(selector: Selector, text: Text) -> None:
        if selector.kind not in kinds:
            raise misplaced(text, where)

    return check


def misplaced(text: Text, where: str, hint: str = "") -> PolicyFault:
    """Return the fault of a selector that is well formed, but not here."""
    return fault("misplaced-selector", text, f"{shown(text.value)} cannot be {where}", hint)


def too_many_selectors(text: Text) -> PolicyFault:
    """Return the fault of a list that is too long."""
    message = f"a list has more than {MAX_SELECTORS:,} selectors, IP sets counted by range"
    return too_many(text, message)


def bad_address(name: str, place: Place, hint: str = "") -> PolicyFault:
    """Return the fault of a text that is no selector."""
    message = f"{shown(name)} is no address, prefix, host, user, group, tag or autogroup"
    return fault(
        "bad-address",
        place,
        message,
        hint or 'write 100.64.0.1, 10.0.0.0/8, alice@example.com, tag:server or "*"',
    )


def _autogroup(scope: Scope, name: str, place: Text) -> tuple[Selector, ...]:
    if name in AUTOGROUPS:
        return (AUTOGROUPS[name],)
    if name == SHARED:
        scope.warn(place, f"{SHARED} is nobody: nothing is shared between tailnets here")
        return ()
    if name == "autogroup:nonroot":
        raise bad_address(name, place, "it can only stand among the users of an ssh rule")
    raise bad_address(name, place, _without_port(name, AUTOGROUPS) or suggestion(name, AUTOGROUPS))


def _group(scope: Scope, name: str, place: Text) -> Selector:
    if name in scope.groups:
        return Selector(kind=Kind.GROUP, value=name)
    hint = (
        _without_port(name, scope.groups) or suggestion(name, scope.groups) or f"add {shown(name)} to groups"
    )
    raise fault("unknown-group", place, f"group not found: {shown(name)}", hint)


def _ipset(scope: Scope, name: str, place: Text) -> tuple[Selector, ...]:
    found = scope.ipsets.get(name)
    if found is None:
        hint = (
            _without_port(name, scope.ipsets)
            or suggestion(name, scope.ipsets)
            or f"add {shown(name)} to ipsets"
        )
        raise fault("unknown-ipset", place, f"IP set not found: {shown(name)}", hint)
    scope.count(len(found), place)
    return found


def _domain(scope: Scope, name: str, place: Text) -> Selector:
    if not name.startswith(ANYBODY_OF):
        raise bad_address(
            name, place, "write user:*@example.com for all of a domain, or the login name alone"
        )
    domain = checked_domain(scope, name.removeprefix(ANYBODY_OF), place)
    return Selector(kind=Kind.DOMAIN, value=domain)


def _login(name: str, place: Text) -> Selector:
    if not _is_login(name):
        hint = f"write {shown(f'user:{name}')} for all of a domain" if name.startswith("*@") else ""
        raise bad_address(name, place, hint)
    return Selector(kind=Kind.USER, value=name.lower())


def _is_login(name: str) -> bool:
    return len(name) <= _MAX_LOGIN and name.isprintable() and _LOGIN.fullmatch(name) is not None


def _host(scope: Scope, name: str, place: Text) -> Selector:
    if name in scope.hosts:
        return scope.hosts[name]
    found = range_in(scope, name, place)
    if found is None:
        raise bad_address(name, place, _host_hint(scope, name))
    return found


def _host_hint(scope: Scope, name: str) -> str:
    near = _without_port(name, scope.hosts) or suggestion(name, scope.hosts)
    if near or not _BARE_LOGIN.fullmatch(name):
        return near
    return f"add {shown(name)} to hosts, or write {name[:64]}@ if it is a user"


def _without_port(name: str, known: Collection[str]) -> str:
    found = _PORT_AT_END.fullmatch(name) if len(name) <= MAX_SELECTORS else None
    if found is None or (found.group(1) not in known and span_in(found.group(1).strip("[]")) is None):
        return ""
    return f"write {shown(found.group(1))}: no port can stand here"
