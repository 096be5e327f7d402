"""From a document to a program: every rule as steps in the order in which the hosted service applies them; pure.

    grants in order, then acls in order                              (policy-semantics §3.3, 2)
    grant   for each protocol one step, then its capabilities, then their companions, each a step
    acl     one step
    either  one more step for `autogroup:self`, whose sources are each device's own user

Rule 1: a selector is known by its key: equal selectors have equal keys, and one index finds what speaks of a device.
Rule 2: a step has an entry of its own, named by a digest of what it says, so that an edit elsewhere leaves it alone.
Rule 3: sources with a posture are devices, never ranges: a range then stands for the fulfilling devices in it.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from engine.policy.document import ALL_PORTS, Acl, Document, Grant, Kind, Ports, Selector, Traffic
from engine.policy.policy import INTERNET, Entry, Target, Within

ANY_KEY: Final = "*"
INTERNET_KEY: Final = "internet"
RANGE: Final = "range "
"""Begins the key of a range."""
OWN: Final = "own-"
"""Begins the id of a set of one user's own devices: there are as many as users, so none of them is listed anywhere."""
COMPANIONS: Final = (
    ("tailscale.com/cap/drive", "tailscale.com/cap/drive-sharer"),
    ("tailscale.com/cap/relay", "tailscale.com/cap/relay-target"),
)
"""Capabilities that bring another one in the opposite direction, in this order (policy-semantics §3.5)."""
_DEFAULT: Final = Acl(
    sources=(Selector(kind=Kind.ANY),), destinations=((Selector(kind=Kind.ANY), ALL_PORTS),)
)
"""The one rule of a policy with neither acls nor grants (policy-semantics §3.3, 1)."""
_ORDER: Final = {
    Kind.ANY: 0,
    Kind.USER: 1,
    Kind.DOMAIN: 1,
    Kind.MEMBER: 3,
    Kind.TAGGED: 3,
    Kind.SELF: 3,
    Kind.INTERNET: 3,
    Kind.ROLE: 3,
}
"""How destinations of one acl are ordered by kind; what is not here is 2 (policy-semantics §3.3, 7)."""


def key_of(selector: Selector) -> str:
    """Return the name by which a selector is found."""
    match selector.kind:
        case Kind.ANY | Kind.DANGER_ALL:
            return ANY_KEY
        case Kind.INTERNET:
            return INTERNET_KEY
        case kind:
            return f"{kind.value} {selector.value}"


class Sets:
    """Ids of sets: digests with a salt, so that whoever sees an id cannot guess what it stands for."""

    def __init__(self, salt: str) -> None:
        self.salt: Final = salt
        self._salt: Final = hashlib.blake2b(salt.encode(), digest_size=32).digest()
        self._known: Final[dict[tuple[object, ...], str]] = {}

    def id(self, *parts: object) -> str:
        """Return the id of what the parts say."""
        known = self._known.get(parts)
        if known is None:
            known = hashlib.blake2b(repr(parts).encode(), digest_size=8, key=self._salt).hexdigest()
            self._known[parts] = known
        return known

    def of(self, key: str, postures: tuple[str, ...] = ()) -> str:
        """Return the id of the devices that a selector speaks of, if they fulfil one of these postures."""
        return self.id("selector", key, postures)

    def own(self, user: int, postures: tuple[str, ...] = ()) -> str:
        """Return the id of a user's own devices."""
        return OWN + self.id("user", user, postures)

    def routers(self, prefix: str) -> str:
        """Return the id of the devices that have a prefix approved."""
        return self.id("routers", prefix)


