"""How each event is undone: a thing set back, a command that ends what was made, or the words for what lasts; pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from engine.domain import events as e
from engine.domain.aggregates import Connection, Peer
from engine.domain.providerevents import ProviderAdded
from engine.domain.state import Tailnet
from engine.domain.values import PeerId

Body = dict[str, Any]


class Ends(NamedTuple):
    """The tailnet before the command, just after it, and now."""

    before: Tailnet
    after: Tailnet
    now: Tailnet


class Step(msgspec.Struct, frozen=True):
    """A command, by its name and its body."""

    command: str
    body: Body


class Held(NamedTuple):
    """A thing with a value: how it is read, None when it is not there, and the command that sets it."""

    what: str
    read: Callable[[Tailnet], Any]
    set: Callable[[Any], Step | None]
    """The command for a value; None: no command sets this one."""


Undo = Step | str | Held
"""A command, why there is none, or a thing to be set back."""


# What was made ---------------------------------------------------------------------------------------------------------


def _ending(command: str, field: str, table: str) -> Callable[[Any, Ends], Iterator[Undo]]:
    """Return the undoing of what made a thing: the command that ends it, unless it is gone."""

    def undo(event: Any, ends: Ends) -> Iterator[Undo]:
        number = getattr(event, field)
        if number in getattr(ends.now, table):
            yield Step(command, {field: number})

    return undo


def _provider(event: ProviderAdded, ends: Ends) -> Iterator[Undo]:
    if event.provider in ends.now.provided.providers:
        yield Step("provider.remove", {"provider": event.provider})


def _connected(event: e.ConnectionAdded, ends: Ends) -> Iterator[Undo]:
    if not event.selector and (event.node, event.peer) in ends.now.connections:
        yield Step("connection.remove", {"node": event.node, "peer": event.peer})


def _selected(event: e.SelectorAdded, ends: Ends) -> Iterator[Undo]:
    peer = ends.now.peers.get(event.peer)
    if peer is not None and any(one.selector == event.selector for one in peer.selectors):
        yield Step("connection.remove-selector", {"selector": event.selector, "peer": event.peer})


# What was taken away ---------------------------------------------------------------------------------------------------


def _disconnected(event: e.ConnectionRemoved, ends: Ends) -> Iterator[Undo]:
    pair = event.node, event.peer
    held = ends.before.connections.get(pair)
    if held is None or held.selector or pair in ends.now.connections:
        return
    if event.node not in ends.now.nodes or event.peer not in ends.now.peers:
        yield f"the connection of node {event.node} to {event.peer}: one of them is not there any more"
        return
    yield Step(
        "connection.add",
        {
            "node": event.node,
            "peer": event.peer,
            "ipv4MasqAddr": held.ipv4_masq,
            "ipv6MasqAddr": held.ipv6_masq,
            "allowedIps": held.allowed_ips,
            "jailed": held.jailed,
        },
    )


def _unselected(event: e.SelectorRemoved, ends: Ends) -> Iterator[Undo]:
    held = next(
        (one for one in ends.before.peers[event.peer].selectors if one.selector == event.selector), None
    )
    if held is not None and event.peer in ends.now.peers:
        terms = {"allowedIps": held.allowed_ips, "jailed": held.jailed}
        yield Step("connection.add-selector", {"selector": event.selector, "peer": event.peer, **terms})


def _gone(what: str, remains: str) -> Callable[[Any, Ends], Iterator[Undo]]:
    def undo(_event: Any, _ends: Ends) -> Iterator[Undo]:
        yield f"{what}: {remains}"

    return undo


def _nothing(_event: Any, _ends: Ends) -> Iterator[Undo]:
    return iter(())


# What was set ----------------------------------------------------------------------------------------------------------


def _setting(name: str, command: str, field: str) -> Callable[[Any, Ends], Iterator[Undo]]:
    """Return the undoing of a setting of the tailnet; `field` is that of the command's body."""

    def undo(_event: Any, _ends: Ends) -> Iterator[Undo]:
        yield Held(
            name.replace("_", " "),
            lambda tailnet: _json(getattr(tailnet.settings, name)),
            lambda value: Step(command, {field: value}),
        )

    return undo


def _pools(_event: e.PoolsSet, _ends: Ends) -> Iterator[Undo]:
    names = ("nodes_v4", "nodes_v6", "peers_v4", "peers_v6")
    yield Held(
        "pools",
        lambda tailnet: tuple(getattr(tailnet.settings, name) for name in names),
        lambda held: Step(
            "settings.set-pools", dict(zip(("nodesV4", "nodesV6", "peersV4", "peersV6"), held, strict=True))
        ),
    )


def _policy(_event: e.PolicySet, _ends: Ends) -> Iterator[Undo]:
    yield Held(
        "policy",
        lambda tailnet: "" if tailnet.policy is None else tailnet.policy.text,
        lambda text: Step("policy.set", {"text": text, "force": True}),
    )


