"""One document's rules as arrows, for each thing that rules do; pure.

    packets     who may send what where                      targets: points
    exits       who may use whom as an exit node             targets: devices, or `Scene.internet`
    apps        who has which capability                     targets: devices
    shells      who gets which shell                         targets: devices
    sights      who sees whom                                targets: devices
    routes      who is told of a route, and by which rules   targets: places in `Scene.routes`

Rule 1: a device is concerned by any of its addresses.
Rule 2: a rule with `via` opens what lies behind routers with one of its tags, and those routers where it names them too.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from engine.policy.document import Document, Kind, Ports, Selector
from engine.policy.points import Masks, allowances
from engine.policy.postures import fulfilled
from engine.policy.preview.effects import LOCALPART
from engine.policy.preview.relation import Arrow
from engine.policy.preview.scene import Scene

PLAIN: Final = ()
"""The effect of a rule without `via` on a route; that of one with `via` is its place among those and its tags."""
SEES: Final = "sees"
COMPANIONED: Final = frozenset({"tailscale.com/cap/drive", "tailscale.com/cap/relay"})
"""Capabilities that bring a rule in the opposite direction, which has the destinations as sources (§3.5)."""
_EVERYWHERE: Final = frozenset({Kind.ANY, Kind.DANGER_ALL})


class _Rule(NamedTuple):
    sources: tuple[Selector, ...]
    postures: tuple[str, ...]
    destinations: tuple[Selector, ...]
    via: tuple[str, ...]
    has_traffic: bool
    app: Collection[str]


class Arrows:
    """The arrows of one document."""

    def __init__(self, document: Document, scene: Scene) -> None:
        self._document: Final = document
        self._scene: Final = scene
        self._masks: Final = Masks(document, scene.points)
        self._holding: Final[dict[str, int]] = defaultdict(int)
        for bit, device in enumerate(scene.devices if document.postures else ()):
            for name in fulfilled(document.postures, device.facts):
                self._holding[name] |= 1 << bit
        self._rules: Final = tuple(_rules(document))

    def packets(self) -> Iterator[Arrow]:
        """Yield who may send what where; the effect is the protocol and the ports."""
        for allowance in allowances(self._document):
            sources = self._sources(allowance.sources, allowance.postures)
            by_ports: dict[Ports, list[Selector]] = defaultdict(list)
            for selector, ports in allowance.destinations:
                by_ports[ports].append(selector)
            for ports, selectors in by_ports.items():
                effect = (allowance.protocol, ports)
                targets = self._targets(selectors, allowance.via)
                named = self._named((*allowance.sources, *selectors))
                yield from self._arrows(sources, targets, effect, selectors, named)

    def exits(self) -> Iterator[Arrow]:
        """Yield who may use whom as an exit node; the effect is as of packets."""
        nowhere = 0 if self._scene.exits else 1 << self._scene.internet
        for allowance in allowances(self._document):
            sources = self._sources(allowance.sources, allowance.postures)
            for selector, ports in allowance.destinations:
                targets = self._exits(selector, allowance.via)
                if sources and targets:
                    named = self._named(allowance.sources)
                    named |= nowhere if selector.kind is Kind.INTERNET else 0
                    yield Arrow(sources, targets, (allowance.protocol, ports), named=named)

    def apps(self) -> Iterator[Arrow]:
        """Yield who has which capability; the effect is its name and its values."""
        for grant in self._document.grants or ():
            if grant.via:
                continue
            sources = self._sources(grant.sources, grant.postures or self._document.default_postures)
            targets = self._targets(grant.destinations, ()) & self._scene.points.devices
            named = self._named(grant.sources)
            for name, value in grant.app.items():
                effect = (name, bytes(value))
                yield from self._arrows(sources, targets, effect, grant.destinations, named)

    def shells(self) -> Iterator[Arrow]:
        """Yield who gets which shell; the effect is whether it is checked, and the users."""
        devices = self._scene.points.devices
        for rule in self._document.ssh:
            sources = self._sources(rule.sources, rule.postures) & devices
            targets = self._targets(rule.destinations, ()) & devices
            effect = (rule.is_check, tuple(sorted(set(rule.users))))
            yield from self._arrows(sources, targets, effect, rule.destinations, 0)
            if targets and any(name.startswith(LOCALPART) for name in rule.users):
                own = sources & self._scene.points.members
                yield Arrow(own, own, effect, is_self=True)  # such a source gets its own user's rules (§3.12)

    def sights(self) -> Iterator[Arrow]:
        """Yield who sees whom, both ways."""
        members = self._scene.points.members
        for rule in self._rules:
            sources, targets = self._seen_sources(rule), self._seen_targets(rule)
            if sources and targets:
                yield Arrow(sources, targets, SEES)
                yield Arrow(targets, sources, SEES)
            if not rule.via and any(selector.kind is Kind.SELF for selector in rule.destinations):
                own = self._sources(rule.sources, rule.postures) & members
                yield Arrow(own, members, SEES, is_self=True)
                yield Arrow(members, own, SEES, is_self=True)

    def routes(self) -> Iterator[Arrow]:
        """Yield who is told of a route; the effect is `PLAIN`, or the place and the tags of `via`."""
        for number, rule in enumerate(sorted(self._rules, key=lambda rule: not rule.via)):
            towards = self._routes(rule.destinations)
            sources = self._seen_sources(rule)
            if towards and sources and (rule.via or rule.has_traffic or COMPANIONED & set(rule.app)):
                yield Arrow(sources, towards, (number, rule.via) if rule.via else PLAIN)
            if rule.postures or not (rule.has_traffic or (rule.app and not rule.via)):
                continue
            back, targets = self._routes(rule.sources), self._seen_targets(rule)
            if back and targets:
                yield Arrow(targets, back, PLAIN)

    def _arrows(
        self, sources: int, targets: int, effect: object, selectors: Iterable[Selector], named: int
    ) -> Iterator[Arrow]:
        if sources and targets:
            yield Arrow(sources, targets, effect, named=named)
        own = sources & self._scene.points.members
        if own and any(selector.kind is Kind.SELF for selector in selectors):
            yield Arrow(own, self._scene.points.members, effect, is_self=True)

    def _sources(self, selectors: Iterable[Selector], postures: tuple[str, ...]) -> int:
        return self._masks.sources(selectors, postures, self._holding)

    def _named(self, selectors: Iterable[Selector]) -> int:
        mask = 0
        for selector in selectors:
            if selector.kind is Kind.RANGE:
                mask |= self._masks.devices(selector)
        return mask

    def _targets(self, selectors: Sequence[Selector], via: tuple[str, ...]) -> int:
        mask = 0
        for selector in selectors:
            here = self._masks.destination(selector)
            mask |= here & self._behind(here, via) if via else here
        return mask

    def _behind(self, here: int, via: tuple[str, ...]) -> int:
        """Return what routers with the tags can open: the pieces of their routes, and themselves if they route any of it."""
        mask = 0
        for bit in self._tagged_routers(via):
            behind = self._scene.behind[bit]
            if behind & here:
                mask |= behind | 1 << bit
        return mask

    def _tagged_routers(self, via: tuple[str, ...]) -> Iterator[int]:
        return (bit for bit in self._scene.behind if set(via) & set(self._scene.devices[bit].tags))

    def _exits(self, selector: Selector, via: tuple[str, ...]) -> int:
        """Return the exit nodes that a destination opens to the internet."""
        if selector.kind is not Kind.INTERNET and selector.kind not in _EVERYWHERE:
            return 0
        mask = 0
        for bit in self._scene.exits:
            device = self._scene.devices[bit]
            is_there = selector.kind is Kind.INTERNET or bool(device.routes)
            if not via or (set(via) & set(device.tags) and is_there):
                mask |= 1 << bit
        return mask if self._scene.exits else 1 << self._scene.internet

    def _seen_sources(self, rule: _Rule) -> int:
        sources = self._sources(rule.sources, rule.postures)
        devices = sources & self._scene.points.devices
        if rule.postures:
            return devices
        pieces = 0
        for selector in rule.sources:
            if selector.kind is Kind.RANGE:
                pieces |= self._masks.devices(selector)
        return devices | self._scene.routers(pieces)

    def _seen_targets(self, rule: _Rule) -> int:
        """Return the devices that are told of a rule because it concerns them or what is behind them."""
        mask = 0
        for selector in rule.destinations:
            here = self._masks.destination(selector)
            if rule.via:
                for bit in self._tagged_routers(rule.via):
                    mask |= (1 << bit) if self._scene.behind[bit] & here else 0
            elif selector.kind is not Kind.INTERNET:
                mask |= here & self._scene.points.devices | self._scene.routers(here)
            if selector.kind is Kind.INTERNET:
                mask |= self._exits(selector, rule.via) & self._scene.points.devices
        return mask

    def _routes(self, selectors: Iterable[Selector]) -> int:
        """Return the routes that overlap any of the selectors."""
        mask = 0
        for selector in selectors:
            here = self._masks.devices(selector) if selector.kind is Kind.RANGE else 0
            for place, route in enumerate(self._scene.routes):
                if selector.kind in _EVERYWHERE or self._scene.along[route] & here:
                    mask |= 1 << place
        return mask


def _rules(document: Document) -> Iterator[_Rule]:
    default = document.default_postures
    if document.acls is None and document.grants is None:
        everybody = (Selector(kind=Kind.ANY),)
        yield _Rule(everybody, default, everybody, (), has_traffic=True, app=())
    for grant in document.grants or ():
        yield _Rule(
            grant.sources,
            grant.postures or default,
            grant.destinations,
            grant.via,
            has_traffic=bool(grant.traffic),
            app=grant.app,
        )
    for acl in document.acls or ():
        named = tuple(selector for selector, _ in acl.destinations)
        yield _Rule(acl.sources, acl.postures or default, named, (), has_traffic=True, app=())