class Destination(msgspec.Struct, frozen=True):
    """What a step allows, where: a selector's key, its text in a filter (`""`: the device's own addresses), ports."""

    key: str
    text: str
    ports: Ports = ()

    @property
    def target(self) -> Target:
        """The same, as a standing has it."""
        return Target(self.text, self.ports)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One entry and the destinations that it is for; a grant's have no ports."""

    entry: Entry
    destinations: tuple[Destination, ...]
    via: tuple[str, ...] = ()
    is_self: bool = False
    postures: tuple[str, ...] = ()
    """Of which the sources of `autogroup:self` must fulfil one."""
    is_companion: bool = False
    needs: tuple[str, ...] = ()
    """Of which the destination must fulfil one: it is the source of the rule that this companion belongs to."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the policy: who it speaks of, for sight, and its steps."""

    sources: tuple[Selector, ...]
    postures: tuple[str, ...]
    destinations: tuple[Selector, ...]
    """Without `autogroup:self`."""
    has_self: bool
    via: tuple[str, ...]
    steps: tuple[Step, ...]
    has_ports: bool
    line: int
    place: str = ""
    """Where it stands in the text: `acls[0]`, `grants[3]`; empty: the rule of a tailnet without a policy."""

    @property
    def said(self) -> object:
        """All that the rule says, and nothing of where it stands: equal for equal rules."""
        steps = tuple((step.entry.id, step.destinations) for step in self.steps)
        return steps, self.sources, self.destinations, self.has_self, self.postures, self.via, self.has_ports

    @property
    def names_routes(self) -> bool:
        """Whether its destinations stand in somebody's filter as they are: a grant's are each device's own addresses."""
        return any(not step.entry.grant or step.is_companion for step in self.steps)


