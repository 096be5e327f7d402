"""Entries of `sshTests` against the SSH rules: who gets which shell; pure (policy-semantics §3.12, §3.14).

Rule 1: every address of the source is tried at every device of the destinations.
Rule 2: a name is let in by a rule that names it, by `autogroup:nonroot` unless it is root, and by `localpart:*@domain`
        from the user whose name it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from engine.policy.checks.entries import SshTest
from engine.policy.checks.world import World
from engine.policy.document import Kind, Selector, SshRule
from engine.policy.matching import local_names
from engine.policy.points import bits

NONROOT: Final = "autogroup:nonroot"
LOCALPART: Final = "localpart:*@"
ROOT: Final = "root"


class _Rule(NamedTuple):
    """An SSH rule among the points; `own` are the devices that get it for their own user alone."""

    sources: int
    targets: int
    own: int
    postures: tuple[str, ...]
    written: SshRule


class _Try(NamedTuple):
    """Some sources, and the devices at which each of them is tried; `lost` if `autogroup:self` means nothing to them."""

    sources: int
    targets: int
    lost: bool = False


class Shells:
    """The SSH rules of one document, ready to be tested."""

    def __init__(self, world: World) -> None:
        self._world: Final = world
        self._rules: Final = tuple(_rules(world))

    def failing(self, test: SshTest) -> Iterator[str]:
        """Yield what does not hold, for people."""
        source = self._world.meant(test.source)
        if not source:
            yield f"nobody is in {test.text}: there is nothing to test"
            return
        rules = self._able(test)
        checks = [rule for rule in rules if rule.written.is_check]
        for text, selector in test.destinations:
            tries = self._tries(source, selector)
            yield from self._missing(f"{test.text} should get a shell at {text}", rules, tries, test.accept)
            yield from self._missing(f"{test.text} should be checked at {text}", checks, tries, test.check)
            yield from self._let(f"{test.text} should get no shell at {text}", rules, tries, test.deny)

    def _able(self, test: SshTest) -> list[_Rule]:
        holding = self._world.holding(dict(test.facts))
        return [
            rule
            for rule in self._rules
            if not rule.postures or any(name in holding for name in rule.postures)
        ]

    def _tries(self, source: int, selector: Selector) -> Sequence[_Try]:
        """Return who is tried where; `autogroup:self` is each user's own devices, and nothing without a user."""
        points = self._world.points
        if selector.kind is not Kind.SELF:
            return (_Try(source, self._world.meant(selector)),)
        found = [_Try(own, points.of_user[user]) for user, own in points.users_in(source)]
        nobodys = source & ~points.members
        return (*found, _Try(nobodys, 0, lost=True)) if nobodys else found

    def _missing(
        self, should: str, rules: Sequence[_Rule], tries: Iterable[_Try], users: Iterable[str]
    ) -> Iterator[str]:
        for user in users:
            for each in tries:
                wrong = self._first_missing(rules, each, user)
                if wrong:
                    yield f"{should} as {user} but {wrong}"
                    break

    def _first_missing(self, rules: Sequence[_Rule], each: _Try, user: str) -> str:
        if not each.targets:
            return "there is no such device"
        for target in self._devices(each.targets):
            missing = each.sources & ~self._allowed(rules, target, user)
            if missing:
                describe = self._world.describe
                return f"no rule lets {describe(missing)} do so at {describe(target)}"
        return ""

    def _let(
        self, should: str, rules: Sequence[_Rule], tries: Iterable[_Try], users: Iterable[str]
    ) -> Iterator[str]:
        for user in users:
            for each in tries:
                wrong = self._first_let(rules, each, user)
                if wrong:
                    yield f"{should} as {user} but {wrong}"
                    break

    def _first_let(self, rules: Sequence[_Rule], each: _Try, user: str) -> str:
        if each.lost:
            return "autogroup:self means nothing to who has no user"
        for target in self._devices(each.targets):
            for rule in rules:
                let = each.sources & self._allowed((rule,), target, user)
                if let:
                    which = f"the rule in line {rule.written.line}" if rule.written.line else "a rule"
                    return f"{which} lets {self._world.describe(let)}"
        return ""

    def _devices(self, mask: int) -> Iterator[int]:
        """Yield each device of the mask, with all of its points."""
        while mask:
            device = self._world.device(next(bits(mask)))
            yield device
            mask &= ~device

    def _allowed(self, rules: Iterable[_Rule], target: int, user: str) -> int:
        """Return the sources that get a shell of that name at a device."""
        points, found = self._world.points, 0
        for rule in rules:
            sources = self._named(rule, user)
            if rule.targets & target:
                found |= sources
            elif rule.own & target:
                for owner, _ in points.users_in(target):
                    found |= sources & points.of_user[owner]
        return found

    def _named(self, rule: _Rule, user: str) -> int:
        """Return the rule's sources that it lets in under that name."""
        names = rule.written.users
        if user in names or (NONROOT in names and user != ROOT):
            return rule.sources
        domains = [name.removeprefix(LOCALPART) for name in names if name.startswith(LOCALPART)]
        found = 0
        for person in self._world.points.people.values() if domains else ():
            if any(user in local_names(person, domain) for domain in domains):
                found |= self._world.points.of_user.get(person.id, 0)
        return rule.sources & found


def _rules(world: World) -> Iterator[_Rule]:
    masks, devices = world.masks, world.points.devices
    for rule in world.document.ssh:
        sources = targets = 0
        for selector in rule.sources:
            sources |= masks.source(selector) & devices
        for selector in rule.destinations:
            targets |= masks.destination(selector) & devices
        own = 0
        if any(selector.kind is Kind.SELF for selector in rule.destinations):
            own = world.points.members
        elif targets and any(name.startswith(LOCALPART) for name in rule.users):
            own = sources & world.points.members  # such a source gets its own user's rules (§3.12)
        yield _Rule(sources, targets, own, rule.postures, rule)
