"""The tables of a tailnet as something that can be written down, and back.

Rule 1: what comes back equals what was written, indices too (`Tailnet.__eq__`), but for rule 2.
Rule 2: former keys of nodes are left out: only decisions ask for them, there is one for every new key that there ever was, and
        an engine never starts from this.
Rule 3: every table is named here: `tests/unit/domain/test_kept.py` finds one that is not.
"""

from typing import Final

import msgspec

from engine.domain.addresses import PoolName, pools_of
from engine.domain.aggregates import ApiKey, AuthKey, Connection, Node, Peer, PolicyText, Settings, User
from engine.domain.device import Device, Provider
from engine.domain.state import Tailnet
from engine.domain.values import (
    ApiKeyId,
    AuthKeyId,
    DeviceId,
    MachineKey,
    NodeId,
    NodeKey,
    PeerId,
    ProviderId,
    UserId,
)

LEFT_OUT: Final = frozenset({"retired_keys", "retired_by_node"})
"""Rule 2."""
DERIVED: Final = frozenset({"pools"})
"""What the settings say."""


class ProvidedTables(msgspec.Struct, frozen=True, kw_only=True):
    """What `Provided` holds, under its names."""

    providers: dict[ProviderId, Provider]
    devices: dict[DeviceId, Device]
    next_provider: ProviderId
    next_device: DeviceId
    by_name: dict[str, ProviderId]
    by_pair: dict[tuple[ProviderId, NodeId], DeviceId]
    of_node: dict[NodeId, set[DeviceId]]
    of_provider: dict[ProviderId, set[DeviceId]]
    waiting: dict[ProviderId, set[DeviceId]]
    relays: dict[ProviderId, set[PeerId]]
    provider_of_peer: dict[PeerId, ProviderId]
    busy: set[DeviceId]


class Tables(msgspec.Struct, frozen=True, kw_only=True):
    """What `Tailnet` holds, under its names; settings are JSON, addresses as integers are text: IPv6 has 128 bits."""

    settings: bytes
    policy: PolicyText | None
    policies: dict[str, str]
    users: dict[UserId, User]
    auth_keys: dict[AuthKeyId, AuthKey]
    api_keys: dict[ApiKeyId, ApiKey]
    nodes: dict[NodeId, Node]
    peers: dict[PeerId, Peer]
    connections: dict[tuple[NodeId, PeerId], Connection]
    next_user: UserId
    next_auth_key: AuthKeyId
    next_api_key: ApiKeyId
    next_node: NodeId
    next_peer: PeerId
    user_by_name: dict[str, UserId]
    auth_key_by_digest: dict[str, AuthKeyId]
    api_key_by_prefix: dict[str, ApiKeyId]
    node_by_key: dict[NodeKey, NodeId]
    node_by_name: dict[str, NodeId]
    nodes_by_machine: dict[MachineKey, dict[UserId, NodeId]]
    peer_by_key: dict[NodeKey, PeerId]
    peer_by_name: dict[str, PeerId]
    peers_by_endpoint: dict[str, set[PeerId]]
    peers_by_host: dict[str, set[PeerId]]
    peers_by_prefix: dict[str, set[PeerId]]
    peers_by_city: dict[str, set[tuple[str, PeerId]]]
    holders: dict[str, NodeId | PeerId]
    handed_out: dict[PoolName, str]
    peers_of_node: dict[NodeId, set[PeerId]]
    nodes_of_peer: dict[PeerId, set[NodeId]]
    masq_by_peer: dict[tuple[PeerId, str], NodeId]
    selecting: set[PeerId]
    masq_handed_out: dict[tuple[PeerId, int], str]
    provided: ProvidedTables


_WRITTEN_OTHERWISE: Final = frozenset({"settings", "holders", "handed_out", "masq_handed_out", "provided"})
_AS_THEY_ARE: Final = tuple(name for name in Tables.__struct_fields__ if name not in _WRITTEN_OTHERWISE)


def tables_of(tailnet: Tailnet) -> Tables:
    """Return the tables; they are the tailnet's own, to be written before it moves on."""
    return Tables(
        settings=msgspec.json.encode(tailnet.settings),
        holders={str(number): holder for number, holder in tailnet.holders.items()},
        handed_out={pool: str(number) for pool, number in tailnet.handed_out.items()},
        masq_handed_out={key: str(number) for key, number in tailnet.masq_handed_out.items()},
        provided=ProvidedTables(**vars(tailnet.provided)),
        **{name: getattr(tailnet, name) for name in _AS_THEY_ARE},
    )


def tailnet_of(tables: Tables) -> Tailnet:
    """Return a tailnet that has these tables for its own.

    Raises:
        ValueError: settings or addresses are not what `tables_of` writes.
    """
    tailnet = Tailnet()
    for name in _AS_THEY_ARE:
        setattr(tailnet, name, getattr(tables, name))
    tailnet.settings = msgspec.json.decode(tables.settings, type=Settings)
    tailnet.pools = pools_of(tailnet.settings)
    tailnet.holders = {int(number): holder for number, holder in tables.holders.items()}
    tailnet.handed_out = {pool: int(number) for pool, number in tables.handed_out.items()}
    tailnet.masq_handed_out = {key: int(number) for key, number in tables.masq_handed_out.items()}
    for name in ProvidedTables.__struct_fields__:
        setattr(tailnet.provided, name, getattr(tables.provided, name))
    return tailnet
