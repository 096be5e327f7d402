"""Who may give a device a tag, and whose routes are approved without anybody's word.

Rule 1: whoever is not named may not: without owners nobody owns a tag, without approvers nothing is approved.
Rule 2: a user is named by login, group, role, e-mail domain or as a member, and only for devices of its own; a tagged
        device is named by its tags alone, or as tagged.
Rule 3: a route is approved by any prefix that is equal or wider. Default routes are approved by `exitNode` alone: a
        `0.0.0.0/0` among the routes approves none (reference: policy-semantics §3.11).
"""

import ipaddress
from collections.abc import Collection
from typing import Final

from engine.policy.document import Document, Kind, Selector
from engine.policy.subjects import Device, Person

_DEFAULT_ROUTES: Final = frozenset({"0.0.0.0/0", "::/0"})


def owns(document: Document, tag: str, *, person: Person | None = None, tags: Collection[str] = ()) -> bool:
    """Return whether a user, or a device with these tags, may give a device the tag."""
    owners = document.tag_owners.get(tag, ())
    return any(_names(document, owner, person, tags) for owner in owners)


def approves(document: Document, device: Device, prefix: str, *, person: Person | None = None) -> bool:
    """Return whether the policy approves a canonical prefix that the device offers; `person` is its user."""
    if prefix in _DEFAULT_ROUTES:
        approvers = document.exit_approvers
    else:
        route = ipaddress.ip_network(prefix)
        approvers = tuple(
            selector
            for entry in document.route_approvers
            if _contains(entry.prefix, route)
            for selector in entry.approvers
        )
    user = None if device.tags else person
    return any(_names(document, approver, user, device.tags) for approver in approvers)


def _contains(prefix: str, route: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    outer = ipaddress.ip_network(prefix)
    return (
        outer.version == route.version
        and outer.prefixlen <= route.prefixlen
        and route.network_address in outer
    )


def _names(document: Document, selector: Selector, person: Person | None, tags: Collection[str]) -> bool:
    """Return whether the selector names the user, or a device with these tags (rule 2)."""
    match selector.kind:
        case Kind.TAG:
            return selector.value in tags
        case Kind.TAGGED:
            return bool(tags)
        case Kind.ANY | Kind.DANGER_ALL | Kind.RANGE | Kind.SELF | Kind.INTERNET:
            return False
        case _:
            return person is not None and _is(document, selector, person)


def _is(document: Document, selector: Selector, person: Person) -> bool:
    match selector.kind:
        case Kind.USER:
            return selector.value in person.logins
        case Kind.GROUP:
            return not set(document.groups.get(selector.value, ())).isdisjoint(person.logins)
        case Kind.DOMAIN:
            return any(login.endswith(f"@{selector.value}") for login in person.logins)
        case Kind.ROLE:
            return selector.value in person.roles
        case _:
            return selector.kind is Kind.MEMBER
