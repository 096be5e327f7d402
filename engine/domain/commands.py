"""What somebody wants done; imperative; may be refused.

Rule 1: a command's JSON body is the struct itself in camelCase; unknown fields are refused.
Rule 2: `user`, `node` and `peer` take an id or a name; ids are numbers.
Rule 3: nothing about the message is in the body: id, actor, reason and deadline are headers.
Rule 4: `COMMANDS` is the alphabet: (entity, verb) → struct; subjects, schemas and the CLI come from it.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from engine.domain.apikeycommands import CreateApiKey, DeleteApiKey, ExpireApiKey
from engine.domain.command import Command, Name, Ref, Seconds, Text, Texts
from engine.domain.providercommands import (
    AddProvider,
    EnrolNode,
    RemoveProvider,
    UpdateProvider,
    WithdrawNode,
)
from engine.domain.values import LoginId, MachineKey, Millis, NodeKey
from engine.domain.wgcommands import (
    AddConnection,
    AddConnections,
    AddSelector,
    DisablePeer,
    DrainPeer,
    EnablePeer,
    ExpirePeer,
    MovePeer,
    RecordExport,
    RegisterPeer,
    RemoveBackend,
    RemoveConnection,
    RemovePeer,
    RemoveSelector,
    RenamePeer,
    ReportLookup,
    SetBackend,
    SetMasqueradePool,
    SetWireGuardDns,
    SwitchPeer,
    TagPeer,
    UndrainPeer,
    UpdateConnection,
    UpdatePeer,
)

__all__ = (
    "BY_NAME",
    "COMMANDS",
    "DEFAULT_AUTH_KEY_SECONDS",
    "REGISTRATION",
    "AddConnection",
    "AddConnections",
    "AddSelector",
    "AdvertiseNode",
    "ApproveLogin",
    "ApproveRoutes",
    "Command",
    "CreateApiKey",
    "CreateAuthKey",
    "CreateUser",
    "DeleteApiKey",
    "DeleteNode",
    "DeleteUser",
    "DisablePeer",
    "DrainPeer",
    "EnablePeer",
    "ExpireApiKey",
    "ExpireAuthKey",
    "ExpireNode",
    "ExpirePeer",
    "LogOutNode",
    "MovePeer",
    "Name",
    "PolicySource",
    "RecordExport",
    "Ref",
    "RegisterNode",
    "RegisterPeer",
    "RejectLogin",
    "RemoveBackend",
    "RemoveConnection",
    "RemovePeer",
    "RemoveSelector",
    "RenameNode",
    "RenamePeer",
    "ReportLookup",
    "RevertPolicy",
    "Seconds",
    "SetAutoUpdates",
    "SetBackend",
    "SetBaseDomain",
    "SetDerpMap",
    "SetDomains",
    "SetMasqueradePool",
    "SetNodeExpiry",
    "SetPolicy",
    "SetPools",
    "SetResolvers",
    "SetUserRole",
    "SetWireGuardDns",
    "SetWireGuardMode",
    "SwitchPeer",
    "TagNode",
    "TagPeer",
    "Text",
    "Texts",
    "UndrainPeer",
    "UpdateConnection",
    "UpdatePeer",
)

PolicySource = Annotated[str, msgspec.Meta(max_length=512 * 1024)]
"""The request that carries it is shorter still (`engine.contracts.requests`)."""

DEFAULT_AUTH_KEY_SECONDS: Final = 3_600
"""One hour, as Headscale's default; a stolen pre-auth key should be worth little."""


class CreateUser(Command, frozen=True, kw_only=True):
    """Make a user; the name is unique."""

    name: Name
    display_name: Text = ""
    email: Text = ""
    role: Text = ""


class DeleteUser(Command, frozen=True, kw_only=True):
    """Delete a user; while nodes or WireGuard-only peers belong to it, only with `cascade`, which removes them too."""

    user: Ref
    cascade: bool = False


class SetUserRole(Command, frozen=True, kw_only=True):
    """Give the user a role; a new owner makes an admin of the one before."""

    user: Ref
    role: Name


