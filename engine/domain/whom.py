"""People and devices of a tailnet, as a policy may know them.

Rule 1: an expired node is a device too: it keeps its addresses and its routes, and may come back.
Rule 2: a tagged node has no user; tags are sorted, without repetition.
Rule 3: a fact that the client did not report, or not in a form that means anything, is not there.
"""

import re
from typing import Final

from engine.domain.aggregates import Node, User
from engine.domain.state import Tailnet
from engine.policy.subjects import Device, Person

_RELEASE: Final = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?![0-9.])")
"""What a client's version begins with: `1.92.5`, and then perhaps `-t1234567`."""


def people_of(tailnet: Tailnet) -> tuple[Person, ...]:
    """Return every user, by id."""
    return tuple(person_of(tailnet.users[number]) for number in sorted(tailnet.users))


def person_of(user: User) -> Person:
    """Return a user as policies know it; a member has no role, an owner two."""
    texts = (user.email, user.name, f"{user.name}@")
    roles: tuple[str, ...] = () if user.role == "member" else (user.role,)
    return Person(
        id=user.id,
        logins=tuple(dict.fromkeys(text.lower() for text in texts if text)),
        roles=("owner", "admin") if user.role == "owner" else roles,
    )


def devices_of(tailnet: Tailnet) -> tuple[Device, ...]:
    """Return every node, by id."""
    return tuple(device_of(tailnet, tailnet.nodes[number]) for number in sorted(tailnet.nodes))


def device_of(_tailnet: Tailnet, node: Node) -> Device:
    """Return a node as policies know it."""
    return Device(
        id=node.id,
        user=None if node.tags else node.user,
        tags=tuple(sorted(set(node.tags))),
        ipv4=node.ipv4,
        ipv6=node.ipv6,
        routes=node.routes,
        is_exit=node.is_exit,
        facts=facts_of(node),
    )


def facts_of(node: Node) -> dict[str, str | float | bool]:
    """Return what postures may ask of the node's client (rule 3)."""
    facts: dict[str, str | float | bool] = {}
    if node.os:
        facts["node:os"] = node.os.lower()
    if node.os_version:
        facts["node:osVersion"] = node.os_version
    release = _RELEASE.match(node.client_version)
    if release is not None:
        facts["node:tsVersion"] = release.group()
        facts["node:tsReleaseTrack"] = "unstable" if int(release.group(2)) % 2 else "stable"
    return facts


def domains_of(tailnet: Tailnet, chosen: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Return the e-mail domains that belong to the tailnet: those that were set, else its users'; sorted.

    With `chosen` the answer is as if that had been set.
    """
    own = tailnet.settings.domains if chosen is None else chosen
    if own:
        return own
    domains = (user.email.rpartition("@")[2].lower() for user in tailnet.users.values() if "@" in user.email)
    return tuple(sorted({domain for domain in domains if domain}))
