"""Entries of `tests` and `sshTests` as they are meant, or why they can never hold; pure (policy-semantics §3.13, §3.14).

Rule 1: an entry that is not well made fails: it says nothing, and nobody should believe that it does.
Rule 2: names are those of the policy and of the tailnet: a tag that nobody owns, a group, host or user that is not there
        is a mistake. A user, tag or group without a device is none.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from engine.policy.document import Check, Document, Kind, Selector
from engine.policy.matching import domains_of
from engine.policy.postures import Value
from engine.policy.subjects import Person
from engine.policy.text.addresses import selector_of, span_in
from engine.policy.text.selectors import AUTOGROUPS

PROTOCOLS: Final[Mapping[str, frozenset[int]]] = {
    "": frozenset({6, 17, 1, 58}),
    "tcp": frozenset({6}),
    "udp": frozenset({17}),
    "sctp": frozenset({132}),
    "6": frozenset({6}),
    "17": frozenset({17}),
    "132": frozenset({132}),
}
"""What a test's `proto` may be; without it any of what a rule without a protocol allows."""
_KNOWN: Final = {"*": Selector(kind=Kind.ANY), **AUTOGROUPS}
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_LAST_PORT: Final = 65_535


class Malformed(ValueError):  # noqa: N818 (of the entry, not of ours)
    """The entry can never hold; the text says why."""


class Target(NamedTuple):
    """A destination of a test: the text, what it means, and the port."""

    text: str
    selector: Selector
    port: int


class PacketTest(NamedTuple):
    """An entry of `tests`."""

    text: str
    source: Selector
    protocols: frozenset[int]
    accept: tuple[Target, ...]
    deny: tuple[Target, ...]
    facts: Mapping[str, Value]


class SshTest(NamedTuple):
    """An entry of `sshTests`; destinations with their texts."""

    text: str
    source: Selector
    destinations: tuple[tuple[str, Selector], ...]
    accept: tuple[str, ...]
    check: tuple[str, ...]
    deny: tuple[str, ...]
    facts: Mapping[str, Value]