class CreateAuthKey(Command, frozen=True, kw_only=True):
    """Make a pre-auth key for a user; the secret is in the reply, once."""

    user: Ref
    reusable: bool = False
    ephemeral: bool = False
    tags: Texts = ()
    expires_in_seconds: Seconds = DEFAULT_AUTH_KEY_SECONDS


class ExpireAuthKey(Command, frozen=True, kw_only=True):
    """End a pre-auth key now; `key` is its id or the key itself."""

    key: Ref

    def __repr__(self) -> str:
        """Return no more than an id: the key itself is a secret."""
        return f"ExpireAuthKey(key={self.key if isinstance(self.key, int) else '…'})"


class RegisterNode(Command, frozen=True, kw_only=True):
    """Let a node in, or in again: by a pre-auth key, or because somebody approved `login`.

    Sent by frontends (`machine_key` is the one that the Noise handshake proved) and by the engine itself
    when a pending login is approved (`user` set, `auth_key` empty).
    """

    machine_key: MachineKey
    node_key: NodeKey
    old_node_key: NodeKey | None = None
    auth_key: Text = ""
    user: Ref | None = None
    hostname: Text = ""
    os: Text = ""
    ephemeral: bool = False
    expiry: Millis = Millis(0)
    capver: int = 0
    os_version: Text = ""
    client_version: Text = ""
    request_tags: Texts = ()
    routes: Texts | None = None
    """What it offers to route; None: it did not say."""

    def __repr__(self) -> str:
        """Return which machine and node it is about, without the pre-auth key."""
        return f"RegisterNode(machine_key={self.machine_key!r}, node_key={self.node_key!r}, …)"


class LogOutNode(Command, frozen=True, kw_only=True):
    """The client logs out: an ephemeral node is deleted, any other expires now."""

    machine_key: MachineKey
    node_key: NodeKey


class AdvertiseNode(Command, frozen=True, kw_only=True):
    """The client offers to route these prefixes, and asks for these tags."""

    machine_key: MachineKey
    node_key: NodeKey
    routes: Texts = ()
    request_tags: Texts = ()


class ExpireNode(Command, frozen=True, kw_only=True):
    """End the node's key now; `because` is `operator` or `deadline`."""

    node: Ref
    because: str = "operator"


class SetNodeExpiry(Command, frozen=True, kw_only=True):
    """Let the node's key be good until `expiry` (Unix milliseconds); 0 is for ever."""

    node: Ref
    expiry: Millis = Millis(0)


class RenameNode(Command, frozen=True, kw_only=True):
    """Give the node another name in MagicDNS."""

    node: Ref
    name: Name


class TagNode(Command, frozen=True, kw_only=True):
    """Let the node act for these tags, and no longer for its user."""

    node: Ref
    tags: Texts


class ApproveRoutes(Command, frozen=True, kw_only=True):
    """Let the node route these prefixes, and no others; one default route stands for both."""

    node: Ref
    routes: Texts


class DeleteNode(Command, frozen=True, kw_only=True):
    """Remove the node and its connections."""

    node: Ref


class SetBaseDomain(Command, frozen=True, kw_only=True):
    """Set the domain under which MagicDNS names live."""

    domain: Name


class SetDomains(Command, frozen=True, kw_only=True):
    """Set the e-mail domains that belong to the tailnet; none: those of its users' addresses."""

    domains: Texts


class SetAutoUpdates(Command, frozen=True, kw_only=True):
    """Set whether clients whose person has not said otherwise update themselves."""

    on: bool


class SetResolvers(Command, frozen=True, kw_only=True):
    """Set the resolvers that every node asks instead of its own; none: its own."""

    resolvers: Texts


class SetWireGuardMode(Command, frozen=True, kw_only=True):
    """Set whether the policy rules over WireGuard-only peers too: `bypass` or `enforce`."""

    mode: Name


class SetPolicy(Command, frozen=True, kw_only=True):
    """Set the policy; an empty text ends it. `expected` is the digest that it must have now, empty for none."""

    text: PolicySource
    expected: Text | None = None
    force: bool = False
    """Set it although tests fail."""

    def __repr__(self) -> str:
        """Return how long the text is."""
        return (
            f"SetPolicy(text=<{len(self.text)} characters>, expected={self.expected!r}, force={self.force})"
        )


