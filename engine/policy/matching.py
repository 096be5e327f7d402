"""Whom a selector speaks of, one device at a time; pure. `points.py` does the same for all devices at once.

Rule 1: a tagged device is nobody's: users, groups, domains and roles never speak of it (policy-semantics §3.1).
Rule 2: a range speaks of a device if it has any of its addresses.
Rule 3: `autogroup:self` is nobody by itself: whom it means depends on who asks; `autogroup:internet` is no device.
"""

from collections.abc import Iterable, Iterator, Sequence

from engine.policy.document import Document, Kind, Selector
from engine.policy.ranges import INTERNET, TAILNET, Span, span_of
from engine.policy.subjects import Device, Person

PEOPLE = frozenset({Kind.USER, Kind.DOMAIN, Kind.GROUP, Kind.ROLE})
"""Selectors of users."""


def matches(document: Document, selector: Selector, device: Device, person: Person | None) -> bool:
    """Return whether the selector speaks of the device; `person` is its user, None for a tagged one."""
    match selector.kind:
        case Kind.ANY | Kind.DANGER_ALL:
            return True
        case Kind.RANGE:
            return any(is_inside(span_of(text), selector) for text in addresses_of(device))
        case Kind.TAG:
            return selector.value in device.tags
        case Kind.TAGGED:
            return device.user is None
        case Kind.MEMBER:
            return device.user is not None
        case Kind.SELF | Kind.INTERNET:
            return False
        case _:
            return device.user is not None and person is not None and names(document, selector, person)


def names(document: Document, selector: Selector, person: Person) -> bool:
    """Return whether a selector of users (`PEOPLE`) names the person."""
    match selector.kind:
        case Kind.USER:
            return selector.value in person.logins
        case Kind.DOMAIN:
            return selector.value in domains_of(person)
        case Kind.GROUP:
            return any(login in document.groups.get(selector.value, ()) for login in person.logins)
        case _:
            return selector.value in person.roles


def domains_of(person: Person) -> Iterator[str]:
    """Yield the domains of a person's logins; `alice@` has none."""
    for login in person.logins:
        domain = login.rpartition("@")[2]
        if domain and "@" in login:
            yield domain


def local_names(person: Person, domain: str) -> Iterator[str]:
    """Yield what stands before `@domain` in a person's logins."""
    for login in person.logins:
        name, _, its = login.rpartition("@")
        if name and its == domain:
            yield name


def addresses_of(device: Device) -> Iterator[str]:
    """Yield the device's addresses, IPv4 first."""
    yield from filter(None, (device.ipv4, device.ipv6))


def is_inside(span: Span, selector: Selector) -> bool:
    """Return whether a range selector has all of the span."""
    version, first, last = span
    return version == selector.version and selector.first <= first and last <= selector.last


def addresses(
    document: Document, selector: Selector, people: Iterable[Person], devices: Sequence[Device]
) -> tuple[str, ...]:
    """Return what a selector is as a source: addresses, prefixes and `a-b`, sorted as strings (policy-semantics §3.1)."""
    match selector.kind:
        case Kind.ANY:
            return tuple(sorted({*TAILNET, *(route for device in devices for route in device.routes)}))
        case Kind.DANGER_ALL:
            return ("*",)
        case Kind.RANGE:
            return (selector.value,)
        case Kind.INTERNET:
            return tuple(sorted(INTERNET))
        case _:
            by_id = {person.id: person for person in people}
            found = (
                device
                for device in devices
                if matches(
                    document, selector, device, None if device.user is None else by_id.get(device.user)
                )
            )
            return tuple(sorted({text for device in found for text in addresses_of(device)}))
