"""Entries of `tests` against the rules: whose packets come through; pure (policy-semantics §3.13)."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from engine.policy.checks.entries import PROTOCOLS, PacketTest, Target
from engine.policy.checks.world import World
from engine.policy.document import Kind, Ports
from engine.policy.points import allowances

_USUAL: Final = PROTOCOLS[""]


class _Flow(NamedTuple):
    """An allowance among the points; `own` are the ports of `autogroup:self`, `every` those of `*`."""

    sources: int
    postures: tuple[str, ...]
    targets: tuple[tuple[int, Ports], ...]
    own: Ports
    every: Ports
    protocols: frozenset[int]
    line: int


class Packets:
    """The rules of one document, ready to be tested."""

    def __init__(self, world: World) -> None:
        self._world: Final = world
        self._flows: Final = tuple(_flows(world))

    def failing(self, test: PacketTest) -> Iterator[str]:
        """Yield what does not hold, for people."""
        source = self._world.meant(test.source)
        if not source:
            yield f"nobody is in {test.text}: there is nothing to test"
            return
        able = self._able(test)
        for target in test.accept:
            missing = self._not_reaching(able, source, target)
            if missing:
                why = self._but(source, missing, "no rule lets it", "no rule lets")
                yield f"{test.text} should reach {target.text} but {why}{self._hint(test, source, target)}"
        for target in test.deny:
            yield from self._reaching(able, test, source, target)

    def _able(self, test: PacketTest) -> list[_Flow]:
        """Return the rules that count for the test's protocols and facts, with the sources that then count."""
        holding = self._world.holding(dict(test.facts))
        devices = self._world.points.devices
        found = []
        for flow in self._flows:
            if not flow.protocols & test.protocols:
                continue
            if not flow.postures:
                found.append(flow)
            elif any(name in holding for name in flow.postures):
                found.append(flow._replace(sources=flow.sources & devices))
        return found

    def _not_reaching(self, flows: Iterable[_Flow], source: int, target: Target) -> int:
        points = self._world.points
        if target.selector.kind is Kind.SELF:
            missing = source & ~points.members  # from a tag or an address there is no self
            for user, own in points.users_in(source):
                missing |= own & ~self._allowed(flows, points.of_user[user], target)
            return missing
        return source & ~self._allowed(flows, self._world.meant(target.selector), target)

    def _allowed(self, flows: Iterable[_Flow], mask: int, target: Target) -> int:
        """Return the sources that are let through to some point of the mask."""
        found = 0
        for flow in flows:
            found |= self._through(flow, mask, target, is_every=target.selector.kind is Kind.ANY)
        return found

    def _through(self, flow: _Flow, mask: int, target: Target, *, is_every: bool) -> int:
        if is_every:
            return flow.sources if _has(flow.every, target.port) else 0
        if any(mask & its and _has(ports, target.port) for its, ports in flow.targets):
            return flow.sources
        found = 0
        if _has(flow.own, target.port):
            for user, _ in self._world.points.users_in(mask):
                found |= flow.sources & self._world.points.of_user[user]
        return found

    def _reaching(
        self, flows: Iterable[_Flow], test: PacketTest, source: int, target: Target
    ) -> Iterator[str]:
        should = f"{test.text} should not reach {target.text} but"
        nobodys = source & ~self._world.points.members
        if target.selector.kind is Kind.SELF and nobodys:
            yield f"{should} {self._world.describe(nobodys)} has no user: autogroup:self means nothing there"
            return
        for flow in flows:
            let = self._let_by(flow, source, target)
            if let:
                rule = f"the rule in line {flow.line}" if flow.line else "a rule"
                yield f"{should} {self._but(source, let, f'{rule} lets it', f'{rule} lets')}"
                return

    def _let_by(self, flow: _Flow, source: int, target: Target) -> int:
        points = self._world.points
        match target.selector.kind:
            case Kind.SELF:
                found = 0
                for user, own in points.users_in(source):
                    found |= own & self._through(flow, points.of_user[user], target, is_every=False)
                return found
            case Kind.ANY:
                named = (flow.own, flow.every, *(ports for _, ports in flow.targets))
                return flow.sources & source if any(_has(ports, target.port) for ports in named) else 0
            case _:
                mask = self._world.meant(target.selector)
                return source & self._through(flow, mask, target, is_every=False)

    def _but(self, source: int, concerned: int, all_of_it: str, some_of_it: str) -> str:
        return all_of_it if concerned == source else f"{some_of_it} {self._world.describe(concerned)}"

    def _hint(self, test: PacketTest, source: int, target: Target) -> str:
        """Say so when only a posture is missing."""
        usual = [flow for flow in self._flows if flow.protocols & test.protocols]
        if self._not_reaching(usual, source, target):
            return ""
        return " unless a posture is fulfilled: srcPostureAttrs says what the source reports"


def _flows(world: World) -> Iterator[_Flow]:
    masks = world.masks
    for allowance in allowances(world.document):
        sources = 0
        for selector in allowance.sources:
            sources |= masks.source(selector)
        named = allowance.destinations
        yield _Flow(
            sources=sources,
            postures=allowance.postures,
            targets=tuple((masks.destination(s), ports) for s, ports in named),
            own=tuple(each for s, ports in named if s.kind is Kind.SELF for each in ports),
            every=tuple(each for s, ports in named if s.kind is Kind.ANY for each in ports),
            protocols=_USUAL if allowance.protocol is None else frozenset({allowance.protocol}),
            line=allowance.line,
        )


def _has(ports: Ports, port: int) -> bool:
    return any(first <= port <= last for first, last in ports)