class RevertPolicy(Command, frozen=True, kw_only=True):
    """Set a former policy again, by its digest or by the first 8 digits or more."""

    digest: Name


class SetPools(Command, frozen=True, kw_only=True):
    """Set where addresses come from; refused when one in use would fall outside."""

    nodes_v4: Name
    nodes_v6: Name
    peers_v4: Name
    peers_v6: Name


class SetDerpMap(Command, frozen=True, kw_only=True):
    """Set the DERP map: an object with `Regions`, as the wire has it."""

    derp_map: dict[str, object]


class ApproveLogin(Command, frozen=True, kw_only=True):
    """Let the machine behind a pending login in, as a node of `user`."""

    login: LoginId
    user: Ref


class RejectLogin(Command, frozen=True, kw_only=True):
    """Turn the machine behind a pending login away."""

    login: LoginId


COMMANDS: Final[Mapping[tuple[str, str], type[Command]]] = {
    ("user", "create"): CreateUser,
    ("user", "delete"): DeleteUser,
    ("user", "set-role"): SetUserRole,
    ("authkey", "create"): CreateAuthKey,
    ("authkey", "expire"): ExpireAuthKey,
    ("apikey", "create"): CreateApiKey,
    ("apikey", "expire"): ExpireApiKey,
    ("apikey", "delete"): DeleteApiKey,
    ("node", "expire"): ExpireNode,
    ("node", "set-expiry"): SetNodeExpiry,
    ("node", "rename"): RenameNode,
    ("node", "tag"): TagNode,
    ("node", "approve-routes"): ApproveRoutes,
    ("node", "remove"): DeleteNode,
    ("peer", "register"): RegisterPeer,
    ("peer", "remove"): RemovePeer,
    ("peer", "disable"): DisablePeer,
    ("peer", "expire"): ExpirePeer,
    ("peer", "enable"): EnablePeer,
    ("peer", "update"): UpdatePeer,
    ("peer", "rename"): RenamePeer,
    ("peer", "set-tags"): TagPeer,
    ("peer", "move"): MovePeer,
    ("peer", "drain"): DrainPeer,
    ("peer", "undrain"): UndrainPeer,
    ("peer", "set-masq-pool"): SetMasqueradePool,
    ("peer", "backend-set"): SetBackend,
    ("peer", "backend-remove"): RemoveBackend,
    ("peer", "switch"): SwitchPeer,
    ("connection", "add"): AddConnection,
    ("connection", "add-many"): AddConnections,
    ("connection", "update"): UpdateConnection,
    ("connection", "remove"): RemoveConnection,
    ("connection", "add-selector"): AddSelector,
    ("connection", "remove-selector"): RemoveSelector,
    ("connection", "exported"): RecordExport,
    ("provider", "add"): AddProvider,
    ("provider", "update"): UpdateProvider,
    ("provider", "remove"): RemoveProvider,
    ("provider", "enrol"): EnrolNode,
    ("provider", "withdraw"): WithdrawNode,
    ("settings", "set-domain"): SetBaseDomain,
    ("settings", "set-pools"): SetPools,
    ("settings", "set-domains"): SetDomains,
    ("settings", "set-wg-mode"): SetWireGuardMode,
    ("settings", "set-wg-dns"): SetWireGuardDns,
    ("settings", "set-auto-updates"): SetAutoUpdates,
    ("dns", "set"): SetResolvers,
    ("policy", "set"): SetPolicy,
    ("policy", "revert"): RevertPolicy,
    ("derp", "set"): SetDerpMap,
    ("login", "approve"): ApproveLogin,
    ("login", "reject"): RejectLogin,
}
"""What an operator may send, by (entity, verb)."""

BY_NAME: Final[Mapping[str, type[Command]]] = {
    f"{entity}.{verb}": kind for (entity, verb), kind in COMMANDS.items()
}
"""The same by name, as `peer.register`."""

REGISTRATION: Final[Mapping[tuple[str, str], type[Command]]] = {
    ("node", "register"): RegisterNode,
    ("node", "log-out"): LogOutNode,
    ("node", "advertise"): AdvertiseNode,
}
"""What only a frontend may send, for the machine whose key it has verified."""
