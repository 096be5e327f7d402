"""The tailnet as decisions see it: tables of aggregates, and the indices that rules across them need.

Rule 1: only `Tailnet.apply` writes the tables; everybody else reads.
Rule 2: indices are derived here, from the same event, and nowhere else; an entry that is empty is not there.
Rule 3: next ids only grow, also over deletions.
"""

import ipaddress
from typing import Final, assert_never

from engine.domain.addresses import Pool, PoolName, next_free, pools_of
from engine.domain.aggregates import (
    DEFAULT_ROUTES,
    ApiKey,
    AuthKey,
    Connection,
    Node,
    Peer,
    PolicyText,
    Settings,
    User,
)
from engine.domain.events import (
    ApiKeyEvent,
    AuthKeyEvent,
    CommandHandled,
    ConnectionAdded,
    ConnectionEvent,
    ConnectionUpdated,
    Event,
    NodeEvent,
    PeerDisabled,
    PeerDrained,
    PeerEnabled,
    PeerEvent,
    PeerExpired,
    PeerMoved,
    PeerPoolSet,
    PeerUndrained,
    PolicySet,
    PoolsSet,
    SelectorAdded,
    SelectorRemoved,
    TailnetEvent,
    UserEvent,
)
from engine.domain.evolve import (
    evolve_api_key,
    evolve_auth_key,
    evolve_connection,
    evolve_node,
    evolve_peer,
    evolve_settings,
    evolve_user,
)
from engine.domain.places import hosts_of, places_of
from engine.domain.provided import Provided
from engine.domain.providerevents import DeviceEvent, PeerProviderSet, ProviderEvent
from engine.domain.tables import copied, join, leave
from engine.domain.values import (
    FIRST_PEER_ID,
    ApiKeyId,
    AuthKeyId,
    MachineKey,
    Millis,
    NodeId,
    NodeKey,
    PeerId,
    UserId,
)

__all__ = (
    "DEFAULT_ROUTES",
    "ApiKey",
    "AuthKey",
    "Connection",
    "Node",
    "Peer",
    "PolicyText",
    "Settings",
    "Tailnet",
    "User",
)

KEPT_POLICIES: Final = 100
KEPT_POLICY_CHARACTERS: Final = 16 * 1024 * 1024
"""Former policies that one may go back to: the latest distinct ones, so many and so long together at most."""

_UNLISTED: Final = (
    PeerDisabled,
    PeerExpired,
    PeerEnabled,
    PeerMoved,
    PeerDrained,
    PeerUndrained,
    PeerPoolSet,
    SelectorAdded,
    SelectorRemoved,
)
"""What happens to a WireGuard-only peer and no index knows of."""


