"""Whether a far side's file still says what the tailnet says.

Rule 1: any of the formats is read, from its keys and addresses; what a person added around them is passed over.
Rule 2: a private or shared key in the file is passed over, and never repeated.
Rule 3: one node with another key than in the file, at the same addresses, is a changed key, not two differences.
"""

import contextlib
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from frontends.farside.remotes import Remote

_KEY: Final = re.compile(r"(?<![0-9A-Za-z+/])[0-9A-Za-z+/]{43}=(?![0-9A-Za-z+/=])")
_SECRET: Final = re.compile(r"(?:private|pre-?shared)[-_ ]?key\s*[=:]?\s*\S*", re.IGNORECASE)
_SPLIT: Final = re.compile(r"[\s,=\"']+")
_COMMENT: Final = re.compile(r"(?:^|\s)[#;].*")


class Difference(NamedTuple):
    """One thing that is otherwise: `what` is `added`, `removed`, `key` or `addresses`.

    `file` is what the far side's file has, `now` is what it should have; each is a key, or addresses.
    """

    what: str
    node: int | None
    name: str
    publicKey: str  # noqa: N815 (a field of the JSON form)
    file: list[str]
    now: list[str]


def entries_in(text: str) -> dict[str, frozenset[str]]:
    """Return addresses by public key, of a file in any of the formats."""
    found: dict[str, set[str]] = {}
    for record in _records(text):
        keys = [key for line in record for key in _KEY.findall(line)]
        if keys:
            found.setdefault(keys[0], set()).update(
                prefix for line in record for prefix in _prefixes(_KEY.sub(" ", line))
            )
    return {key: frozenset(prefixes) for key, prefixes in found.items()}


def differences(remotes: Sequence[Remote], entries: Mapping[str, frozenset[str]]) -> list[Difference]:
    """Return what the file must change, in the order of node ids, then what it must drop."""
    wanted = {remote.publicKey for remote in remotes}
    spare = {key: prefixes for key, prefixes in entries.items() if key not in wanted}
    found: list[Difference] = []
    for remote in sorted(remotes, key=lambda remote: remote.node):
        now = sorted(remote.allowedIps)
        theirs = entries.get(remote.publicKey)
        former = next((key for key, prefixes in spare.items() if sorted(prefixes) == now), None)
        if theirs is None and former is not None:
            del spare[former]
            found.append(_of(remote, "key", [former], [remote.publicKey]))
        elif theirs is None:
            found.append(_of(remote, "added", [], now))
        elif sorted(theirs) != now:
            found.append(_of(remote, "addresses", sorted(theirs), now))
    gone = (Difference("removed", None, "", key, sorted(spare[key]), []) for key in sorted(spare))
    return [*found, *gone]


def _of(remote: Remote, what: str, file: list[str], now: list[str]) -> Difference:
    return Difference(what, remote.node, remote.name, remote.publicKey, file, now)


def _records(text: str) -> Iterator[list[str]]:
    """Yield the lines that belong to one peer: a section, a form, or a line with a key."""
    lines = [_SECRET.sub(" ", _COMMENT.sub("", line)).strip() for line in text.splitlines()]
    record: list[str] = []
    sections = any(line.lower() == "[peer]" for line in lines)
    for line in lines:
        begins = line.startswith("[") if sections else bool(_KEY.search(line))
        if begins and record:
            yield record
            record = []
        record.append(line)
    yield record


def _prefixes(line: str) -> Iterator[str]:
    for word in _SPLIT.split(line):
        with contextlib.suppress(ValueError):
            yield str(ipaddress.ip_network(word, strict=False))
