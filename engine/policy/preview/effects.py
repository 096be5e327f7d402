"""What rules do, before and after, as words: what is gained and what is lost; pure.

    packets   `*`, `443` (TCP, UDP and ICMP), `tcp:22`, `tcp+udp:53,8000-8100`, `icmp`
    apps      `example.com/cap/drive`, with `(other values)` when it is there before and after
    shells    `root`, `autogroup:nonroot`, with `(check)` when a check comes first

Rule 1: rules only add: what several allow together is what counts, and ports that touch are one range.
Rule 2: ICMP has no ports: a rule that allows it for any port allows it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from engine.policy.document import ALL_PORTS, Ports
from engine.policy.matching import local_names
from engine.policy.subjects import Person

ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
NONROOT: Final = "autogroup:nonroot"
LOCALPART: Final = "localpart:*@"
ROOT: Final = "root"
_USUAL: Final = (TCP, UDP, ICMP, ICMP6)
_NAMES: Final[Mapping[int, str]] = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMP6: "ipv6-icmp", 132: "sctp"}

Effects = frozenset[Any]


class Change(NamedTuple):
    """What is gained and what is lost; both empty: nothing."""

    gains: tuple[str, ...] = ()
    loses: tuple[str, ...] = ()


NOTHING: Final = Change()


def packets(before: Effects, after: Effects) -> Change:
    """Return the difference of (protocol, ports)."""
    was, will = _opened(before), _opened(after)
    return Change(_spelled(_without(will, was)), _spelled(_without(was, will)))


def apps(before: Effects, after: Effects) -> Change:
    """Return the difference of (capability, values)."""
    was, will = _by_name(before), _by_name(after)
    return Change(_more(will, was), _more(was, will))


def shells(before: Effects, after: Effects, person: Person | None) -> Change:
    """Return the difference of (is check, users), for sources of one user, or of none."""
    names = {name for _, users in (*before, *after) for name in _plain(users, person)}
    was, will = _entered(before, names, person), _entered(after, names, person)
    gains = [_shell(name, will[name]) for name in sorted(names) if will[name] and will[name] != was[name]]
    loses = [_shell(name, was[name]) for name in sorted(names) if was[name] and will[name] != was[name]]
    usual = (was.get(NONROOT, ""), will.get(NONROOT, ""))
    same = {name for name in names - {NONROOT, ROOT} if (was[name], will[name]) == usual and any(usual)}
    hidden = {_shell(name, how) for name in same for how in ("accept", "check")}
    return Change(
        tuple(text for text in gains if text not in hidden),
        tuple(text for text in loses if text not in hidden),
    )


def _opened(effects: Effects) -> dict[int, Ports]:
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for protocol, ports in effects:
        for each in _USUAL if protocol is None else (protocol,):
            found[each] += (ALL_PORTS if each in {ICMP, ICMP6} else ports) if ports else ()
    return {protocol: _merged(ports) for protocol, ports in found.items()}


def _merged(ports: Iterable[tuple[int, int]]) -> Ports:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ports):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _without(some: Mapping[int, Ports], others: Mapping[int, Ports]) -> dict[int, Ports]:
    left = {protocol: _cut(ports, others.get(protocol, ())) for protocol, ports in some.items()}
    return {protocol: ports for protocol, ports in left.items() if ports}


def _cut(ports: Ports, others: Ports) -> Ports:
    left = list(ports)
    for first, last in others:
        left = [
            part
            for low, high in left
            for part in ((low, min(high, first - 1)), (max(low, last + 1), high))
            if part[0] <= part[1]
        ]
    return tuple(left)


def _spelled(opened: Mapping[int, Ports]) -> tuple[str, ...]:
    rest = dict(opened)
    texts = []
    if all(protocol in rest for protocol in _USUAL) and rest[TCP] == rest[UDP]:
        texts.append(_numbers(rest[TCP]))
        for protocol in _USUAL:
            del rest[protocol]
    if TCP in rest and rest[TCP] == rest.get(UDP):
        texts.append(f"tcp+udp:{_numbers(rest.pop(TCP))}")
        del rest[UDP]
    for protocol in sorted(rest):
        name = _NAMES.get(protocol, str(protocol))
        texts.append(name if protocol in {ICMP, ICMP6} else f"{name}:{_numbers(rest[protocol])}")
    return tuple(texts)


def _numbers(ports: Ports) -> str:
    if ports == ALL_PORTS:
        return "*"
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ports)


def _by_name(effects: Effects) -> dict[str, frozenset[bytes]]:
    found: dict[str, set[bytes]] = defaultdict(set)
    for name, value in effects:
        found[name].add(value)
    return {name: frozenset(values) for name, values in found.items()}


def _more(some: Mapping[str, frozenset[bytes]], others: Mapping[str, frozenset[bytes]]) -> tuple[str, ...]:
    return tuple(
        name if name not in others else f"{name} (other values)"
        for name in sorted(some)
        if some[name] - others.get(name, frozenset())
    )


def _plain(users: Iterable[str], person: Person | None) -> Iterable[str]:
    """Yield the names that a rule lets in: `localpart:` as the person's own name."""
    for name in users:
        if not name.startswith(LOCALPART):
            yield name
        elif person is not None:
            yield from local_names(person, name.removeprefix(LOCALPART))


def _entered(effects: Effects, names: Iterable[str], person: Person | None) -> dict[str, str]:
    """Return for each name whether it is let in: `check`, `accept` or not; checks come first."""
    lets = [(is_check, frozenset(_plain(users, person))) for is_check, users in effects]
    found = {}
    for name in names:
        how = {is_check for is_check, users in lets if name in users or (NONROOT in users and name != ROOT)}
        found[name] = "check" if True in how else "accept" if how else ""
    return found


def _shell(name: str, how: str) -> str:
    return f"{name} (check)" if how == "check" else name
