"""What a compiled policy says: of everybody, and of each class of devices.

Rule 1: a policy speaks of classes, never of nodes: a node that joins a class changes nothing here.
Rule 2: what it says of one class is a function of that class's identity alone: a class that comes or goes changes no
        other's standing, only the sets that it is in.
Rule 3: standings name sets, never classes, and a set's id stands for a place in the policy (a selector, the devices of one
        user, the routers of one prefix), so it stays while classes come and go.
Rule 4: a set's id is seen by whoever sees a node of the set: it is a salted digest and says nothing.
Rule 5: sight is symmetric: a class is in a set exactly if the set's selector speaks of it, as a source and as a
        destination alike (reference: policy-semantics §3.7).
"""

import msgspec

from engine.policy.document import Ports


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """All that a policy may know of a device; devices with equal identities form a class, named by `id`."""

    id: str
    user: int | None = None
    """None for a tagged one."""
    logins: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    """The policy's ranges that have one of its addresses, by their text."""
    along: tuple[str, ...] = ()
    """The policy's ranges that overlap one of its routes."""
    routes: tuple[str, ...] = ()
    is_exit: bool = False
    postures: tuple[str, ...] = ()
    """The policy's postures that it fulfils."""


class Within(msgspec.Struct, frozen=True, array_like=True):
    """Those addresses of a set's devices that are in a range, given as numbers of an IP version."""

    set: str
    version: int
    first: int
    last: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The sources of one rule for one protocol, or of one grant of capabilities.

    Sources are the devices of `sets`, the texts of `literals`, what `within` says, and with `whole` (the set of all) the whole
    tailnet and all approved routes; `is_anyone` is the literal `*`. No protocol means TCP, UDP and ICMP.
    """

    id: str
    sets: tuple[str, ...] = ()
    literals: tuple[str, ...] = ()
    within: tuple[Within, ...] = ()
    whole: str = ""
    is_anyone: bool = False
    protocol: int | None = None
    grant: str = ""
    """A grant's CapMap as JSON text; empty for a rule of ports."""
    is_conditional: bool = False
    """Whether it takes part only on devices that have the rule: `autogroup:self`, grants."""
    via: tuple[str, ...] = ()
    """Tags of which a device must have one for the entry to take part there at all."""


class Target(msgspec.Struct, frozen=True, array_like=True):
    """Where packets may go: a text of a packet filter, `""` for the device's own addresses, or `INTERNET`."""

    ip: str
    ports: Ports


INTERNET = "internet"
"""What `autogroup:internet` is in a target: the ranges of `ranges.INTERNET`."""


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """How one class may be reached by the sources of an entry; without targets it is a grant.

    `own` names the set that limits an entry of `autogroup:self` to the devices of the class's own user.
    """

    entry: str
    targets: tuple[Target, ...] = ()
    own: str = ""


class SshRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of Tailscale SSH; `users` is `sshUsers`, `local` says that each source user has a name of its own too."""

    id: str
    sets: tuple[str, ...]
    each: tuple[str, ...] = ()
    """Sets whose devices count once for each of their tags (`autogroup:tagged`)."""
    users: tuple[tuple[str, str], ...]
    is_check: bool = False
    accept_env: tuple[str, ...] | None = None
    local: bool = False
    towards: tuple[str, ...] = ()
    """With `local`, the sets of its destinations: sources that are none have the rule only if somebody is."""


class SshUse(msgspec.Struct, frozen=True, array_like=True):
    """That a class's devices have an SSH rule: for all its sources, or for the class's own user or devices only."""

    rule: str
    own: bool = False


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """Where a class may send, as far as WireGuard-only peers are concerned that are under the policy."""

    ranges: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    internet: bool = False
    has_ports: bool = False
    """Whether some rule allows certain ports only, which nothing on a client enforces towards such a peer."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says of one class. All set ids are sorted, rules in the policy's order."""

    sets: tuple[str, ...]
    """The sets that it is in."""
    sees: tuple[str, ...]
    """The sets whose classes it sees."""
    rules: tuple[Reach, ...] = ()
    capabilities: tuple[str, ...] = ()
    """What its own client is told that it may do, beyond what everybody may."""
    ssh: tuple[SshUse, ...] = ()
    local_names: tuple[tuple[str, str], ...] = ()
    """For each SSH rule of `local` of which it is a source, its user's own login name there."""
    permit: Permit = Permit()


class Steering(msgspec.Struct, frozen=True, kw_only=True):
    """That whoever is in these sets uses a prefix through a router with one of these tags."""

    sets: tuple[str, ...]
    tags: tuple[str, ...]


class RouteSight(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told of a prefix: the sets that use its primary router, and those that are steered otherwise."""

    sets: tuple[str, ...]
    steered: tuple[Steering, ...] = ()
