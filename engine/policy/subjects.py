"""Whom a policy speaks of: people and devices, with all that it may ask about them.

Rule 1: a tagged device has no user: it acts for its tags, whoever registered it.
Rule 2: login names are in lower case; a user has several, and a policy may use any of them.
"""

from collections.abc import Mapping

import msgspec


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A user."""

    id: int
    logins: tuple[str, ...]
    """The e-mail address if there is one, the name, and the name with an `@` at its end, without repetition."""
    roles: tuple[str, ...] = ()
    """The owner is an admin too: `("owner", "admin")`."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A node."""

    id: int
    user: int | None
    """None for a tagged one."""
    tags: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    routes: tuple[str, ...] = ()
    """Approved prefixes, without exit routes; sorted."""
    is_exit: bool = False
    """Whether 0.0.0.0/0 or ::/0 is approved."""
    facts: Mapping[str, str | float | bool] = {}
    """What its client reports, as postures name it: `node:os`, `node:osVersion`, `node:tsVersion`, `node:tsReleaseTrack`."""
