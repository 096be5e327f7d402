"""A wg-quick file as a far side or a provider gives it: wg-quick(8), wg(8) "CONFIGURATION FILE FORMAT".

Rule 1: a private key is never kept, and no message has one: what looks like a key is not repeated, and a line that
        cannot be read is told by its number alone.
Rule 2: what clients cannot do is refused with the reason (a preshared key); what they need not
        know is passed over and named.
Rule 3: what may follow of an address, a host name, a prefix or a port is decided by the engine, when it registers the peer.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

OWN_KEY: Final = "the node has a key of its own; whoever runs the far side must be given that one (nodeKeyBase64 of `netmap node get`)"
_IGNORED: Final[Mapping[str, str]] = {
    "listenport": "clients choose their port",
    "mtu": "clients choose it: 1280",
    "table": "clients make their own routes",
    "fwmark": "clients choose it",
    "preup": "clients run no commands",
    "postup": "clients run no commands",
    "predown": "clients run no commands",
    "postdown": "clients run no commands",
    "saveconfig": "there is no file on clients",
    "persistentkeepalive": "clients send none to a WireGuard-only peer; the far side may",
}
_PRESHARED: Final = (
    "a preshared key cannot be used: no Tailscale client can be told one for a WireGuard-only peer"
)
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,31}")
_KEY: Final = re.compile(r"[0-9A-Za-z+/]{43}=")
_KEYLIKE: Final = re.compile(r"[0-9A-Za-z+/_=-]{40,}")
_ENDPOINT: Final = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^:]+)):(?P<port>[0-9]{1,5})")


class Fault(Exception):  # noqa: N818 (it is what is wrong with the file)
    """Why a file cannot be taken: where, which rule, and the next step.

    Args:
        line: from 1.
        field: the name on that line, or nothing.
        code: `wgfile.…`.
        message: the value, unless it may be a key, and the rule.
        hint: the next step, or nothing.
    """

    def __init__(self, line: int, field: str, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"line {line}: {message}")
        self.line: Final = line
        self.field: Final = field
        self.code: Final = code
        self.message: Final = message
        self.hint: Final = hint


class Ignored(NamedTuple):
    """A line that was passed over, and why."""

    line: int
    name: str
    why: str


class Section(NamedTuple):
    """A `[Peer]`: the line it begins at, and what was read of it."""

    line: int
    publicKey: str  # noqa: N815 (a field of the JSON form)
    endpoint: str
    allowedIps: tuple[str, ...]  # noqa: N815 (a field of the JSON form)


class WgFile(NamedTuple):
    """What was read of a file."""

    addresses: tuple[str, ...]
    """Of `[Interface]`, without their prefix lengths: the masquerade addresses."""
    resolvers: tuple[str, ...]
    peers: tuple[Section, ...]
    ignored: tuple[Ignored, ...]


class _Line(NamedTuple):
    number: int
    name: str
    value: str


def read(text: str) -> WgFile:
    """Return what a wg-quick file says.

    Raises:
        Fault: `wgfile.line`, `wgfile.section`, `wgfile.key`, `wgfile.private`, `wgfile.preshared`, `wgfile.endpoint`,
            `wgfile.address`, `wgfile.twice`, `wgfile.missing`, `wgfile.no_peer`.
    """
    interface: list[_Line] = []
    peers: list[tuple[int, list[_Line]]] = []
    current: list[_Line] | None = None
    for number, line in _lines(text):
        if line.startswith("["):
            current = _section(number, line, interface, peers)
        elif current is None:
            raise Fault(
                number, "", "wgfile.section", "this line is in no section: a file begins with [Interface]"
            )
        else:
            current.append(_pair(number, line))
    if not peers:
        raise Fault(1, "", "wgfile.no_peer", "there is no [Peer] in this file")
    ignored: list[Ignored] = []
    addresses, resolvers = _interface(interface, ignored)
    secrets = {line.value for line in _all(interface, peers) if line.name.lower() == "privatekey"}
    sections = tuple(_peer(number, lines, secrets, ignored) for number, lines in peers)
    return WgFile(addresses, resolvers, sections, tuple(sorted(ignored)))


def shown(value: str) -> str:
    """Return a value as a message may repeat it (rule 1)."""
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in value)
    return repr(_KEYLIKE.sub("(a key)", line)[:80])


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}").split("\n"), start=1):
        kept = line.partition("#")[0].strip()
        if kept:
            yield number, kept


def _section(
    number: int, line: str, interface: list[_Line], peers: list[tuple[int, list[_Line]]]
) -> list[_Line]:
    match line.lower():
        case "[interface]":
            return interface
        case "[peer]":
            peers.append((number, []))
            return peers[-1][1]
        case _:
            raise Fault(number, "", "wgfile.section", "a section is [Interface] or [Peer]")


def _pair(number: int, line: str) -> _Line:
    name, equals, value = (part.strip() for part in line.partition("="))
    if not equals or not _NAME.fullmatch(name):
        raise Fault(
            number,
            "",
            "wgfile.line",
            "this line is not `Name = value`",
            "it is not repeated here: it may be a key",
        )
    return _Line(number, name, value)


def _all(interface: list[_Line], peers: list[tuple[int, list[_Line]]]) -> Iterator[_Line]:
    yield from interface
    for _, lines in peers:
        yield from lines


def _interface(lines: list[_Line], ignored: list[Ignored]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    addresses: list[str] = []
    resolvers: list[str] = []
    for line in lines:
        match line.name.lower():
            case "address":
                addresses += [_checked(line, item, _address) for item in _items(line)]
            case "dns":
                resolvers += _resolvers(line, ignored)
            case _:
                _pass_over(line, ignored)
    return tuple(addresses), tuple(dict.fromkeys(resolvers))


def _peer(number: int, lines: list[_Line], secrets: set[str], ignored: list[Ignored]) -> Section:
    keys: list[str] = []
    endpoints: list[str] = []
    prefixes: list[str] = []
    for line in lines:
        match line.name.lower():
            case "publickey":
                keys.append(_public(line, secrets))
            case "endpoint":
                endpoints.append(_endpoint(line))
            case "allowedips":
                prefixes += [_checked(line, item, _prefix) for item in _items(line)]
            case "presharedkey":
                raise Fault(
                    line.number,
                    line.name,
                    "wgfile.preshared",
                    _PRESHARED,
                    "ask for a configuration without one",
                )
            case _:
                _pass_over(line, ignored)
    return Section(
        number,
        _one(number, "PublicKey", keys),
        _one(number, "Endpoint", endpoints),
        tuple(dict.fromkeys(prefixes)) or (_one(number, "AllowedIPs", []),),
    )


def _one(number: int, name: str, values: list[str]) -> str:
    if len(values) == 1:
        return values[0]
    if values:
        raise Fault(number, name, "wgfile.twice", f"this [Peer] has {name} more than once")
    hint = "clients cannot wait to be called: add where the far side is" if name == "Endpoint" else ""
    raise Fault(number, name, "wgfile.missing", f"this [Peer] has no {name}", hint)


def _pass_over(line: _Line, ignored: list[Ignored]) -> None:
    if line.name.lower() == "privatekey":
        why = OWN_KEY
    else:
        why = _IGNORED.get(line.name.lower(), "it is not known here")
    ignored.append(Ignored(line.number, line.name, why))


def _items(line: _Line) -> list[str]:
    return [item.strip() for item in line.value.split(",") if item.strip()]


def _resolvers(line: _Line, ignored: list[Ignored]) -> list[str]:
    found = []
    for item in _items(line):
        try:
            found.append(str(ipaddress.ip_address(item)))
        except ValueError:
            ignored.append(
                Ignored(line.number, line.name, f"{shown(item)} is a search domain, not a resolver")
            )
    return found


def _public(line: _Line, secrets: set[str]) -> str:
    if line.value in secrets:
        raise Fault(
            line.number, line.name, "wgfile.private", "the public key here is a private key of this file"
        )
    if not _KEY.fullmatch(line.value):
        raise Fault(line.number, line.name, "wgfile.key", "a WireGuard public key is 44 characters of base64")
    return line.value


def _endpoint(line: _Line) -> str:
    shape = _ENDPOINT.fullmatch(line.value)
    if shape is None:
        raise _no_endpoint(line)
    try:
        address = ipaddress.ip_address(shape["v6"] or shape["host"])
    except ValueError:
        name = (shape["host"] or "").lower().removesuffix(".")
        if not name.rpartition(".")[2][:1].isalpha():
            raise _no_endpoint(line) from None
        return f"{name}:{shape['port']}"
    return f"[{address}]:{shape['port']}" if shape["v6"] else f"{address}:{shape['port']}"


def _no_endpoint(line: _Line) -> Fault:
    message = f"{shown(line.value)} is not an endpoint: it must be ip:port, [ipv6]:port or name:port"
    return Fault(line.number, line.name, "wgfile.endpoint", message)


def _checked(line: _Line, item: str, parse: Callable[[str], str]) -> str:
    try:
        return parse(item)
    except ValueError:
        message = f"{shown(item)} is not an IP address or prefix"
        raise Fault(line.number, line.name, "wgfile.address", message) from None


def _address(text: str) -> str:
    return str(ipaddress.ip_interface(text).ip)


def _prefix(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))
