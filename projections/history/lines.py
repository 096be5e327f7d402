"""What an event says, in words: "connected laptop (7) to mullvad-exit (100000001), masquerade 10.64.0.100".

Rule 1: a line goes after an actor's name: it begins with a verb in the past tense.
Rule 2: things are called as they are called now, with their id; what is gone has its id only.
Rule 3: an event that has no words here is told by its name and fields: a new event needs no line to be told.
Rule 4: keys are shortened, and what is secret or long (digests, texts, maps) is left out.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from engine.domain import events as e
from engine.domain import providerevents as p
from engine.domain.state import Tailnet
from engine.domain.values import AuthKeyId, Millis, NodeId, PeerId, UserId

_SHORT: Final = 8
"""Digits of a key that are shown."""
_MOST: Final = 200
"""Characters of a value that is told by rule 3."""
_LEFT_OUT: Final = frozenset({"digest", "text", "derp_map", "result", "parked_key", "account"})
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Names(Protocol):
    """What things are called."""

    def node(self, number: NodeId) -> str:
        """Return `laptop (7)`, or `node 7`."""
        ...

    def peer(self, number: PeerId) -> str:
        """Return `mullvad-exit (100000001)`, or `peer 100000001`."""
        ...

    def user(self, number: UserId) -> str:
        """Return `alice`, or `user 1`."""
        ...


class NamesNow:
    """The names of a tailnet as it is."""

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet = tailnet

    def node(self, number: NodeId) -> str:
        """Return a node's name and id."""
        node = self._tailnet.nodes.get(number)
        return f"node {number}" if node is None else f"{node.name} ({number})"

    def peer(self, number: PeerId) -> str:
        """Return a WireGuard-only peer's name and id."""
        peer = self._tailnet.peers.get(number)
        return f"peer {number}" if peer is None else f"{peer.name} ({number})"

    def user(self, number: UserId) -> str:
        """Return a user's name."""
        user = self._tailnet.users.get(number)
        return f"user {number}" if user is None else user.name


def line(event: e.Event, names: Names) -> str:
    """Return what the event says."""
    words = _LINES.get(type(event))
    return _plain(event) if words is None else words(event, names)


def _plain(event: e.Event) -> str:
    """Return an event's name in words, and its fields (rule 3)."""
    name = _WORDS.sub(" ", type(event).__name__).lower()
    shown = (field for field in event.__struct_fields__ if field not in _LEFT_OUT)
    return f"{name}: " + ", ".join(
        f"{field.replace('_', ' ')} {_value(getattr(event, field))}" for field in shown
    )


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return _all(map(str, value))
    text = str(value)
    return _key(text) if re.match(r"(node|m|disco)key:", text) else text[:_MOST]


def _key(key: str) -> str:
    kind, _, digits = key.partition(":")
    return f"{kind}:{digits[:_SHORT]}…"


def _all(items: Iterable[str]) -> str:
    return ", ".join(items) or "none"