class Tailnet:
    """Everything that decisions may ask about, in memory.

    Tables are dicts by id. Indices: nodes by key, name, machine and user; WireGuard-only peers by key (of any
    backend), name, endpoint (as given, and as clients get it), host name, prefix and city; users by name in lower case;
    pre-auth keys by digest; API keys by prefix; connections from both ends.
    `retired_keys` holds the former keys of living nodes; `holders` says who has an address (as an integer; nodes
    and WireGuard-only peers share one number space); `handed_out` is the last address that each pool gave, as
    `masq_handed_out` is for the masquerade pools, by peer and IP version. `selecting` are the peers that have selectors.
    `provided` are providers and devices. `policies` holds texts by digest, the last one set at the end: the present one and former ones.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.settings: Settings = Settings()
        self.pools: dict[PoolName, Pool] = pools_of(self.settings)
        self.policy: PolicyText | None = None
        self.policies: dict[str, str] = {}
        self.users: dict[UserId, User] = {}
        self.auth_keys: dict[AuthKeyId, AuthKey] = {}
        self.api_keys: dict[ApiKeyId, ApiKey] = {}
        self.nodes: dict[NodeId, Node] = {}
        self.peers: dict[PeerId, Peer] = {}
        self.connections: dict[tuple[NodeId, PeerId], Connection] = {}
        self.next_user = UserId(1)
        self.next_auth_key = AuthKeyId(1)
        self.next_api_key = ApiKeyId(1)
        self.next_node = NodeId(1)
        self.next_peer = FIRST_PEER_ID
        self.user_by_name: dict[str, UserId] = {}
        self.auth_key_by_digest: dict[str, AuthKeyId] = {}
        self.api_key_by_prefix: dict[str, ApiKeyId] = {}
        self.node_by_key: dict[NodeKey, NodeId] = {}
        self.node_by_name: dict[str, NodeId] = {}
        self.nodes_by_machine: dict[MachineKey, dict[UserId, NodeId]] = {}
        self.retired_keys: dict[NodeKey, NodeId] = {}
        self.retired_by_node: dict[NodeId, set[NodeKey]] = {}
        self.peer_by_key: dict[NodeKey, PeerId] = {}
        self.peer_by_name: dict[str, PeerId] = {}
        self.peers_by_endpoint: dict[str, set[PeerId]] = {}
        self.peers_by_host: dict[str, set[PeerId]] = {}
        self.peers_by_prefix: dict[str, set[PeerId]] = {}
        self.peers_by_city: dict[str, set[tuple[str, PeerId]]] = {}
        self.holders: dict[int, NodeId | PeerId] = {}
        self.handed_out: dict[PoolName, int] = {}
        self.peers_of_node: dict[NodeId, set[PeerId]] = {}
        self.nodes_of_peer: dict[PeerId, set[NodeId]] = {}
        self.masq_by_peer: dict[tuple[PeerId, str], NodeId] = {}
        self.selecting: set[PeerId] = set()
        self.masq_handed_out: dict[tuple[PeerId, int], int] = {}
        self.provided = Provided()

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same, indices included: what a replay must give."""
        return isinstance(other, Tailnet) and vars(self) == vars(other)

    def draft(self) -> "Tailnet":
        """Return another tailnet that says the same, to try something with; its cost is that of the tables."""
        other = Tailnet()
        for name, table in vars(self).items():
            setattr(other, name, copied(table))
        return other

    def apply(self, event: Event, at: Millis) -> None:  # noqa: C901 (an arm for each noun)
        """Take in an event of the log, recorded at `at`; cannot fail."""
        if isinstance(event, NodeEvent):
            self._apply_node(event, at)
        elif isinstance(event, AuthKeyEvent):
            self._apply_auth_key(event, at)
        elif isinstance(event, ApiKeyEvent):
            self._apply_api_key(event, at)
        elif isinstance(event, ConnectionEvent):
            self._apply_connection(event, at)
        elif isinstance(event, PeerEvent):
            self._apply_peer(event, at)
        elif isinstance(event, UserEvent):
            self._apply_user(event, at)
        elif isinstance(event, PolicySet):
            self._apply_policy(event, at)
        elif isinstance(event, TailnetEvent):
            self._apply_settings(event)
        elif isinstance(event, ProviderEvent | DeviceEvent | PeerProviderSet):
            self.provided.apply(event, at)
        elif not isinstance(event, CommandHandled):
            assert_never(event)

    def is_name_taken(self, name: str) -> bool:
        """Return whether a node or a WireGuard-only peer has the name."""
        return name in self.node_by_name or name in self.peer_by_name

    def addresses_for_node(self) -> tuple[str, str]:
        """Return the addresses, IPv4 and IPv6, that the next node gets.

        Raises:
            Refusal: `address.pool_exhausted`.
        """
        count = len(self.nodes)
        return self._next_address("nodes_v4", count), self._next_address("nodes_v6", count)

    def addresses_for_peer(self) -> tuple[str, str]:
        """Return the addresses, IPv4 and IPv6, that the next WireGuard-only peer gets.

        Raises:
            Refusal: `address.pool_exhausted`.
        """
        count = len(self.peers)
        return self._next_address("peers_v4", count), self._next_address("peers_v6", count)

    def _next_address(self, name: PoolName, count: int) -> str:
        number = next_free(
            self.pools[name], after=self.handed_out.get(name, 0), held=self.holders, count=count
        )
        return str(ipaddress.ip_address(number))

    def _apply_settings(self, event: TailnetEvent) -> None:
        self.settings = evolve_settings(self.settings, event)
        if isinstance(event, PoolsSet):
            self.pools = pools_of(self.settings)

    def _apply_policy(self, event: PolicySet, at: Millis) -> None:
        self.policy = PolicyText(text=event.text, digest=event.digest, at=at) if event.text else None
        if not event.text:
            return
        self.policies.pop(event.digest, None)
        self.policies[event.digest] = event.text
        total = sum(map(len, self.policies.values()))
        for digest in list(self.policies)[:-1]:
            if len(self.policies) <= KEPT_POLICIES and total <= KEPT_POLICY_CHARACTERS:
                break
            total -= len(self.policies.pop(digest))

    def _apply_user(self, event: UserEvent, at: Millis) -> None:
        before = self.users.get(event.user)
        user = evolve_user(before, event, at)
        if user is None:
            if before is not None:
                del self.users[before.id]
                del self.user_by_name[before.name.lower()]
            return
        self.users[user.id] = user
        self.user_by_name[user.name.lower()] = user.id
        self.next_user = max(self.next_user, UserId(user.id + 1))

    def _apply_auth_key(self, event: AuthKeyEvent, at: Millis) -> None:
        key = evolve_auth_key(self.auth_keys.get(event.key), event, at)
        if key is None:
            return
        self.auth_keys[key.id] = key
        self.auth_key_by_digest[key.digest] = key.id
        self.next_auth_key = max(self.next_auth_key, AuthKeyId(key.id + 1))

    def _apply_api_key(self, event: ApiKeyEvent, at: Millis) -> None:
        before = self.api_keys.pop(event.key, None)
        key = evolve_api_key(before, event, at)
        if before is not None:
            del self.api_key_by_prefix[before.prefix]
        if key is not None:
            self.api_keys[key.id] = key
            self.api_key_by_prefix[key.prefix] = key.id
            self.next_api_key = max(self.next_api_key, ApiKeyId(key.id + 1))

    def _apply_node(self, event: NodeEvent, at: Millis) -> None:
        before = self.nodes.get(event.node)
        after = evolve_node(before, event, at)
        if before is not None:
            self._unlist_node(before)
        if after is None:
            self._forget_node(event.node, before)
            return
        self.nodes[after.id] = after
        self.node_by_key[after.node_key] = after.id
        self.node_by_name[after.name] = after.id
        self.nodes_by_machine.setdefault(after.machine_key, {})[after.user] = after.id
        if before is None:
            self._hold("nodes_v4", after.ipv4, after.id)
            self._hold("nodes_v6", after.ipv6, after.id)
            self.next_node = max(self.next_node, NodeId(after.id + 1))
        elif before.node_key != after.node_key:
            self.retired_keys[before.node_key] = after.id
            join(self.retired_by_node, after.id, before.node_key)
        former = self.retired_keys.pop(after.node_key, None)
        if former is not None:
            leave(self.retired_by_node, former, after.node_key)

    def _unlist_node(self, node: Node) -> None:
        self.node_by_key.pop(node.node_key, None)
        self.node_by_name.pop(node.name, None)
        of_machine = self.nodes_by_machine.get(node.machine_key, {})
        of_machine.pop(node.user, None)
        if not of_machine:
            self.nodes_by_machine.pop(node.machine_key, None)

    def _forget_node(self, number: NodeId, node: Node | None) -> None:
        self.nodes.pop(number, None)
        for key in self.retired_by_node.pop(number, ()):
            self.retired_keys.pop(key, None)
        if node is not None:
            self._release(node.ipv4)
            self._release(node.ipv6)

    def _apply_peer(self, event: PeerEvent, at: Millis) -> None:
        before = self.peers.get(event.peer)
        after = evolve_peer(before, event, at)
        if after is not None and isinstance(event, _UNLISTED):
            self.peers[after.id] = after
            self._list_selectors(after)
            return
        if before is not None:
            self._unlist_peer(before)
        if after is None:
            self._forget_peer(event.peer, before)
            self.provided.apply(event, at)
            return
        self.peers[after.id] = after
        self._list_selectors(after)
        self._list_peer(after)
        if before is None:
            self._hold("peers_v4", after.ipv4, after.id)
            self._hold("peers_v6", after.ipv6, after.id)
            self.next_peer = max(self.next_peer, PeerId(after.id + 1))

    def _list_peer(self, peer: Peer) -> None:
        for key in peer.keys:
            self.peer_by_key[key] = peer.id
        for host in hosts_of(peer):
            join(self.peers_by_host, host, peer.id)
        self.peer_by_name[peer.name] = peer.id
        for endpoint in (*peer.endpoints, *places_of(peer)):
            join(self.peers_by_endpoint, endpoint, peer.id)
        for prefix in peer.allowed_ips:
            if prefix not in DEFAULT_ROUTES:
                join(self.peers_by_prefix, prefix, peer.id)
        if peer.extra.location is not None:
            place = peer.extra.location
            join(self.peers_by_city, place.city_code, (place.country_code, peer.id))

    def _unlist_peer(self, peer: Peer) -> None:
        for key in peer.keys:
            self.peer_by_key.pop(key, None)
        for host in hosts_of(peer):
            leave(self.peers_by_host, host, peer.id)
        self.peer_by_name.pop(peer.name, None)
        for endpoint in (*peer.endpoints, *places_of(peer)):
            leave(self.peers_by_endpoint, endpoint, peer.id)
        for prefix in peer.allowed_ips:
            leave(self.peers_by_prefix, prefix, peer.id)
        if peer.extra.location is not None:
            place = peer.extra.location
            leave(self.peers_by_city, place.city_code, (place.country_code, peer.id))

    def _list_selectors(self, peer: Peer) -> None:
        if peer.selectors:
            self.selecting.add(peer.id)
        else:
            self.selecting.discard(peer.id)

    def _forget_peer(self, number: PeerId, peer: Peer | None) -> None:
        self.peers.pop(number, None)
        self.selecting.discard(number)
        for version in (4, 6):
            self.masq_handed_out.pop((number, version), None)
        if peer is not None:
            self._release(peer.ipv4)
            self._release(peer.ipv6)

    def _apply_connection(self, event: ConnectionEvent, at: Millis) -> None:
        node, peer = pair = event.node, event.peer
        before = self.connections.get(pair)
        after = evolve_connection(before, event, at)
        if before is not None:
            self.masq_by_peer.pop((peer, before.ipv4_masq), None)
            self.masq_by_peer.pop((peer, before.ipv6_masq), None)
        if after is None:
            self.connections.pop(pair, None)
            leave(self.peers_of_node, node, peer)
            leave(self.nodes_of_peer, peer, node)
            return
        self.connections[pair] = after
        join(self.peers_of_node, node, peer)
        join(self.nodes_of_peer, peer, node)
        is_from_pool = isinstance(event, ConnectionAdded | ConnectionUpdated) and event.from_pool
        for version, address in ((4, after.ipv4_masq), (6, after.ipv6_masq)):
            if address:
                self.masq_by_peer[peer, address] = node
                if is_from_pool and peer in self.peers:
                    self.masq_handed_out[peer, version] = int(ipaddress.ip_address(address))

    def _hold(self, pool: PoolName, address: str, holder: NodeId | PeerId) -> None:
        number = int(ipaddress.ip_address(address))
        self.holders[number] = holder
        self.handed_out[pool] = number

    def _release(self, address: str) -> None:
        self.holders.pop(int(ipaddress.ip_address(address)), None)