class Names:
    """What an entry may name."""

    def __init__(self, document: Document, people: Iterable[Person]) -> None:
        self._document: Final = document
        people = tuple(people)
        self._logins: Final = {login for person in people for login in person.logins}
        self._domains: Final = {domain for person in people for domain in domains_of(person)}

    def test(self, check: Check) -> PacketTest:
        """Return what an entry of `tests` means.

        Raises:
            Malformed: it can never hold.
        """
        entry = check.entry
        text, source = self._source(entry)
        protocol = entry.get("proto", "")
        spelled = str(protocol).strip() if isinstance(protocol, str | int) else "?"
        if spelled not in PROTOCOLS:
            raise Malformed(f"proto {protocol!r} is none of tcp, udp and sctp")
        accept, deny = _texts(entry, "accept"), _texts(entry, "deny")
        if not accept and not deny:
            raise Malformed("it has neither accept nor deny: there is nothing to test")
        return PacketTest(
            text,
            source,
            PROTOCOLS[spelled],
            tuple(map(self._target, accept)),
            tuple(map(self._target, deny)),
            _facts(entry),
        )

    def ssh_test(self, check: Check) -> SshTest:
        """Return what an entry of `sshTests` means.

        Raises:
            Malformed: it can never hold.
        """
        entry = check.entry
        text, source = self._source(entry)
        destinations = tuple((each, self._ssh_destination(each)) for each in _texts(entry, "dst"))
        if not destinations:
            raise Malformed("it has no dst")
        accept, check_, deny = (_texts(entry, word) for word in ("accept", "check", "deny"))
        if not accept and not check_ and not deny:
            raise Malformed("it has none of accept, check and deny: there is nothing to test")
        if "" in (*accept, *check_, *deny):
            raise Malformed("a user's name is empty")
        return SshTest(text, source, destinations, accept, check_, deny, _facts(entry))

    def _source(self, entry: Mapping[str, object]) -> tuple[str, Selector]:
        given = entry.get("src")
        if given is None:
            raise Malformed("it has no src")
        if not isinstance(given, str) or not given.strip():
            raise Malformed("src is one selector, and not empty")
        text = given.strip()
        selector = self._selector(text)
        if selector.kind in {Kind.SELF, Kind.INTERNET}:
            raise Malformed(f"{text} is nobody in particular: it cannot be src")
        return text, selector

    def _target(self, text: str) -> Target:
        name, colon, port = text.rpartition(":")
        if not colon:
            raise Malformed(f"{text!r} has no port")
        name = name.strip()
        if name.startswith("[") and name.endswith("]"):
            name = name[1:-1]
        if not _PORT.fullmatch(port) or not 1 <= int(port) <= _LAST_PORT:
            raise Malformed(f"{text!r} needs one port, 1 to {_LAST_PORT}: a test is of one port")
        selector = self._selector(name)
        if selector.kind in {Kind.INTERNET, Kind.DANGER_ALL}:
            raise Malformed(f"{name} cannot be tested: name an address")
        if _is_range(name, selector):
            raise Malformed(f"{name} is a range: name one of its addresses")
        return Target(text, selector, int(port))

    def _ssh_destination(self, text: str) -> Selector:
        if text.startswith("tag:") and text not in self._document.tag_owners:
            raise Malformed(f"dst contains unknown tag {text!r}")
        selector = self._selector(text)
        nowhere = selector.kind in {Kind.INTERNET, Kind.DANGER_ALL, Kind.ANY}
        if nowhere or _is_range(text, selector):
            raise Malformed(f"dst contains disallowed element {text!r}: it is no device")
        return selector

    def _selector(self, text: str) -> Selector:
        known = _KNOWN.get(text)
        if known is not None:
            return known
        if text.startswith("group:"):
            return self._named(text, Kind.GROUP, self._document.groups, "group")
        if text.startswith("tag:"):
            return self._named(text, Kind.TAG, self._document.tag_owners, "tag")
        if text.startswith("user:*@"):
            domain = text.removeprefix("user:*@")
            if domain not in self._domains:
                raise Malformed(f"nobody has a login of the domain {domain!r}")
            return Selector(kind=Kind.DOMAIN, value=domain)
        if text.removeprefix("host:") in self._document.hosts:
            return self._document.hosts[text.removeprefix("host:")]
        if "@" in text:
            if text.lower() not in self._logins:
                raise Malformed(f"there is no user {text!r}")
            return Selector(kind=Kind.USER, value=text.lower())
        return _range(text)

    def _named(self, text: str, kind: Kind, known: Mapping[str, object], noun: str) -> Selector:
        if text not in known:
            raise Malformed(f"there is no {noun} {text!r}")
        return Selector(kind=kind, value=text)


def _is_range(text: str, selector: Selector) -> bool:
    return "/" in text or (selector.kind is Kind.RANGE and selector.first != selector.last)


def _range(text: str) -> Selector:
    found = span_in(text)
    if found is None:
        raise Malformed(f"{text!r} is no user, group, tag, host or address")
    return selector_of(found[0])


def _texts(entry: Mapping[str, object], word: str) -> tuple[str, ...]:
    """Return a list of texts, trimmed; none if it is not there."""
    given = entry.get(word)
    if given is None:
        return ()
    if not isinstance(given, list | tuple) or not all(isinstance(item, str) for item in given):
        raise Malformed(f"{word} is a list of texts")
    return tuple(str(item).strip() for item in given)


def _facts(entry: Mapping[str, object]) -> dict[str, Value]:
    given = entry.get("srcPostureAttrs")
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise Malformed("srcPostureAttrs maps attributes to values")
    facts: dict[str, Value] = {}
    for name, value in given.items():
        if not isinstance(value, str | float | int):
            raise Malformed(f"the value of {name} is a text, a number, true or false")
        facts[str(name)] = value
    return facts