def _time(at: Millis) -> str:
    return dt.datetime.fromtimestamp(at / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _registered(event: e.NodeRegistered, names: Names) -> str:
    whose = f"as {_all(event.tags)}" if event.tags else f"of {names.user(event.user)}"
    how = "" if event.auth_key is None else f", with pre-auth key {event.auth_key}"
    return f"registered node {event.node} {event.name} {whose}, {event.ipv4}{how}"


def _pair(event: Any, names: Names) -> str:
    return f"{names.node(event.node)} to {names.peer(event.peer)}"


def _connection(event: e.ConnectionAdded | e.ConnectionUpdated) -> str:
    facts = [f"masquerade {_all(filter(None, (event.ipv4_masq, event.ipv6_masq)))}"]
    if event.allowed_ips is not None:
        facts.append(f"only {_all(event.allowed_ips)}")
    if not event.jailed:
        facts.append("unjailed")
    if event.selector:
        facts.append(f"by {event.selector}")
    return ", ".join(facts)


def _auth_key(event: e.AuthKeyCreated, names: Names) -> str:
    kinds = [word for word, on in (("reusable", event.reusable), ("ephemeral", event.ephemeral)) if on]
    whose = f" for {_all(event.tags)}" if event.tags else f" for {names.user(event.user)}"
    return f"created {' '.join([*kinds, 'pre-auth key'])} {AuthKeyId(event.key)}{whose}"


def _api_key(event: e.ApiKeyCreated, names: Names) -> str:
    whose = "" if event.peer is None else f" for {names.peer(event.peer)}"
    return f"created API key {event.key} ({event.prefix}) of scope {event.scope}{whose}"


def _hosts(event: e.PeerEndpointsResolved) -> str:
    found = (
        f"{host.host} = {_all(host.addresses)}{' (failing)' if host.failing_since else ''}"
        for host in event.hosts
    )
    return "; ".join(found) or "no name"


def _expiry(event: e.NodeExpirySet, names: Names) -> str:
    until = f"until {_time(event.expiry)}" if event.expiry else "for ever"
    return f"let the key of {names.node(event.node)} be good {until}"


_LINES: Final[Mapping[type, Callable[[Any, Names], str]]] = {
    e.LogStarted: lambda ev, _: f"began the history {ev.epoch}",
    e.BaseDomainSet: lambda ev, _: f"set the base domain to {ev.domain}",
    e.PoolsSet: lambda ev, _: (
        f"set the pools: nodes {ev.nodes_v4} {ev.nodes_v6}, peers {ev.peers_v4} {ev.peers_v6}"
    ),
    e.DerpMapSet: lambda _ev, _: "set the DERP map",
    e.DomainsSet: lambda ev, _: f"set the e-mail domains to {_all(ev.domains)}",
    e.AutoUpdatesSet: lambda ev, _: f"turned automatic updates {'on' if ev.on else 'off'}",
    e.WireGuardModeSet: lambda ev, _: f"set the mode of WireGuard-only peers to {ev.mode}",
    e.PolicySet: lambda ev, _: f"set the policy {ev.digest[:12]}" if ev.text else "removed the policy",
    e.UserCreated: lambda ev, _: f"created user {ev.user} {ev.name}",
    e.UserDeleted: lambda ev, _: f"deleted user {ev.user}",
    e.ResolversSet: lambda ev, _: f"set the tailnet's resolvers to {_all(ev.resolvers)}",
    e.WireGuardDnsSet: lambda ev, _: (
        f"let the tailnet's resolvers {'give way to' if ev.mode == 'demote' else 'go before'} exits' own"
    ),
    e.ApiKeyCreated: _api_key,
    e.ApiKeyExpired: lambda ev, _: f"ended API key {ev.key}",
    e.ApiKeyDeleted: lambda ev, _: f"deleted API key {ev.key}",
    e.UserRoleSet: lambda ev, n: f"made {n.user(ev.user)} {ev.role}",
    e.AuthKeyCreated: _auth_key,
    e.AuthKeyUsed: lambda ev, n: f"used pre-auth key {ev.key} for {n.node(ev.node)}",
    e.AuthKeyExpired: lambda ev, _: f"ended pre-auth key {ev.key}",
    e.NodeRegistered: _registered,
    e.NodeReregistered: lambda ev, n: f"logged {n.node(ev.node)} in again, key {_key(ev.node_key)}",
    e.NodeExpired: lambda ev, n: f"ended the key of {n.node(ev.node)} ({ev.why})",
    e.NodeExpirySet: _expiry,
    e.NodeRenamed: lambda ev, _: f"renamed node {ev.node} to {ev.name}",
    e.NodeTagged: lambda ev, n: f"tagged {n.node(ev.node)} as {_all(ev.tags)}",
    e.NodeRoutesAdvertised: lambda ev, n: f"offered routes of {n.node(ev.node)}: {_all(ev.routes)}",
    e.NodeRoutesApproved: lambda ev, n: f"approved routes of {n.node(ev.node)}: {_all(ev.routes)}",
    e.NodeDeleted: lambda ev, _: f"deleted node {ev.node}",
    e.CommandHandled: lambda ev, _: f"was answered: {ev.name}",
    e.PeerRegistered: lambda ev, n: (
        f"registered peer {ev.peer} {ev.name} of {n.user(ev.user)}, key {_key(ev.public_key)}"
    ),
    e.PeerRemoved: lambda ev, _: f"removed peer {ev.peer}",
    e.PeerDisabled: lambda ev, n: f"disabled {n.peer(ev.peer)}",
    e.PeerExpired: lambda ev, n: f"expired {n.peer(ev.peer)}",
    e.PeerEnabled: lambda ev, n: f"enabled {n.peer(ev.peer)}",
    e.PeerUpdated: lambda ev, n: (
        f"changed {n.peer(ev.peer)}: key {_key(ev.public_key)}, {_all(ev.allowed_ips)} at {_all(ev.endpoints)}"
    ),
    e.PeerEndpointsResolved: lambda ev, n: f"found {n.peer(ev.peer)} at {_hosts(ev)}",
    e.PeerBackendSet: lambda ev, n: f"set backend {ev.backend} of {n.peer(ev.peer)}, {_all(ev.endpoints)}",
    e.PeerBackendRemoved: lambda ev, n: f"removed backend {ev.backend} of {n.peer(ev.peer)}",
    e.PeerSwitched: lambda ev, n: f"switched {n.peer(ev.peer)} to backend {ev.backend}, {_all(ev.endpoints)}",
    e.PeerRenamed: lambda ev, _: f"renamed peer {ev.peer} to {ev.name}",
    e.PeerTagged: lambda ev, n: f"tagged {n.peer(ev.peer)} as {_all(ev.tags)}",
    e.PeerMoved: lambda ev, n: f"gave {n.peer(ev.peer)} to {n.user(ev.user)}",
    e.PeerDrained: lambda ev, n: f"drained {n.peer(ev.peer)}",
    e.PeerUndrained: lambda ev, n: f"let {n.peer(ev.peer)} be chosen again",
    e.PeerPoolSet: lambda ev, n: (
        f"set the masquerade pool of {n.peer(ev.peer)} to {_all(filter(None, (ev.ipv4, ev.ipv6)))}"
    ),
    e.SelectorAdded: lambda ev, n: f"began to connect {ev.selector} to {n.peer(ev.peer)}",
    e.SelectorRemoved: lambda ev, n: f"stopped to connect {ev.selector} to {n.peer(ev.peer)}",
    e.ConnectionAdded: lambda ev, n: f"connected {_pair(ev, n)}, {_connection(ev)}",
    e.ConnectionUpdated: lambda ev, n: f"changed the connection of {_pair(ev, n)}: {_connection(ev)}",
    e.ConnectionRemoved: lambda ev, n: f"disconnected {n.node(ev.node)} from {n.peer(ev.peer)}",
    p.ProviderAdded: lambda ev, _: (
        f"added provider {ev.name}: {ev.kind} at {ev.base_url}, {ev.quota} devices"
    ),
    p.ProviderUpdated: lambda ev, _: f"changed provider {ev.name}: {ev.base_url}, {ev.quota} devices",
    p.ProviderRemoved: lambda ev, _: f"removed provider {ev.provider}",
    p.PeerProviderSet: lambda ev, n: (
        f"made {n.peer(ev.peer)} a relay of {'nobody' if ev.provider is None else f'provider {ev.provider}'}"
    ),
    p.DeviceWanted: lambda ev, n: f"wanted {n.node(ev.node)} registered at provider {ev.provider}",
    p.DeviceAdmitted: lambda ev, n: f"gave {n.node(ev.node)} a place, as device {ev.device}",
    p.DeviceRegistered: lambda ev, n: (
        f"registered {n.node(ev.node)} as device {ev.device}, {_all(filter(None, (ev.ipv4, ev.ipv6)))}"
    ),
    p.DeviceRekeyed: lambda ev, n: f"wanted another key of {n.node(ev.node)} for device {ev.device}",
    p.DeviceFailed: lambda ev, n: (
        f"failed at device {ev.device} of {n.node(ev.node)}, {ev.attempts} in a row: {ev.code} {ev.word}".rstrip()
    ),
    p.DeviceRetried: lambda ev, n: f"let device {ev.device} of {n.node(ev.node)} be tried again",
    p.DeviceLeft: lambda ev, n: f"withdrew device {ev.device} of {n.node(ev.node)}",
    p.DeviceRevoked: lambda ev, n: (
        f"revoked key {_key(ev.node_key)} of {n.node(ev.node)}, device {ev.device}"
    ),
    p.DeviceForgotten: lambda ev, n: f"forgot device {ev.device} of {n.node(ev.node)}",
    e.ConnectionExported: lambda ev, n: f"told the far side of {_pair(ev, n)}, key {_key(ev.node_key)}",
    e.ConnectionStale: lambda ev, n: (
        f"left the far side of {_pair(ev, n)} with a former key, {_key(ev.former_key)}"
    ),
}
