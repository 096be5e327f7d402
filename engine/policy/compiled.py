"""A compiled policy: what sort of device one is to it, and how such devices stand; pure.

Rule 1: `identify` and `stand` ask indices by the keys of the selectors that speak of a device: their cost is that of the rules
        that concern it, not of the policy, nor of the tailnet.
Rule 2: what `stand` says of an identity depends on nothing else.
Rule 3: a range speaks of a device for packet filters and for sight if it has an address of it or overlaps one of its routes;
        for SSH, attributes, capabilities and with a posture only if it has an address (policy-semantics §3.3, §3.7).
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from engine.policy.attributes import Attributes
from engine.policy.document import EMPTY, Document, Kind, Selector
from engine.policy.edit import Edit, are_rules_all, changed_rules, covers
from engine.policy.policy import (
    Entry,
    Identity,
    Permit,
    Reach,
    RouteSight,
    SshRule,
    Standing,
    Steering,
)
from engine.policy.postures import fulfilled
from engine.policy.program import ANY_KEY, INTERNET_KEY, OWN, RANGE, Compiler, Rule, Sets, Step, key_of
from engine.policy.ranges import Ranges, span_of
from engine.policy.ssh import Ssh
from engine.policy.subjects import Device, Person

_TAGGED: Final = key_of(Selector(kind=Kind.TAGGED))
_MEMBER: Final = key_of(Selector(kind=Kind.MEMBER))


class Policy:
    """A document that can be asked; `salt` makes its sets' ids unguessable."""

    def __init__(self, document: Document = EMPTY, salt: str = "") -> None:
        self.document: Final = document
        self.sets: Final = Sets(salt)
        self.rules: Final = Compiler(document, self.sets).rules()
        self._steps: Final = tuple(step for rule in self.rules for step in rule.steps)
        self._rule_of: Final = {step.entry.id: rule for rule in self.rules for step in rule.steps}
        self.entries: Final[tuple[Entry, ...]] = tuple(step.entry for step in self._steps)
        """In the order in which they apply."""
        others = (step.entry for step in self._steps if not step.is_self)
        self.sources_named: Final = frozenset(n for entry in others for n in (*entry.sets, entry.whole))
        self._ssh: Final = Ssh(document, self.sets)
        self._attributes: Final = Attributes(document)
        self.ranges: Final = Ranges(_ranges_of(document))
        self._by_destination: Final[dict[str, list[int]]] = defaultdict(list)
        """For each key the steps of which it is a destination."""
        self._own: Final[list[int]] = []
        """The steps of `autogroup:self`."""
        self._as_source: Final[dict[str, list[Rule]]] = defaultdict(list)
        self._as_destination: Final[dict[str, list[Rule]]] = defaultdict(list)
        self._named: Final[dict[str, set[tuple[str, ...]]]] = defaultdict(set)
        """For each key the postures under which rules speak of it."""
        self._own_postures: Final[set[tuple[str, ...]]] = set()
        self._via: Final[tuple[Rule, ...]] = tuple(rule for rule in self.rules if rule.via)
        self._index()

    @property
    def ssh_rules(self) -> tuple[SshRule, ...]:
        """Every SSH rule, in order."""
        return self._ssh.rules

    def named_otherwise(self, before: "Policy") -> frozenset[str]:
        """Return the sets that are sources under one of two policies only."""
        return before.sources_named ^ self.sources_named

    def is_source(self, name: str) -> bool:
        """Return whether entries name the set as a source: its nodes carry that name for their viewers."""
        return name in self.sources_named or name.startswith(OWN)

    # Who is who ------------------------------------------------------------------------------------------------

    def identify(self, device: Device, person: Person | None) -> Identity:
        """Return the identity of a device; `person` is its user, None for a tagged one."""
        addresses = [address for address in (device.ipv4, device.ipv6) if address]
        inside = {text for address in addresses for text in self.ranges.having(address)}
        along = {text for route in device.routes for text in self.ranges.overlapping(route)}
        postures = tuple(name for name in fulfilled(self.document.postures, device.facts))
        tags = tuple(sorted(set(device.tags)))
        owner = None if tags else device.user
        more = (sorted(inside), sorted(along), device.routes, device.is_exit, postures)
        name = "t:" + "+".join(tags) if tags else f"u{owner}"
        if any(more):
            name += "!" + hashlib.blake2b(repr(more).encode(), digest_size=8).hexdigest()
        return Identity(
            id=name,
            user=owner,
            logins=() if owner is None or person is None else person.logins,
            roles=() if owner is None or person is None else person.roles,
            tags=tags,
            inside=tuple(sorted(inside)),
            along=tuple(sorted(along)),
            routes=device.routes,
            is_exit=device.is_exit,
            postures=postures,
        )

    def stand(self, identity: Identity) -> Standing:
        """Return what the policy says of such devices."""
        near, wide = frozenset(self._near(identity)), self.keys(identity)
        return Standing(
            sets=tuple(sorted(self._member_of(identity, near, wide))),
            sees=tuple(sorted(self._sees(identity, near, wide))),
            rules=tuple(self._reached(identity, near, wide)),
            capabilities=self._attributes.of(identity, near),
            ssh=self._ssh.uses(identity, near),
            local_names=self._ssh.local_names(identity, near),
            permit=self._permit(identity, near, wide),
        )

    def keys(self, identity: Identity) -> frozenset[str]:
        """Return the keys of all selectors that speak of such devices, by an address or by a route."""
        found = {*self._near(identity), *(RANGE + text for text in identity.along)}
        return frozenset(found | {INTERNET_KEY} if identity.is_exit else found)

    def since(self, before: "Policy") -> Edit | None:
        """Return what an edit that led from another policy to this one touches; None if that may be everybody."""
        rules = None
        if before.sets.salt == self.sets.salt and are_rules_all(before.document, self.document):
            rules = changed_rules(before.rules, self.rules)
        if rules is None:
            return None
        return Edit(rules=rules, spans=tuple(before.ranges.spans ^ self.ranges.spans))

    def sight(self, prefix: str) -> RouteSight:
        """Return who is told of an approved prefix that is no exit route (policy-semantics §3.8)."""
        span = span_of(prefix)
        sets = {self.sets.routers(prefix)}
        steered = []
        for rule in self.rules:
            if rule.steps and not rule.postures and any(covers(s, span) for s in rule.sources):
                sets.update(self._destinations(rule))
            if not any(covers(s, span) for s in rule.destinations):
                continue
            if rule.via:
                steered.append(Steering(sets=self._sources(rule), tags=rule.via))
            elif rule.names_routes:
                sets.update(self._sources(rule))
        return RouteSight(sets=tuple(sorted(sets)), steered=tuple(steered))

    # Sets ------------------------------------------------------------------------------------------------------

    def _index(self) -> None:
        for number, step in enumerate(self._steps):
            if step.is_self:
                self._own.append(number)
            for key in {destination.key for destination in step.destinations} - {""}:
                self._by_destination[key].append(number)
        for rule in self.rules:
            for key in {key_of(selector) for selector in rule.sources}:
                self._as_source[key].append(rule)
                self._named[key] |= {rule.postures, ()}
            for key in {key_of(selector) for selector in rule.destinations}:
                if not rule.via:
                    self._as_destination[key].append(rule)
                self._named[key].add(())
            if rule.has_self:
                self._own_postures.update((rule.postures, ()))
        for key, postures in self._ssh.named():
            self._named[key].add(postures)

    def _sources(self, rule: Rule) -> tuple[str, ...]:
        return tuple(self.sets.of(key_of(selector), rule.postures) for selector in rule.sources)

    def _destinations(self, rule: Rule) -> tuple[str, ...]:
        if rule.via:
            return (self._routers(rule),)
        return tuple(self.sets.of(key_of(selector)) for selector in rule.destinations)

    def _routers(self, rule: Rule) -> str:
        return self.sets.id("via", rule.via, tuple(key_of(selector) for selector in rule.destinations))

    def _near(self, identity: Identity) -> Iterator[str]:
        yield ANY_KEY
        for text in identity.inside:
            yield RANGE + text
        if identity.user is None:
            yield _TAGGED
            for tag in identity.tags:
                yield f"tag {tag}"
            return
        yield _MEMBER
        for login in identity.logins:
            yield f"user {login}"
            for group in self._attributes.groups_of(login):
                yield f"group {group}"
            if "@" in login[:-1]:
                yield f"domain {login.rpartition('@')[2]}"
        for role in identity.roles:
            yield f"role {role}"

    def _member_of(self, identity: Identity, near: frozenset[str], wide: frozenset[str]) -> set[str]:
        found = {self.sets.routers(prefix) for prefix in identity.routes}
        for key in wide:
            for postures in self._named.get(key, ()):
                if not postures or (key in near and _fulfils(identity, postures)):
                    found.add(self.sets.of(key, postures))
        if identity.user is not None:
            found |= {
                self.sets.own(identity.user, postures)
                for postures in self._own_postures
                if _fulfils(identity, postures)
            }
        found |= {
            self._routers(rule) for rule in self._via if _is_router(identity, rule.via, rule.destinations)
        }
        return found

    def _sees(self, identity: Identity, near: frozenset[str], wide: frozenset[str]) -> set[str]:
        found: set[str] = set()
        for key in wide:
            for rule in self._as_destination.get(key, ()):
                found.update(self._sources(rule))
            for rule in self._as_source.get(key, ()):
                if not rule.postures or (key in near and _fulfils(identity, rule.postures)):
                    found.update(self._destinations(rule))
                if rule.has_self and identity.user is not None and key in near:
                    found.add(self.sets.own(identity.user, rule.postures))
                    if _fulfils(identity, rule.postures):
                        found.add(self.sets.own(identity.user))
        for rule in self._via:
            if _is_router(identity, rule.via, rule.destinations):
                found.update(self._sources(rule))
        return found

    # Rules -----------------------------------------------------------------------------------------------------

    def _reached(self, identity: Identity, near: frozenset[str], wide: frozenset[str]) -> Iterator[Reach]:
        numbers = {number for key in wide for number in self._by_destination.get(key, ())}
        if identity.user is not None:
            numbers.update(self._own)
        for number in sorted(numbers):
            reach = self._reach(self._steps[number], identity, near, wide)
            if reach is not None:
                yield reach

    def _reach(
        self, step: Step, identity: Identity, near: frozenset[str], wide: frozenset[str]
    ) -> Reach | None:
        if not _fulfils(identity, step.needs) or (step.via and not set(step.via) & set(identity.tags)):
            return None
        if step.is_self:
            return self._reach_own(step, identity, near)
        keys = near if step.entry.grant else wide
        is_there = _routed(identity) if step.via else keys.__contains__
        found = [destination for destination in step.destinations if is_there(destination.key)]
        if not found:
            return None
        if step.entry.grant:
            return Reach(entry=step.entry.id)
        return Reach(entry=step.entry.id, targets=tuple(destination.target for destination in found))

    def _reach_own(self, step: Step, identity: Identity, near: frozenset[str]) -> Reach | None:
        rule = self._rule_of[step.entry.id]
        if identity.user is None or not any(key_of(selector) in near for selector in rule.sources):
            return None
        targets = () if step.entry.grant else tuple(d.target for d in step.destinations)
        return Reach(entry=step.entry.id, targets=targets, own=self.sets.own(identity.user, step.postures))

    def allowing(self, identity: Identity) -> tuple[Rule, ...]:
        """Return the rules of which such devices are sources, in order; those that steer (`via`) allow nothing new."""
        near, wide = frozenset(self._near(identity)), self.keys(identity)
        mine = {id(rule) for rule in self._allowing(identity, near, wide)}
        return tuple(rule for rule in self.rules if id(rule) in mine)

    def reaching(self, source: Identity, target: Identity) -> tuple[Rule, ...]:
        """Return the rules by which the one may reach the other, in order; not those that only steer."""
        keys, is_own = self.keys(target), source.user is not None and source.user == target.user
        return tuple(
            rule
            for rule in self.allowing(source)
            if (rule.has_self and is_own) or any(key_of(selector) in keys for selector in rule.destinations)
        )

    def _allowing(self, identity: Identity, near: frozenset[str], wide: frozenset[str]) -> list[Rule]:
        rules = {id(rule): rule for key in wide for rule in self._as_source.get(key, ())}
        return [r for r in rules.values() if _is_source(identity, r, near, wide) and not r.via]

    def _permit(self, identity: Identity, near: frozenset[str], wide: frozenset[str]) -> Permit:
        return permit_of(self._allowing(identity, near, wide))


