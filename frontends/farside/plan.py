"""What an import will do, before anything is done.

Rule 1: a peer whose key is registered already is left alone; what the file says otherwise is shown.
Rule 2: a connection that is there already is left alone too.
Rule 3: what the file does not say is no difference: a file without DNS says nothing of resolvers.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from frontends.farside.wgfile import Fault, Section, WgFile

_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")
_LONGEST: Final = 63
"""Characters of a DNS label (RFC 1035 §2.3.4)."""


class Source(NamedTuple):
    """A file, by the name that a person gave, and what was read of it."""

    file: str
    name: str
    """Of its peer; several are numbered."""
    read: WgFile


class Step(NamedTuple):
    """A peer of a file, and what becomes of it: `peer` is register or known, `connection` add, known, differs or "-"."""

    file: str
    line: int
    name: str
    publicKey: str  # noqa: N815 (a field of the JSON form)
    allowedIps: tuple[str, ...]  # noqa: N815 (a field of the JSON form)
    endpoints: tuple[str, ...]
    exitNodeDNSResolvers: tuple[str, ...]  # noqa: N815 (a field of the JSON form)
    ipv4MasqAddr: str  # noqa: N815 (a field of the JSON form)
    ipv6MasqAddr: str  # noqa: N815 (a field of the JSON form)
    peer: str
    connection: str
    differences: tuple[str, ...] = ()
    id: int | None = None
    """The peer's, once it is registered."""


class Known(NamedTuple):
    """What is there already: rows of peers, and of the node's connections; `connects` if a node was named."""

    peers: Sequence[Mapping[str, Any]]
    connections: Sequence[Mapping[str, Any]] = ()
    connects: bool = False


def label(text: str) -> str:
    """Return a text as a name may be: a DNS label, or nothing."""
    return _NOT_IN_NAMES.sub("-", text.lower()).strip("-")[:_LONGEST].rstrip("-")


def steps(sources: Sequence[Source], known: Known) -> list[Step]:
    """Return a step for each peer of each file, in their order.

    Raises:
        Located: `wgfile.again`, `wgfile.addresses`.
    """
    found: list[Step] = []
    for source in sources:
        many = len(source.read.peers) > 1
        for number, section in enumerate(source.read.peers, start=1):
            earlier = next((step for step in found if step.publicKey == section.publicKey), None)
            if earlier is not None:
                again = f"this peer is in {earlier.file}, line {earlier.line}, already"
                raise Located(source.file, Fault(section.line, "PublicKey", "wgfile.again", again))
            name = f"{source.name[: _LONGEST - 4]}-{number}" if many else source.name
            found.append(_step(source, section, name, known))
    return found


class Located(Exception):  # noqa: N818 (it is what is wrong with the file)
    """A fault, and the file that has it."""

    def __init__(self, file: str, fault: Fault) -> None:
        super().__init__(f"{file}: {fault}")
        self.file: Final = file
        self.fault: Final = fault


def _step(source: Source, section: Section, name: str, known: Known) -> Step:
    row = next((row for row in known.peers if row.get("publicKeyBase64") == section.publicKey), None)
    ipv4, ipv6 = _masquerade(source) if known.connects else ("", "")
    connection, others = _connection(row, ipv4, ipv6, known)
    return Step(
        file=source.file,
        line=section.line,
        name=name if row is None else str(row["name"]),
        publicKey=section.publicKey,
        allowedIps=section.allowedIps,
        endpoints=(section.endpoint,),
        exitNodeDNSResolvers=source.read.resolvers,
        ipv4MasqAddr=ipv4,
        ipv6MasqAddr=ipv6,
        peer="register" if row is None else "known",
        connection=connection,
        differences=(*_differences(row, section, source.read), *others),
        id=None if row is None else int(row["id"]),
    )


def _masquerade(source: Source) -> tuple[str, str]:
    """Return the file's address of each family, or nothing."""
    v4 = [address for address in source.read.addresses if ":" not in address]
    v6 = [address for address in source.read.addresses if ":" in address]
    if len(v4) > 1 or len(v6) > 1 or not (v4 or v6):
        count = "no Address" if not (v4 or v6) else "more than one Address of a family"
        message = (
            f"[Interface] has {count}: a connection needs one masquerade address of a family, or one of each"
        )
        hint = "leave --node out, and connect with `netmap node add-wg-connection`"
        raise Located(source.file, Fault(1, "Address", "wgfile.addresses", message, hint))
    return "".join(v4), "".join(v6)


def _connection(
    row: Mapping[str, Any] | None, ipv4: str, ipv6: str, known: Known
) -> tuple[str, tuple[str, ...]]:
    if not known.connects:
        return "-", ()
    there = next((one for one in known.connections if row is not None and one.get("peer") == row["id"]), None)
    if there is None:
        return "add", ()
    has = (there.get("ipv4MasqAddr") or "", there.get("ipv6MasqAddr") or "")
    if has == (ipv4, ipv6):
        return "known", ()
    return "differs", (_otherwise("masquerade", [*filter(None, has)], [*filter(None, (ipv4, ipv6))]),)


def _differences(row: Mapping[str, Any] | None, section: Section, read: WgFile) -> list[str]:
    if row is None:
        return []
    extra = row.get("extraConfig") or {}
    pairs = (
        ("allowedIps", row.get("allowedIps") or (), section.allowedIps),
        ("endpoints", row.get("endpoints") or (), (section.endpoint,)),
        ("resolvers", extra.get("exitNodeDNSResolvers") or (), read.resolvers),
    )
    return [_otherwise(name, has, file) for name, has, file in pairs if file and set(has) != set(file)]


def _otherwise(name: str, has: Sequence[str], file: Sequence[str]) -> str:
    return f"{name}: {', '.join(has) or 'none'}; the file has {', '.join(file)}"
