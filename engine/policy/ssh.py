"""Rules of Tailscale SSH: who may open which shell on devices of one class; pure.

Rule 1: rules apply in the policy's order, all of `check` before all of `accept` (policy-semantics §3.12).
Rule 2: `defaultSrcPosture` is for rules of the packet filter; a rule here has the postures that it names itself.
Rule 3: a rule with `localpart:*@domain` is one for each source user; a source that is no destination has those of its own user.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from engine.policy.document import Document, Kind, Selector
from engine.policy.document import SshRule as Written
from engine.policy.policy import Identity, SshRule, SshUse
from engine.policy.program import Sets, key_of

NONROOT: Final = "autogroup:nonroot"
LOCALPART: Final = "localpart:*@"
_ROOT: Final = "root"


class Ssh:
    """The SSH rules of one document."""

    def __init__(self, document: Document, sets: Sets) -> None:
        self._written: Final = tuple(r for r in document.ssh if r.sources and r.destinations)
        self.rules: Final = tuple(self._rule(number, rule, sets) for number, rule in enumerate(self._written))

    def named(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the keys of all sources, with the postures under which they count, and of all destinations."""
        for rule in self._written:
            for selector in rule.sources:
                yield key_of(selector), rule.postures
            for selector in rule.destinations:
                yield _towards(selector), ()

    def uses(self, identity: Identity, near: frozenset[str]) -> tuple[SshUse, ...]:
        """Return the rules that such devices have, in the order in which they apply."""
        found = []
        for written, rule in zip(self._written, self.rules, strict=True):
            use = self._use(written, rule, identity, near)
            if use is not None:
                found.append((rule.is_check, use))
        return tuple(use for is_check in (True, False) for kind, use in found if kind is is_check)

    def local_names(self, identity: Identity, near: frozenset[str]) -> tuple[tuple[str, str], ...]:
        """Return the local names that such devices' user has under the rules of which they are sources."""
        return tuple(
            (rule.id, name)
            for written, rule in zip(self._written, self.rules, strict=True)
            if rule.local and self._is_source(written, identity, near)
            for name in _local_names(written, identity)
        )

    def _use(
        self, written: Written, rule: SshRule, identity: Identity, near: frozenset[str]
    ) -> SshUse | None:
        if any(key_of(s) in near for s in written.destinations if s.kind is not Kind.SELF):
            return SshUse(rule.id)
        is_own = identity.user is not None and any(s.kind is Kind.SELF for s in written.destinations)
        if (is_own or rule.local) and self._is_source(written, identity, near):
            return SshUse(rule.id, own=True)
        return None

    def _is_source(self, written: Written, identity: Identity, near: frozenset[str]) -> bool:
        if written.postures and not any(name in identity.postures for name in written.postures):
            return False
        return any(key_of(selector) in near for selector in written.sources)

    def _rule(self, number: int, written: Written, sets: Sets) -> SshRule:
        postures = written.postures
        names = [name for name in written.users if not name.startswith(LOCALPART)]
        users = {name: name for name in names if name not in {NONROOT, _ROOT}}
        if NONROOT in names:
            users["*"] = "="
        users[_ROOT] = _ROOT if _ROOT in names else ""
        once = (s for s in written.sources if s.kind is not Kind.TAGGED)
        each = (s for s in written.sources if s.kind is Kind.TAGGED)
        return SshRule(
            id=sets.id(
                "ssh", msgspec.structs.replace(written, line=0), self._written[:number].count(written)
            ),
            sets=tuple(dict.fromkeys(sets.of(key_of(s), postures) for s in once)),
            each=tuple(dict.fromkeys(sets.of(key_of(s), postures) for s in each)),
            users=tuple(sorted(users.items())),
            is_check=written.is_check,
            accept_env=written.accept_env,
            local=len(names) != len(written.users),
            towards=tuple(dict.fromkeys(sets.of(_towards(s)) for s in written.destinations)),
        )


def _towards(selector: Selector) -> str:
    """Return the key of the devices that a destination may be; `autogroup:self` is any member's."""
    return key_of(Selector(kind=Kind.MEMBER) if selector.kind is Kind.SELF else selector)


def _local_names(written: Written, identity: Identity) -> Iterator[str]:
    domains = {name.removeprefix(LOCALPART) for name in written.users if name.startswith(LOCALPART)}
    for login in identity.logins:
        name, _, domain = login.rpartition("@")
        if name and domain and domain in domains:
            yield name
