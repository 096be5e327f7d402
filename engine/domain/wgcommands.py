"""What somebody wants done with WireGuard-only peers and their connections; a part of `commands.py`."""

from typing import Annotated, Literal

import msgspec

from engine.domain.command import Command, Name, Ref, Refs, Text, Texts


class RegisterPeer(Command, frozen=True, kw_only=True):
    """Register a WireGuard-only peer; nobody sees it until a connection is added."""

    name: Name
    user: Ref
    public_key: Text
    allowed_ips: Texts
    endpoints: Texts
    extra_config: dict[str, object] = msgspec.field(default_factory=dict)
    provider: Ref | None = None
    """The provider whose relay it is, at which nodes are registered by us."""
    managed_by: Text = ""
    """Which declarative file keeps it; empty: none."""

    def __repr__(self) -> str:
        """Return which peer it is about: what was given as a public key may be a private one."""
        return f"RegisterPeer(name={self.name!r}, user={self.user!r}, …)"


class RemovePeer(Command, frozen=True, kw_only=True):
    """Remove a WireGuard-only peer; while nodes are connected to it, only with `cascade`, which ends the connections."""

    peer: Ref
    cascade: bool = False


class DisablePeer(Command, frozen=True, kw_only=True):
    """Park a WireGuard-only peer: connected clients keep it, and no traffic passes; fails closed everywhere."""

    peer: Ref


class ExpirePeer(Command, frozen=True, kw_only=True):
    """Let clients count a WireGuard-only peer as expired now."""

    peer: Ref


class EnablePeer(Command, frozen=True, kw_only=True):
    """Bring a parked or expired WireGuard-only peer back as it was."""

    peer: Ref


class UpdatePeer(Command, frozen=True, kw_only=True):
    """Change what a WireGuard-only peer is, in place; what is not given stays.

    Of `extra_config` the fields that are given are replaced; `null` takes one away.
    """

    peer: Ref
    public_key: Text | None = None
    allowed_ips: Texts | None = None
    endpoints: Texts | None = None
    extra_config: dict[str, object] | None = None
    provider: Ref | Literal[""] | None = None
    """The provider whose relay it is; empty: of no one that we know."""
    managed_by: Text | None = None
    """Which declarative file keeps it from now on; an empty text: none."""

    def __repr__(self) -> str:
        """Return which peer it is about: what was given as a public key may be a private one."""
        return f"UpdatePeer(peer={self.peer!r}, …)"


class RenamePeer(Command, frozen=True, kw_only=True):
    """Give the WireGuard-only peer another name in MagicDNS."""

    peer: Ref
    name: Name


class TagPeer(Command, frozen=True, kw_only=True):
    """Give the WireGuard-only peer these tags, and no others."""

    peer: Ref
    tags: Texts


class MovePeer(Command, frozen=True, kw_only=True):
    """Let the WireGuard-only peer belong to another user."""

    peer: Ref
    user: Ref


class ReportLookup(Command, frozen=True, kw_only=True):
    """Take in what looking up one of a WireGuard-only peer's host names gave; only the engine itself says so."""

    peer: Ref
    host: Name
    addresses: Texts = ()
    failure: Text = ""
    """Why nothing was found; the addresses of before stay."""


class SetBackend(Command, frozen=True, kw_only=True):
    """Give a WireGuard-only peer a backend that it may be switched to, or change one.

    Without `resolvers` it has those that the peer has now.
    """

    peer: Ref
    backend: Name
    public_key: Text
    endpoints: Texts
    resolvers: Texts | None = None

    def __repr__(self) -> str:
        """Return which backend it is about: what was given as a public key may be a private one."""
        return f"SetBackend(peer={self.peer!r}, backend={self.backend!r}, …)"


class RemoveBackend(Command, frozen=True, kw_only=True):
    """Take a backend that is not in use from a WireGuard-only peer."""

    peer: Ref
    backend: Name


class SwitchPeer(Command, frozen=True, kw_only=True):
    """Let a WireGuard-only peer be another of its backends, in place: nobody has to choose it again."""

    peer: Ref
    backend: Name


class DrainPeer(Command, frozen=True, kw_only=True):
    """Let clients that choose their exit themselves leave a WireGuard-only peer; traffic that stays still passes."""

    peer: Ref


class UndrainPeer(Command, frozen=True, kw_only=True):
    """Let a drained WireGuard-only peer be chosen again."""

    peer: Ref


class SetMasqueradePool(Command, frozen=True, kw_only=True):
    """Set the prefixes from which connections to the peer get their masquerade addresses; none: no pool."""

    peer: Ref
    ipv4: Text = ""
    ipv6: Text = ""


class AddSelector(Command, frozen=True, kw_only=True):
    """Connect every node that a tag, a group or a user speaks of, now and from now on; the peer's pool numbers them."""

    selector: Name
    peer: Ref
    allowed_ips: Texts | None = None
    jailed: bool = True


class RemoveSelector(Command, frozen=True, kw_only=True):
    """Connect nobody any more because of a selector."""

    selector: Name
    peer: Ref


class AddConnection(Command, frozen=True, kw_only=True):
    """Connect a node to a WireGuard-only peer; without a masquerade address the peer's pool gives them.

    `allowed_ips` are those of the peer's that the node gets, None: all; unjailed, the far side may call the node.
    """

    node: Ref
    peer: Ref
    ipv4_masq_addr: Text = ""
    ipv6_masq_addr: Text = ""
    allowed_ips: Texts | None = None
    jailed: bool = True


class AddConnections(Command, frozen=True, kw_only=True):
    """Connect each of the nodes to each of the WireGuard-only peers, all of them or none.

    The peers' pools give the masquerade addresses; one node alone may be given the same ones at every peer.
    """

    nodes: Refs
    peers: Refs
    ipv4_masq_addr: Text = ""
    ipv6_masq_addr: Text = ""
    allowed_ips: Texts | None = None
    jailed: bool = True


class UpdateConnection(Command, frozen=True, kw_only=True):
    """Replace both masquerade addresses of a connection, its part of the allowed IPs, or its jail.

    Masquerade addresses stay when none is given and something else is; no `allowed_ips` are all of the peer's again.
    """

    node: Ref
    peer: Ref
    ipv4_masq_addr: Text = ""
    ipv6_masq_addr: Text = ""
    allowed_ips: Texts | None = None
    jailed: bool | None = None


class RemoveConnection(Command, frozen=True, kw_only=True):
    """Disconnect a node from a WireGuard-only peer."""

    node: Ref
    peer: Ref


class ToldConnection(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What the far side was told of one node; what is not given is as it is now."""

    node: Ref
    public_key: Text = ""
    ipv4_masq_addr: Text = ""
    ipv6_masq_addr: Text = ""

    def __repr__(self) -> str:
        """Return which node it is about: what was given as a public key may be a private one."""
        return f"ToldConnection(node={self.node!r}, …)"


class RecordExport(Command, frozen=True, kw_only=True):
    """Note what the far side of a WireGuard-only peer was told of these connections, None: of all, as they are now."""

    peer: Ref
    connections: Annotated[tuple[ToldConnection, ...], msgspec.Meta(max_length=1_000)] | None = None
    style: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{0,32}$")] = msgspec.field(
        default="", name="format"
    )
    checksum: Annotated[str, msgspec.Meta(pattern="^[a-z0-9:]{0,80}$")] = ""


class SetWireGuardDns(Command, frozen=True, kw_only=True):
    """Set whether the tailnet's resolvers go before those of a WireGuard-only exit: `keep` (they do) or `demote`."""

    mode: Name