def _of(
    table: str, kind: str, field: str, command: str, body_field: str
) -> Callable[[Any, Ends], Iterator[Undo]]:
    """Return the undoing of what set a field of a user, a node or a peer."""

    def undo(event: Any, _ends: Ends) -> Iterator[Undo]:
        number = getattr(event, kind)
        yield Held(
            f"{field} of {kind} {number}",
            _reader(table, number, lambda held: getattr(held, field)),
            lambda value: Step(command, {kind: number, body_field: _json(value)}),
        )

    return undo


def _validity(event: e.NodeExpired | e.NodeExpirySet, _ends: Ends) -> Iterator[Undo]:
    number = event.node
    if isinstance(event, e.NodeExpired) and event.why == "logout":
        yield "a logged-out node: its client must log in again"
        return

    def make(held: tuple[bool, int]) -> Step:
        is_expired, expiry = held
        again = Step("node.set-expiry", {"node": number, "expiry": expiry})
        return Step("node.expire", {"node": number}) if is_expired else again

    read = _reader("nodes", number, lambda node: (node.expired, node.expiry))
    yield Held(f"expiry of node {number}", read, make)


def _tags(event: e.NodeTagged, _ends: Ends) -> Iterator[Undo]:
    yield Held(
        f"tags of node {event.node}",
        _reader("nodes", event.node, lambda node: node.tags),
        lambda tags: Step("node.tag", {"node": event.node, "tags": [*tags]}) if tags else None,
    )


def _on_peer(
    number: PeerId, what: str, read: Callable[[Peer], Any], make: Callable[[Any], Step | None]
) -> Held:
    return Held(f"{what} of peer {number}", _reader("peers", number, read), make)


def _state(event: e.PeerDisabled | e.PeerExpired | e.PeerEnabled, ends: Ends) -> Iterator[Undo]:
    def read(peer: Peer) -> frozenset[str]:
        return frozenset(
            name for name, on in (("disable", peer.parked_key), ("expire", peer.expired_at)) if on
        )

    def make(wanted: frozenset[str]) -> Step | None:
        missing = wanted - read(ends.now.peers[event.peer])
        if wanted and len(missing) != 1:
            return None  # only all of it can be taken back, and that would let traffic through for a moment
        return Step(f"peer.{next(iter(missing), 'enable')}", {"peer": event.peer})

    yield _on_peer(event.peer, "state", read, make)


def _drained(event: e.PeerDrained | e.PeerUndrained, _ends: Ends) -> Iterator[Undo]:
    yield _on_peer(
        event.peer,
        "draining",
        lambda peer: peer.drained,
        lambda is_drained: Step("peer.drain" if is_drained else "peer.undrain", {"peer": event.peer}),
    )


def _peer_tags(event: e.PeerTagged, _ends: Ends) -> Iterator[Undo]:
    yield _on_peer(
        event.peer,
        "tags",
        lambda peer: peer.extra.tags,
        lambda tags: Step("peer.set-tags", {"peer": event.peer, "tags": [*tags]}),
    )


def _masquerade(event: e.PeerPoolSet, _ends: Ends) -> Iterator[Undo]:
    yield _on_peer(
        event.peer,
        "masquerade pool",
        lambda peer: (peer.masq_v4, peer.masq_v6),
        lambda held: Step("peer.set-masq-pool", {"peer": event.peer, "ipv4": held[0], "ipv6": held[1]}),
    )


def _updated(event: e.PeerUpdated, ends: Ends) -> Iterator[Undo]:
    names = {
        "public_key": "publicKey",
        "allowed_ips": "allowedIps",
        "endpoints": "endpoints",
        "extra": "extraConfig",
        "managed_by": "managedBy",
    }
    before, after = ends.before.peers[event.peer], ends.after.peers.get(event.peer)
    differing = [name for name in names if after is None or getattr(before, name) != getattr(after, name)]

    def make(values: tuple[Any, ...]) -> Step:
        held = dict(zip(differing, values, strict=True))
        body = {names[name]: _json(value) for name, value in held.items()}
        if "extra" in held and after is not None:
            gone = msgspec.to_builtins(after.extra).keys() - body["extraConfig"].keys()
            body["extraConfig"] |= dict.fromkeys(gone)
        return Step("peer.update", {"peer": event.peer, **body})

    what = " and ".join(differing) or "nothing"
    yield _on_peer(event.peer, what, lambda peer: tuple(getattr(peer, name) for name in differing), make)


def _backend(event: e.PeerBackendSet | e.PeerBackendRemoved, _ends: Ends) -> Iterator[Undo]:
    def read(peer: Peer) -> Any:
        return next((one for one in peer.backends if one.name == event.backend), "")

    def make(held: Any) -> Step:
        place = {"peer": event.peer, "backend": event.backend}
        if held == "":
            return Step("peer.backend-remove", place)
        more = {"publicKey": held.public_key, "endpoints": [*held.endpoints], "resolvers": [*held.resolvers]}
        return Step("peer.backend-set", {**place, **more})

    yield _on_peer(event.peer, f"backend {event.backend}", read, make)


