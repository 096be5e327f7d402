"""What declarative files say, in the form in which the log has it.

Rule 1: values are read by the engine's own rules: what it would refuse by itself is a fault here, at its place.
Rule 2: an entry says all of its thing: what it leaves out is the default. Only `disabled` and `drained` stay as they are when
        they are not said, so that no file switches on again what somebody has cut off.
Rule 3: a thing is declared once, over all files.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from engine.domain.endpoints import parse_endpoints
from engine.domain.errors import Refusal
from engine.domain.events import ExtraConfig
from engine.domain.extra import parse_extra, parse_tags
from engine.domain.keys import parse_wireguard_key
from engine.domain.names import checked_mark
from engine.domain.prefixes import parse_allowed_ips
from engine.domain.state import Tailnet
from engine.domain.values import NodeKey
from frontends.cli.declared.reading import Fault, Place, Read, inner, objects, text, texts, truth

_NOBODY: Final = Tailnet()
"""The rules of one value ask nothing of a tailnet."""


class WantedPeer(NamedTuple):
    """A WireGuard-only peer that is declared; `disabled` and `drained` may be None: as it is."""

    name: str
    user: str
    public_key: NodeKey
    allowed_ips: tuple[str, ...]
    endpoints: tuple[str, ...]
    extra: ExtraConfig
    pool_v4: str
    pool_v6: str
    disabled: bool | None
    drained: bool | None
    at: Place


class WantedConnection(NamedTuple):
    """A connection that is declared; without masquerade addresses the pool gives them."""

    node: str
    peer: str
    ipv4: str
    ipv6: str
    allowed_ips: tuple[str, ...] | None
    jailed: bool
    at: Place


class WantedSelector(NamedTuple):
    """A selector that is declared."""

    selector: str
    peer: str
    allowed_ips: tuple[str, ...] | None
    jailed: bool
    at: Place


class Wanted(NamedTuple):
    """All that files declare together."""

    managed_by: str
    peers: tuple[WantedPeer, ...]
    connections: tuple[WantedConnection, ...]
    selectors: tuple[WantedSelector, ...]


def wanted(files: Iterable[Mapping[str, Read]]) -> Wanted:
    """Return what the files declare.

    Raises:
        Fault: `file.again`, `file.mark`, `file.masq`, and the engine's codes for values.
    """
    all_files = list(files)
    peers: dict[str, WantedPeer] = {}
    keys: dict[str, WantedPeer] = {}
    connections: dict[tuple[str, str], WantedConnection] = {}
    selectors: dict[tuple[str, str], WantedSelector] = {}
    for fields in all_files:
        for found, at in objects(fields, "peers"):
            peer = _peer(found, at)
            _once(peers.get(peer.name), at, f"the peer {peer.name}")
            _once(keys.get(peer.public_key), at, f"the public key of {peer.name}")
            peers[peer.name] = keys[peer.public_key] = peer
        for found, at in objects(fields, "connections"):
            for connection in _connections(found, at):
                pair = (connection.node, connection.peer)
                _once(connections.get(pair), at, f"the connection of {pair[0]} with {pair[1]}")
                connections[pair] = connection
        for found, at in objects(fields, "selectors"):
            selector = _selector(found, at)
            whose = (selector.selector, selector.peer)
            _once(selectors.get(whose), at, f"the selector {whose[0]} of {whose[1]}")
            selectors[whose] = selector
    return Wanted(
        _mark(all_files), tuple(peers.values()), tuple(connections.values()), tuple(selectors.values())
    )


def _mark(files: Iterable[Mapping[str, Read]]) -> str:
    found: Read | None = None
    for fields in files:
        one = fields.get("managedBy")
        if one is None:
            continue
        with _At(fields, "managedBy", one.at):
            checked_mark(str(one.value))
        if found is not None and found.value != one.value:
            message = f"managedBy is {one.value} here and {found.value} in {found.at}"
            raise Fault("file.mark", one.at, message, field="managedBy", hint="plan the files apart")
        found = one
    return "" if found is None else str(found.value)


def _once(earlier: WantedPeer | WantedConnection | WantedSelector | None, at: Place, what: str) -> None:
    if earlier is not None:
        raise Fault("file.again", at, f"{what} is declared in {earlier.at} already")


class _At:
    """Turns the engine's refusals into faults at a field's place."""

    def __init__(self, fields: Mapping[str, Read], name: str, whole: Place) -> None:
        self._at: Final = fields[name].at if name in fields else whole
        self._name: Final = name

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise the fault, if there was a refusal."""
        if isinstance(error, Refusal):
            raise Fault(error.code, self._at, error.message, field=self._name, hint=error.hint) from None