def permit_of(rules: Iterable[Rule]) -> Permit:
    """Return where these rules let their sources send, as far as WireGuard-only peers are concerned."""
    named = [(selector, rule) for rule in rules for selector in rule.destinations]
    relevant = [(s, r) for s, r in named if s.kind in {Kind.RANGE, Kind.TAG, Kind.INTERNET}]
    return Permit(
        ranges=tuple(sorted({s.value for s, _ in relevant if s.kind is Kind.RANGE})),
        tags=tuple(sorted({s.value for s, _ in relevant if s.kind is Kind.TAG})),
        internet=any(s.kind is Kind.INTERNET for s, _ in relevant),
        has_ports=any(rule.has_ports for _, rule in relevant),
    )


def _fulfils(identity: Identity, postures: tuple[str, ...]) -> bool:
    return not postures or any(name in identity.postures for name in postures)


def _is_source(identity: Identity, rule: Rule, near: frozenset[str], wide: frozenset[str]) -> bool:
    if not _fulfils(identity, rule.postures):
        return False
    keys = near if rule.postures else wide
    return any(key_of(selector) in keys for selector in rule.sources)


def _routed(identity: Identity) -> Callable[[str], bool]:
    """Return what says whether a router has an approved route that overlaps a destination (policy-semantics §3.6)."""

    def is_there(key: str) -> bool:
        if key == ANY_KEY:
            return bool(identity.routes)
        if key == INTERNET_KEY:
            return identity.is_exit
        return key in {RANGE + text for text in identity.along}

    return is_there


def _is_router(identity: Identity, tags: Sequence[str], destinations: Iterable[Selector]) -> bool:
    if not set(tags) & set(identity.tags):
        return False
    return any(map(_routed(identity), map(key_of, destinations)))


def _ranges_of(document: Document) -> Iterator[Selector]:
    for grant in document.grants or ():
        yield from (s for s in (*grant.sources, *grant.destinations) if s.kind is Kind.RANGE)
    for acl in document.acls or ():
        yield from (s for s in acl.sources if s.kind is Kind.RANGE)
        yield from (s for s, _ in acl.destinations if s.kind is Kind.RANGE)
    for rule in document.ssh:
        yield from (s for s in (*rule.sources, *rule.destinations) if s.kind is Kind.RANGE)
    for attribute in document.node_attributes:
        yield from (s for s in attribute.targets if s.kind is Kind.RANGE)