class Compiler:
    """Makes the rules of one document."""

    def __init__(self, document: Document, sets: Sets) -> None:
        self._document: Final = document
        self._sets: Final = sets
        self._made: Final[Counter[bytes]] = Counter()

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules in the order of rule 2 of §3.3: grants, then acls."""
        document = self._document
        if document.acls is None and document.grants is None:
            return (self._acl(_DEFAULT),)
        grants = (
            _placed(self._grant(g), f"grants[{n}]")
            for n, g in enumerate(document.grants or ())
            if g.sources and g.destinations
        )
        acls = (
            _placed(self._acl(a), f"acls[{n}]")
            for n, a in enumerate(document.acls or ())
            if a.sources and a.destinations
        )
        return (*grants, *acls)

    def _acl(self, acl: Acl) -> Rule:
        folded: dict[Selector, Ports] = {}
        for selector, ports in acl.destinations:
            folded[selector] = folded.get(selector, ()) + ports
        ordered = sorted(folded.items(), key=lambda item: _ORDER.get(item[0].kind, 2))
        postures = acl.postures or self._document.default_postures
        steps = self._traffic(acl.sources, postures, ordered, acl.protocol, ())
        return _rule(acl, tuple(folded), postures, (), steps)

    def _grant(self, grant: Grant) -> Rule:
        postures = grant.postures or self._document.default_postures
        steps: list[Step] = []
        for traffic in grant.traffic:
            ordered = [(selector, traffic.ports) for selector in grant.destinations]
            steps += self._traffic(grant.sources, postures, ordered, traffic.protocol, grant.via)
        if grant.app and not grant.via:
            steps += self._capabilities(grant, postures)
        return _rule(grant, grant.destinations, postures, grant.via, steps)

    def _traffic(
        self,
        sources: Sequence[Selector],
        postures: tuple[str, ...],
        ordered: Sequence[tuple[Selector, Ports]],
        protocol: int | None,
        via: tuple[str, ...],
    ) -> list[Step]:
        others = tuple(
            Destination(key_of(s), _text(s), ports) for s, ports in ordered if s.kind is not Kind.SELF
        )
        own = tuple(Destination("", "", ports) for s, ports in ordered if s.kind is Kind.SELF)
        steps = []
        if others:
            entry = self._entry(sources, postures, protocol=protocol, is_conditional=False, via=via)
            steps.append(Step(entry=entry, destinations=others, via=via))
        if own:
            entry = self._entry(sources, postures, protocol=protocol, is_conditional=True, extra=("self",))
            steps.append(Step(entry=entry, destinations=own, is_self=True, postures=postures))
        return steps[::-1] if ordered[0][0].kind is Kind.SELF else steps

    def _capabilities(self, grant: Grant, postures: tuple[str, ...]) -> list[Step]:
        others = [s for s in grant.destinations if s.kind is not Kind.SELF]
        has_own = len(others) != len(grant.destinations)
        value = msgspec.json.encode(dict(grant.app)).decode()
        steps = []
        if others:
            entry = self._entry(grant.sources, postures, grant=value, is_conditional=True)
            steps.append(Step(entry=entry, destinations=_whole(others)))
        if has_own:
            steps.append(self._own_grant(value, postures=postures))
        for capability, companion in COMPANIONS:
            if capability not in grant.app:
                continue
            value = msgspec.json.encode({companion: None}).decode()
            if others:
                entry = self._entry(others, (), grant=value, is_conditional=True)
                towards = _whole(grant.sources)
                steps.append(Step(entry=entry, destinations=towards, is_companion=True, needs=postures))
            if has_own:
                steps.append(self._own_grant(value, needs=postures))
        return steps

    def _own_grant(self, value: str, *, postures: tuple[str, ...] = (), needs: tuple[str, ...] = ()) -> Step:
        entry = self._entry((), postures, grant=value, is_conditional=True, extra=("self", *needs))
        return Step(
            entry=entry, destinations=(Destination("", ""),), is_self=True, postures=postures, needs=needs
        )

    def _entry(
        self,
        sources: Sequence[Selector],
        postures: tuple[str, ...],
        *,
        is_conditional: bool,
        protocol: int | None = None,
        grant: str = "",
        via: tuple[str, ...] = (),
        extra: tuple[str, ...] = (),
    ) -> Entry:
        ranges = [s for s in sources if s.kind is Kind.RANGE]
        entry = Entry(
            id="",
            sets=tuple(dict.fromkeys(self._sets.of(key_of(s), postures) for s in _groups(sources, postures))),
            literals=() if postures else tuple(dict.fromkeys(s.value for s in ranges)),
            within=tuple(
                Within(self._sets.of(key_of(s), postures), s.version, s.first, s.last) for s in ranges
            )
            if postures
            else (),
            whole=self._sets.of(ANY_KEY) if not postures and any(s.kind is Kind.ANY for s in sources) else "",
            is_anyone=not postures and any(s.kind is Kind.DANGER_ALL for s in sources),
            protocol=protocol,
            grant=grant,
            is_conditional=is_conditional,
            via=via,
        )
        return msgspec.structs.replace(entry, id=self._id(entry, extra))

    def _id(self, entry: Entry, extra: tuple[str, ...]) -> str:
        said = hashlib.blake2b(msgspec.json.encode((entry, extra)), digest_size=9)
        self._made[said.digest()] += 1
        count = self._made[said.digest()]
        return said.hexdigest() if count == 1 else f"{said.hexdigest()}-{count}"


def _groups(sources: Iterable[Selector], postures: tuple[str, ...]) -> Iterable[Selector]:
    """Return the selectors whose devices an entry names by their set."""
    unnamed = {Kind.RANGE} if postures else {Kind.RANGE, Kind.ANY, Kind.DANGER_ALL}
    return (s for s in sources if s.kind not in unnamed)


def _whole(selectors: Iterable[Selector]) -> tuple[Destination, ...]:
    return tuple(Destination(key_of(selector), "") for selector in selectors)


def _text(selector: Selector) -> str:
    match selector.kind:
        case Kind.ANY:
            return "*"
        case Kind.INTERNET:
            return INTERNET
        case Kind.RANGE:
            return selector.value
        case _:
            return ""


def _placed(rule: Rule, place: str) -> Rule:
    return msgspec.structs.replace(rule, place=place)


def _rule(
    source: Acl | Grant,
    destinations: tuple[Selector, ...],
    postures: tuple[str, ...],
    via: tuple[str, ...],
    steps: Sequence[Step],
) -> Rule:
    others = tuple(s for s in destinations if s.kind is not Kind.SELF)
    traffic = source.traffic if isinstance(source, Grant) else ()
    return Rule(
        sources=source.sources,
        postures=postures,
        destinations=others,
        has_self=len(others) != len(destinations),
        via=via,
        steps=tuple(steps),
        has_ports=_has_ports(source, traffic),
        line=source.line,
    )


def _has_ports(source: Acl | Grant, traffic: Sequence[Traffic]) -> bool:
    if isinstance(source, Acl):
        return source.protocol is not None or any(ports != ALL_PORTS for _, ports in source.destinations)
    return any(item.protocol is not None or item.ports != ALL_PORTS for item in traffic)