def _peer(fields: Mapping[str, Read], at: Place) -> WantedPeer:
    with _At(fields, "publicKey", at):
        key = parse_wireguard_key(text(fields, "publicKey"))
    with _At(fields, "allowedIps", at):
        allowed_ips, _ = parse_allowed_ips(_NOBODY, texts(fields, "allowedIps") or ())
    with _At(fields, "endpoints", at):
        endpoints, _ = parse_endpoints(texts(fields, "endpoints") or (), allowed_ips)
    with _At(fields, "extraConfig", at):
        extra, _ = parse_extra(_plain(inner(fields, "extraConfig")))
    with _At(fields, "tags", at):
        tags, _ = parse_tags(texts(fields, "tags") or (), field="tags")
    pool = inner(fields, "masqPool")
    return WantedPeer(
        name=text(fields, "name"),
        user=text(fields, "user"),
        public_key=key,
        allowed_ips=allowed_ips,
        endpoints=endpoints,
        extra=ExtraConfig(
            exit_node_dns_resolvers=extra.exit_node_dns_resolvers,
            suggest_exit_node=extra.suggest_exit_node,
            tags=tags,
            location=extra.location,
        ),
        pool_v4=_prefix(pool, "ipv4", at),
        pool_v6=_prefix(pool, "ipv6", at),
        disabled=truth(fields, "disabled"),
        drained=truth(fields, "drained"),
        at=at,
    )


def _plain(fields: Mapping[str, Read]) -> dict[str, object]:
    """Return an object as JSON has it."""
    return {
        name: _plain(one.value)
        if isinstance(one.value, dict)
        else list(one.value)
        if isinstance(one.value, tuple)
        else one.value
        for name, one in fields.items()
    }


def _prefix(fields: Mapping[str, Read], name: str, at: Place) -> str:
    given = text(fields, name)
    try:
        return str(ipaddress.ip_network(given)) if given else ""
    except ValueError:
        message = f"{given[:80]!r} is not a prefix without host bits"
        raise Fault("masq.pool", fields[name].at if name in fields else at, message, field=name) from None


def _connections(fields: Mapping[str, Read], at: Place) -> Iterable[WantedConnection]:
    nodes, peers = texts(fields, "node") or (), texts(fields, "peer") or ()
    ipv4, ipv6 = _address(fields, "ipv4MasqAddr"), _address(fields, "ipv6MasqAddr")
    if len(nodes) > 1 and (ipv4 or ipv6):
        message = "several nodes cannot have one masquerade address: a peer could not tell them apart"
        raise Fault("file.masq", at, message, hint="an entry for each, or none and a masqPool of the peer")
    part, jailed = _part(fields, at), truth(fields, "jailed")
    for node in nodes:
        for peer in peers:
            yield WantedConnection(node, peer, ipv4, ipv6, part, jailed is not False, at)


def _selector(fields: Mapping[str, Read], at: Place) -> WantedSelector:
    given = text(fields, "selector")
    canonical = given if given.startswith(("tag:", "group:", "user:")) else f"user:{given.removesuffix('@')}"
    jailed = truth(fields, "jailed")
    return WantedSelector(canonical, text(fields, "peer"), _part(fields, at), jailed is not False, at)


def _part(fields: Mapping[str, Read], at: Place) -> tuple[str, ...] | None:
    given = texts(fields, "allowedIps")
    if not given:
        return None
    with _At(fields, "allowedIps", at):
        return parse_allowed_ips(_NOBODY, given)[0]


def _address(fields: Mapping[str, Read], name: str) -> str:
    given = text(fields, name)
    try:
        return str(ipaddress.ip_address(given.partition("/")[0])) if given else ""
    except ValueError:
        message = f"{given[:80]!r} is not an address"
        raise Fault("masq.syntax", fields[name].at, message, field=name) from None
