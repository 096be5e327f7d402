"""The tests that a policy carries: who must reach what, and who must not; pure (policy-semantics §3.13, §3.14).

    accept   every address of the source is let through to some address of the destination
    deny     no address of the source is let through to any
    *:port   accept wants a rule whose destination is `*`; deny wants no rule at all

Rule 1: tests are asked of the rules, not of filters: an address need not be a device's, and `via` changes nothing.
Rule 2: a user, tag or group without a device is tested as if it had one: tests do not fail because a device left.
Rule 3: a rule with a posture helps only a source whose `srcPostureAttrs` fulfil it; without these it helps nobody.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal, TypeVar

import msgspec

from engine.policy.checks.entries import Malformed, Names
from engine.policy.checks.packets import Packets
from engine.policy.checks.shells import Shells
from engine.policy.checks.world import World
from engine.policy.document import Check, Document, Selector
from engine.policy.subjects import Device, Person

Section = Literal["tests", "sshTests"]
MAX_TEXT: Final = 300
"""Characters of an entry in short."""


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """An assertion that does not hold, or an entry that cannot: `index` from 0, `line` where the entry begins."""

    section: Section
    index: int
    line: int
    text: str
    """For people: `tests[2]: alice@example.com should reach tag:web:22 but no rule lets it`."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One entry and what became of it: no failures means that it holds."""

    section: Section
    index: int
    line: int
    text: str
    """What it wants: `alice@example.com; accept tag:web:22; deny tag:db:5432`."""
    failures: tuple[str, ...] = ()


def failures(document: Document, people: Iterable[Person], devices: Iterable[Device]) -> tuple[Failed, ...]:
    """Return every assertion of the policy's tests that does not hold among these people and devices."""
    return tuple(
        Failed(section=outcome.section, index=outcome.index, line=outcome.line, text=text)
        for outcome in outcomes(document, people, devices)
        for text in outcome.failures
    )


def outcomes(document: Document, people: Iterable[Person], devices: Iterable[Device]) -> tuple[Outcome, ...]:
    """Return every test of the policy with what became of it; `tests` first."""
    if not document.tests and not document.ssh_tests:
        return ()
    bench = _Bench(document, tuple(people), tuple(devices))
    return tuple(bench.run())


class _Bench:
    """The tests of one document."""

    def __init__(self, document: Document, people: Sequence[Person], devices: Sequence[Device]) -> None:
        names = Names(document, people)
        self._tests: Final = [(check, _read(names.test, check)) for check in document.tests]
        self._ssh_tests: Final = [(check, _read(names.ssh_test, check)) for check in document.ssh_tests]
        world = World(document, people, devices, self._selectors())
        self._packets: Final = Packets(world)
        self._shells: Final = Shells(world)

    def run(self) -> Iterator[Outcome]:
        """Yield what became of each entry."""
        for index, (check, test) in enumerate(self._tests):
            wrong = (test,) if isinstance(test, str) else self._packets.failing(test)
            yield _outcome("tests", index, check, wrong)
        for index, (check, shell) in enumerate(self._ssh_tests):
            wrong = (shell,) if isinstance(shell, str) else self._shells.failing(shell)
            yield _outcome("sshTests", index, check, wrong)

    def _selectors(self) -> Iterator[Selector]:
        for _, test in self._tests:
            if not isinstance(test, str):
                yield test.source
                yield from (target.selector for target in (*test.accept, *test.deny))
        for _, shell in self._ssh_tests:
            if not isinstance(shell, str):
                yield shell.source
                yield from (selector for _, selector in shell.destinations)


T = TypeVar("T")


def _read(read: Callable[[Check], T], check: Check) -> T | str:
    """Return what an entry means, or why it means nothing."""
    try:
        return read(check)
    except Malformed as error:
        return str(error)


def _outcome(section: Section, index: int, check: Check, wrong: Iterable[str]) -> Outcome:
    return Outcome(
        section=section,
        index=index,
        line=check.line,
        text=_said(check),
        failures=tuple(f"{section}[{index}]: {text}" for text in wrong),
    )


def _said(check: Check) -> str:
    """Return an entry in short."""
    entry = check.entry
    said = [str(entry.get("src", "?"))]
    for word in ("dst", "proto", "accept", "check", "deny"):
        given = entry.get(word)
        if given:
            texts = given if isinstance(given, list | tuple) else (given,)
            said.append(f"{word} {', '.join(map(str, texts))}")
    return "; ".join(said)[:MAX_TEXT]