def _switched(event: e.PeerSwitched, _ends: Ends) -> Iterator[Undo]:
    yield _on_peer(
        event.peer,
        "backend",
        lambda peer: peer.backend,
        lambda name: Step("peer.switch", {"peer": event.peer, "backend": name}) if name else None,
    )


def _reconnected(event: e.ConnectionUpdated, _ends: Ends) -> Iterator[Undo]:
    if event.selector:
        return
    pair = event.node, event.peer

    def terms(held: Connection) -> tuple[Any, ...]:
        return held.ipv4_masq, held.ipv6_masq, held.allowed_ips, held.jailed

    def make(held: Any) -> Step:
        body: Body = {"node": pair[0], "peer": pair[1], "ipv4MasqAddr": held[0], "ipv6MasqAddr": held[1]}
        return Step("connection.update", {**body, "allowedIps": [*(held[2] or ())], "jailed": held[3]})

    yield Held(f"connection of node {pair[0]} to {pair[1]}", _reader("connections", pair, terms), make)


def _reader(table: str, key: object, read: Callable[[Any], Any]) -> Callable[[Tailnet], Any]:
    """Return what reads something of an entry of a tailnet's table; None where there is no such entry."""

    def found(tailnet: Tailnet) -> Any:
        held = getattr(tailnet, table).get(key)
        return None if held is None else read(held)

    return found


def _json(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else msgspec.to_builtins(value)


_IDS_ARE_SPENT: Final = "an id is never used again; what it was: netmap netmap diff --from"
UNDO: Final[Mapping[type, Callable[[Any, Ends], Iterator[Undo]]]] = {
    e.UserCreated: _ending("user.delete", "user", "users"),
    e.UserRoleSet: _of("users", "user", "role", "user.set-role", "role"),
    e.UserDeleted: _gone("a deleted user", _IDS_ARE_SPENT),
    e.AuthKeyCreated: _ending("authkey.expire", "key", "auth_keys"),
    e.AuthKeyUsed: _nothing,
    e.ApiKeyCreated: _ending("apikey.delete", "key", "api_keys"),
    e.NodeRegistered: _ending("node.remove", "node", "nodes"),
    e.NodeReregistered: _gone(
        "a node's new login", "its client has another key now; netmap node expire ends it"
    ),
    e.NodeExpired: _validity,
    e.NodeExpirySet: _validity,
    e.NodeRenamed: _of("nodes", "node", "name", "node.rename", "name"),
    e.NodeTagged: _tags,
    e.NodeRoutesAdvertised: _gone(
        "routes that a client offers", "they are the client's; netmap node approve-routes"
    ),
    e.NodeRoutesApproved: _of("nodes", "node", "approved", "node.approve-routes", "routes"),
    e.NodeDeleted: _gone("a removed node", _IDS_ARE_SPENT),
    e.PeerRegistered: _ending("peer.remove", "peer", "peers"),
    e.PeerRemoved: _gone("a removed WireGuard-only peer", _IDS_ARE_SPENT),
    e.PeerDisabled: _state,
    e.PeerExpired: _state,
    e.PeerEnabled: _state,
    e.PeerUpdated: _updated,
    e.PeerRenamed: _of("peers", "peer", "name", "peer.rename", "name"),
    e.PeerTagged: _peer_tags,
    e.PeerMoved: _of("peers", "peer", "user", "peer.move", "user"),
    e.PeerEndpointsResolved: _gone("addresses of host names", "they are what name servers say"),
    e.PeerBackendSet: _backend,
    e.PeerBackendRemoved: _backend,
    e.PeerSwitched: _switched,
    e.PeerDrained: _drained,
    e.PeerUndrained: _drained,
    e.PeerPoolSet: _masquerade,
    e.SelectorAdded: _selected,
    e.SelectorRemoved: _unselected,
    e.ConnectionAdded: _connected,
    e.ConnectionUpdated: _reconnected,
    e.ConnectionRemoved: _disconnected,
    e.ConnectionExported: _gone("what the far side was told", "it knows it now"),
    e.ConnectionStale: _nothing,
    e.BaseDomainSet: _setting("base_domain", "settings.set-domain", "domain"),
    e.PoolsSet: _pools,
    e.DerpMapSet: _setting("derp_map", "derp.set", "derpMap"),
    e.DomainsSet: _setting("domains", "settings.set-domains", "domains"),
    e.AutoUpdatesSet: _setting("auto_updates", "settings.set-auto-updates", "on"),
    e.ResolversSet: _setting("resolvers", "dns.set", "resolvers"),
    e.WireGuardModeSet: _setting("wireguard_mode", "settings.set-wg-mode", "mode"),
    e.WireGuardDnsSet: _setting("wireguard_dns", "settings.set-wg-dns", "mode"),
    e.PolicySet: _policy,
    ProviderAdded: _provider,
    e.CommandHandled: _nothing,
}
"""How each event is undone; one that is not here cannot be."""
