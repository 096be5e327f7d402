"""What was set for the whole tailnet; a part of `events.py`, whose rules hold here."""

import msgspec


class BaseDomainSet(msgspec.Struct, frozen=True, kw_only=True, tag="BaseDomainSet.v1"):
    """MagicDNS names end in this domain: lower case, no dot at the end."""

    domain: str


class PoolsSet(msgspec.Struct, frozen=True, kw_only=True, tag="PoolsSet.v1"):
    """Where addresses come from: four prefixes that do not overlap."""

    nodes_v4: str
    nodes_v6: str
    peers_v4: str
    peers_v6: str


class DerpMapSet(msgspec.Struct, frozen=True, kw_only=True, tag="DerpMapSet.v1"):
    """The DERP map that every node gets, as canonical JSON of the wire form."""

    derp_map: msgspec.Raw


class DomainsSet(msgspec.Struct, frozen=True, kw_only=True, tag="DomainsSet.v1"):
    """These e-mail domains belong to the tailnet; without any it is those of its users' addresses."""

    domains: tuple[str, ...]


class AutoUpdatesSet(msgspec.Struct, frozen=True, kw_only=True, tag="AutoUpdatesSet.v1"):
    """Whether clients whose person has not said otherwise update themselves."""

    on: bool


class ResolversSet(msgspec.Struct, frozen=True, kw_only=True, tag="ResolversSet.v1"):
    """Nodes ask these resolvers instead of their own; without any they ask their own."""

    resolvers: tuple[str, ...]


class WireGuardModeSet(msgspec.Struct, frozen=True, kw_only=True, tag="WireGuardModeSet.v1"):
    """Whether the policy rules over WireGuard-only peers too: `bypass` (a connection is enough) or `enforce`."""

    mode: str


class PolicySet(msgspec.Struct, frozen=True, kw_only=True, tag="PolicySet.v1"):
    """The tailnet's policy is this text; an empty one means that it has none (any more)."""

    text: str
    digest: str
    """SHA-256 of the text, in hex."""
    compiler: int = 1
    """What understood the text: a later one may find other rules in it."""
