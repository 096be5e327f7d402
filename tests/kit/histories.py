"""Histories of a tailnet for tests: valid by construction, from small numbers that Hypothesis can shrink.

1. A history is a list of `Step`s; a step that makes no sense where it stands does nothing.
2. The same steps give the same records, for ever: positions with holes, times that never go back, chained digests.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
from hypothesis import strategies as st

from engine.domain.events import (
    ApiKeyCreated,
    ApiKeyDeleted,
    ApiKeyExpired,
    AuthKeyCreated,
    AuthKeyExpired,
    AuthKeyUsed,
    AutoUpdatesSet,
    BaseDomainSet,
    CommandHandled,
    ConnectionAdded,
    ConnectionExported,
    ConnectionRemoved,
    ConnectionStale,
    ConnectionUpdated,
    DerpMapSet,
    DomainsSet,
    Event,
    ExtraConfig,
    HostAnswer,
    LogStarted,
    NodeDeleted,
    NodeExpired,
    NodeExpirySet,
    NodeRegistered,
    NodeRenamed,
    NodeReregistered,
    NodeRoutesAdvertised,
    NodeRoutesApproved,
    NodeTagged,
    PeerBackendRemoved,
    PeerBackendSet,
    PeerDisabled,
    PeerDrained,
    PeerEnabled,
    PeerEndpointsResolved,
    PeerExpired,
    PeerMoved,
    PeerPoolSet,
    PeerRegistered,
    PeerRemoved,
    PeerRenamed,
    PeerSwitched,
    PeerTagged,
    PeerUndrained,
    PeerUpdated,
    PolicySet,
    PoolsSet,
    ResolversSet,
    SelectorAdded,
    SelectorRemoved,
    UserCreated,
    UserDeleted,
    UserRoleSet,
    WireGuardDnsSet,
    WireGuardModeSet,
    stream_of,
)
from engine.domain.providerevents import (
    DeviceAdmitted,
    DeviceEvent,
    DeviceFailed,
    DeviceForgotten,
    DeviceLeft,
    DeviceRegistered,
    DeviceRekeyed,
    DeviceRetried,
    DeviceRevoked,
    DeviceWanted,
    PeerProviderSet,
    ProviderAdded,
    ProviderRemoved,
    ProviderUpdated,
)
from engine.domain.values import (
    FIRST_PEER_ID,
    ApiKeyId,
    AuthKeyId,
    CommandId,
    DeviceId,
    Epoch,
    MachineKey,
    Millis,
    NodeId,
    NodeKey,
    PeerId,
    Position,
    ProviderId,
    StableId,
    UserId,
)
from engine.ports import Envelope, Recorded

Step = tuple[str, int, int]
START: Final = 1_700_000_000_000
TAGS: Final = ((), (), (), ("tag:a",), ("tag:b", "tag:a"), ("tag:a", "tag:b"), ("tag:b",))

ROLES: Final = ("admin", "member", "auditor", "it-admin")
ROUTES: Final = (
    (),
    ("10.0.0.0/8",),
    ("0.0.0.0/0", "::/0"),
    ("10.1.0.0/16", "192.168.1.0/24"),
    ("0.0.0.0/0", "10.0.0.0/8", "::/0"),
    ("192.168.1.0/24", "fd00:1::/64"),
)
POLICIES: Final = (
    "",
    '{"acls":[{"action":"accept","src":["*"],"dst":["*:*"]}]}',
    '{"grants":[{"src":["*"],"dst":["*"],"ip":["*"]}]} // the same by a grant',
    "{} // the same by saying nothing",
)
"""Under each of them everybody sees everybody and may send to every port, as without a policy."""


def key(kind: str, *parts: object) -> str:
    return f"{kind}:{hashlib.sha256(repr(parts).encode()).hexdigest()}"


class Teller:
    """Turns steps into events; knows only what it needs to keep them valid."""

    def __init__(self) -> None:
        self.events: list[Event] = [LogStarted(epoch=Epoch("epoch-0"))]
        self.users: list[UserId] = []
        self.keys: list[AuthKeyId] = []
        self.api_keys: list[ApiKeyId] = []
        self.nodes: list[NodeId] = []
        self.peers: list[PeerId] = []
        self.connections: list[tuple[NodeId, PeerId]] = []
        self.user_count = 0
        self.owners: dict[int, UserId] = {}
        """The user of each node and WireGuard-only peer; their numbers differ."""
        self.providers: list[ProviderId] = []
        self.devices: list[tuple[DeviceId, ProviderId, NodeId]] = []
        self.provider_count = 0
        self.device_count = 0
        self.node_count = 0
        self.peer_count = 0
        self.step = 0

    def tell(self, step: Step) -> None:
        name, a, b = step
        self.step += 1
        TELLERS[name](self, a, b)

    def user(self, _a: int, b: int) -> None:
        self.user_count += 1
        number = UserId(self.user_count)
        self.users.append(number)
        self.events.append(UserCreated(user=number, name=f"user{number}", display_name="D" * (b % 3)))

    def auth_key(self, a: int, b: int) -> None:
        if not self.users:
            return
        number = AuthKeyId(len(self.keys) + 1)
        self.keys.append(number)
        self.events.append(
            AuthKeyCreated(
                key=number,
                user=self.users[a % len(self.users)],
                prefix=f"p{number}",
                digest=key("sha", number),
                tags=TAGS[b % len(TAGS)],
            )
        )

    def auth_key_end(self, a: int, b: int) -> None:
        if self.keys and b % 2:
            self.events.append(AuthKeyExpired(key=self.keys[a % len(self.keys)]))
        elif self.keys and self.nodes:
            node = self.nodes[b % len(self.nodes)]
            self.events.append(AuthKeyUsed(key=self.keys[a % len(self.keys)], node=node))

    def api_key(self, a: int, b: int) -> None:
        if self.api_keys and b % 4 == 2:
            self.events.append(ApiKeyExpired(key=self.api_keys[a % len(self.api_keys)]))
        elif self.api_keys and b % 4 == 3:
            self.events.append(ApiKeyDeleted(key=self.api_keys.pop(a % len(self.api_keys))))
        else:
            number = ApiKeyId(1_000 + self.step)
            self.api_keys.append(number)
            peer = self.peers[a % len(self.peers)] if self.peers and b % 2 else None
            self.events.append(
                ApiKeyCreated(
                    key=number,
                    prefix=key("prefix", number)[7:19],
                    digest=key("sha", number)[4:],
                    scope="admin" if peer is None else "export",
                    peer=peer,
                    expiry=Millis(b),
                )
            )

    def node(self, a: int, b: int) -> None:
        if not self.users:
            return
        self.node_count += 1
        number = NodeId(self.node_count)
        self.nodes.append(number)
        self.owners[number] = self.users[a % len(self.users)]
        self.events.append(
            NodeRegistered(
                node=number,
                stable_id=StableId(f"n{number}"),
                machine_key=MachineKey(key("mkey", number)),
                node_key=NodeKey(key("nodekey", number, 0)),
                user=self.owners[number],
                name=f"node{number}",
                hostname=f"host{a % 5}",
                ipv4=f"100.64.{number // 250}.{number % 250 + 1}",
                ipv6=f"fd7a:115c:a1e0:1::{number:x}",
                tags=TAGS[b % len(TAGS)],
                ephemeral=b % 5 == 0,
                os="linux",
                capver=113,
                os_version="6.1.0",
                client_version="1.92.5-tdeadbeef",
            )
        )

    def again(self, a: int, b: int) -> None:
        if not self.nodes:
            return
        number = self.nodes[a % len(self.nodes)]
        fresh = NodeKey(key("nodekey", number, self.step if b % 2 else 0))
        self.events.append(
            NodeReregistered(
                node=number,
                node_key=fresh,
                tags=TAGS[b % len(TAGS)],
                expiry=Millis(b),
                os="linux",
                capver=113,
            )
        )

    def expire(self, a: int, b: int) -> None:
        if self.nodes:
            number = self.nodes[a % len(self.nodes)]
            self.events.append(NodeExpired(node=number, at=Millis(START + b), why="operator"))

    def expiry(self, a: int, b: int) -> None:
        if self.nodes:
            self.events.append(NodeExpirySet(node=self.nodes[a % len(self.nodes)], expiry=Millis(b)))

    def rename(self, a: int, b: int) -> None:
        if self.nodes:
            number = self.nodes[a % len(self.nodes)]
            self.events.append(NodeRenamed(node=number, name=f"node{number}x{b % 3}"))

    def tag(self, a: int, b: int) -> None:
        tags = TAGS[b % len(TAGS)]
        if self.nodes and tags:
            self.events.append(NodeTagged(node=self.nodes[a % len(self.nodes)], tags=tags))

    def advertise(self, a: int, b: int) -> None:
        if self.nodes:
            number = self.nodes[a % len(self.nodes)]
            self.events.append(NodeRoutesAdvertised(node=number, routes=ROUTES[b % len(ROUTES)]))

    def approve(self, a: int, b: int) -> None:
        if self.nodes:
            number = self.nodes[a % len(self.nodes)]
            self.events.append(NodeRoutesApproved(node=number, routes=ROUTES[b % len(ROUTES)]))

    def role(self, a: int, b: int) -> None:
        if self.users:
            self.events.append(UserRoleSet(user=self.users[a % len(self.users)], role=ROLES[b % len(ROLES)]))

    def user_end(self, a: int, _b: int) -> None:
        free = [user for user in self.users if user not in self.owners.values()]
        if free:
            number = free[a % len(free)]
            self.users.remove(number)
            self.events.append(UserDeleted(user=number))

    def policy(self, a: int, _b: int) -> None:
        text = POLICIES[a % len(POLICIES)]
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.events.append(PolicySet(text=text, digest=digest))

    def delete(self, a: int, _b: int) -> None:
        if not self.nodes:
            return
        number = self.nodes.pop(a % len(self.nodes))
        for pair in [pair for pair in self.connections if pair[0] == number]:
            self.connections.remove(pair)
            self.events.append(ConnectionRemoved(node=pair[0], peer=pair[1]))
        del self.owners[number]
        self.events.append(NodeDeleted(node=number))

    def peer(self, a: int, b: int) -> None:
        if not self.users:
            return
        number = PeerId(FIRST_PEER_ID + self.peer_count)
        self.peer_count += 1
        self.peers.append(number)
        self.owners[number] = self.users[a % len(self.users)]
        self.events.append(
            PeerRegistered(
                peer=number,
                stable_id=StableId(f"w{number}"),
                name=f"relay{number}",
                user=self.owners[number],
                public_key=NodeKey(key("nodekey", "peer", number)),
                allowed_ips=("0.0.0.0/0", "::/0"),
                endpoints=(f"192.0.2.{b % 200 + 1}:51820",),
                ipv4=f"100.96.0.{self.peer_count % 250 + 1}",
                ipv6=f"fd7a:115c:a1e0:2::{self.peer_count:x}",
                extra=ExtraConfig(
                    suggest_exit_node=b % 2 == 0,
                    exit_node_dns_resolvers=("10.64.0.1",) if b % 4 else (),
                ),
            )
        )

    def peer_end(self, a: int, _b: int) -> None:
        free = [peer for peer in self.peers if all(pair[1] != peer for pair in self.connections)]
        if free:
            number = free[a % len(free)]
            self.peers.remove(number)
            del self.owners[number]
            self.events.append(PeerRemoved(peer=number))

    def peer_switch(self, a: int, b: int) -> None:
        if self.peers:
            number = self.peers[a % len(self.peers)]
            switches: tuple[Event, ...] = (
                PeerDisabled(peer=number, parked_key=NodeKey(f"nodekey:{b + 1:064x}")),
                PeerExpired(peer=number, at=Millis(b + 1)),
                PeerEnabled(peer=number),
            )
            self.events.append(switches[b % 3])

    def peer_change(self, a: int, b: int) -> None:
        if self.peers:
            number = self.peers[a % len(self.peers)]
            changes: tuple[Event, ...] = (
                PeerUpdated(
                    peer=number,
                    public_key=NodeKey(key("nodekey", "peer", number, b % 4 and self.step)),
                    allowed_ips=(("0.0.0.0/0", "::/0"), (f"10.{b}.0.0/16", "10.0.0.0/15", "0.0.0.0/0"))[
                        b % 2
                    ],
                    endpoints=(f"192.0.2.{a % 200 + 1}:51820",),
                    extra=ExtraConfig(suggest_exit_node=a % 2 == 0, tags=TAGS[b % len(TAGS)]),
                    managed_by=("", "site")[a % 2],
                ),
                PeerRenamed(peer=number, name=f"relay{number}x{b % 3}"),
                PeerTagged(peer=number, tags=TAGS[a % len(TAGS)]),
                PeerMoved(peer=number, user=self.users[b % len(self.users)]),
                PeerDrained(peer=number),
                PeerUndrained(peer=number),
                PeerPoolSet(peer=number, ipv4=f"10.64.{b}.0/24"),
                SelectorAdded(peer=number, selector="tag:a", allowed_ips=(None, ("10.0.0.0/16",))[a % 2]),
                SelectorRemoved(peer=number, selector="tag:a"),
            )
            event = changes[b % len(changes)]
            self.events.append(event)
            if isinstance(event, PeerMoved):
                self.owners[number] = event.user

    def peer_place(self, a: int, b: int) -> None:
        if self.peers:
            number = self.peers[a % len(self.peers)]
            backend, other = f"b{b % 3}", NodeKey(key("nodekey", "peer", number, "backend", b % 3))
            where = (f"192.0.2.{b + 1}:53", f"relay{b % 2}.example.org:51820")
            own = ("10.64.0.1",) if b % 3 else ()
            answer = HostAnswer(
                host=f"relay{b % 2}.example.org",
                addresses=(f"198.51.100.{b + 1}", "2001:db8::1")[: a % 3],
                changed=Millis(b),
                failing_since=Millis(b % 4 // 3),
            )
            changes: tuple[Event, ...] = (
                PeerEndpointsResolved(peer=number, hosts=(answer,)),
                PeerBackendSet(
                    peer=number, backend=backend, public_key=other, endpoints=where, resolvers=own
                ),
                PeerSwitched(peer=number, backend=backend, public_key=other, endpoints=where, resolvers=own),
                PeerBackendRemoved(peer=number, backend=backend),
            )
            self.events.append(changes[a % len(changes)])

    def connect(self, a: int, b: int) -> None:
        if not (self.nodes and self.peers):
            return
        pair = (self.nodes[a % len(self.nodes)], self.peers[b % len(self.peers)])
        masq = f"10.64.{pair[0] % 250}.{self.step % 250}"
        part = (None, None, ("10.0.0.0/16",))[(a + b) % 3]
        node, peer, jailed, from_pool = *pair, part is None or a % 2 == 0, b % 2 == 0
        if pair in self.connections:
            self.events.append(
                ConnectionUpdated(
                    node=node,
                    peer=peer,
                    ipv4_masq=masq,
                    allowed_ips=part,
                    jailed=jailed,
                    from_pool=from_pool,
                    selector=("", "tag:a")[b % 2],
                )
            )
        else:
            self.connections.append(pair)
            self.events.append(
                ConnectionAdded(
                    node=node,
                    peer=peer,
                    ipv4_masq=masq,
                    allowed_ips=part,
                    jailed=jailed,
                    from_pool=from_pool,
                    selector=("", "tag:a")[b % 2],
                )
            )

    def disconnect(self, a: int, _b: int) -> None:
        if self.connections:
            node, peer = self.connections.pop(a % len(self.connections))
            self.events.append(ConnectionRemoved(node=node, peer=peer))

    def export(self, a: int, b: int) -> None:
        if not self.connections:
            return
        node, peer = self.connections[a % len(self.connections)]
        keys = (NodeKey(key("nodekey", node, 0)), NodeKey(key("nodekey", node, self.step)))
        self.events.append(
            ConnectionExported(
                node=node,
                peer=peer,
                node_key=keys[b % 2],
                ipv4_masq=f"10.64.0.{b}",
                is_key_current=b % 3 > 0,
                style=("", "wg-quick")[b % 2],
                checksum="sha256:ab",
            )
            if b % 4
            else ConnectionStale(node=node, peer=peer, former_key=keys[0], node_key=keys[1])
        )

    def provider(self, a: int, b: int) -> None:
        """Add a provider, change it, or end it with all that hangs on it; make a peer its relay."""
        if not self.providers:
            self.provider_count += 1
            number = ProviderId(self.provider_count)
            self.providers.append(number)
            self.events.append(
                ProviderAdded(
                    provider=number,
                    name=f"provider{number}",
                    kind="mullvad",
                    base_url="https://api.example",
                    quota=a + 1,
                    account="sealed:v1:AAAA",
                )
            )
            return
        number = self.providers[0]
        if b % 4 == 0:
            self.events.append(
                ProviderUpdated(
                    provider=number,
                    name=f"provider{number}x{a}",
                    base_url="https://api.example",
                    quota=a + 2,
                    account="sealed:v1:BBBB",
                )
            )
        elif b % 4 == 1 and a % 4 == 0:
            for device in [device for device in self.devices if device[1] == number]:
                self.devices.remove(device)
                self.events.append(DeviceForgotten(device=device[0], node=device[2]))
            self.providers.remove(number)
            self.events.append(ProviderRemoved(provider=number))
        elif self.peers:
            peer = self.peers[a % len(self.peers)]
            self.events.append(PeerProviderSet(peer=peer, provider=number if b % 2 else None))

    def device(self, a: int, b: int) -> None:
        """Want a device for a node, or let something happen to one."""
        free = [node for node in self.nodes if all(device[2] != node for device in self.devices)]
        if self.providers and free and b % 3 == 0:
            self.device_count += 1
            number, node = DeviceId(self.device_count), free[a % len(free)]
            self.devices.append((number, self.providers[0], node))
            key_ = NodeKey(key("nodekey", node, 0))
            self.events += [
                DeviceWanted(device=number, provider=self.providers[0], node=node, node_key=key_),
                DeviceAdmitted(device=number, node=node),
            ]
            return
        if not self.devices:
            return
        number, _, node = self.devices[a % len(self.devices)]
        masq, fresh = f"10.80.{a}.{b}", NodeKey(key("nodekey", node, self.step))
        happenings: tuple[DeviceEvent, ...] = (
            DeviceRegistered(
                device=number, node=node, node_key=NodeKey(key("nodekey", node, 0)), reference="r", ipv4=masq
            ),
            DeviceRekeyed(device=number, node=node, node_key=fresh),
            DeviceFailed(device=number, node=node, code="provider.timeout", next_try=Millis(START + b)),
            DeviceRetried(device=number, node=node),
            DeviceRevoked(device=number, node=node, node_key=NodeKey(key("nodekey", node, b))),
            DeviceLeft(device=number, node=node),
        )
        self.events.append(happenings[b % len(happenings)])

    def settings(self, a: int, b: int) -> None:
        if b % 5 == 3:
            self.events.append(DomainsSet(domains=(f"net{a % 3}.example",)))
        elif b % 5 == 4:
            self.events.append(
                WireGuardModeSet(mode=("bypass", "enforce")[a % 2])
                if a % 3
                else AutoUpdatesSet(on=bool(a % 2))
            )
        elif b % 7 == 6:
            self.events.append(
                ResolversSet(resolvers=((), ("9.9.9.9",), ("9.9.9.9", "2620:fe::fe"))[a % 3])
                if a % 2
                else WireGuardDnsSet(mode=("keep", "demote")[a // 2 % 2])
            )
        elif b % 3 == 0:
            self.events.append(BaseDomainSet(domain=f"net{a % 3}.internal"))
        elif b % 3 == 1:
            derp_map = msgspec.Raw(b'{"Regions":{"%d":null}}' % (a % 4))
            self.events.append(DerpMapSet(derp_map=derp_map))
        else:
            pools = PoolsSet(
                nodes_v4="100.64.0.0/11",
                nodes_v6="fd7a:115c:a1e0:1::/64",
                peers_v4="100.96.0.0/14",
                peers_v6="fd7a:115c:a1e0:2::/64",
            )
            self.events.append(pools)

    def receipt(self, a: int, _b: int) -> None:
        self.events.append(
            CommandHandled(name="node.rename", digest=key("sha", a), result=msgspec.Raw(b"{}"))
        )

    def restore(self, _a: int, _b: int) -> None:
        self.events.append(LogStarted(epoch=Epoch(f"epoch-{self.step}")))


TELLERS: Final[dict[str, Callable[[Teller, int, int], None]]] = {
    "user": Teller.user,
    "auth_key": Teller.auth_key,
    "auth_key_end": Teller.auth_key_end,
    "api_key": Teller.api_key,
    "node": Teller.node,
    "again": Teller.again,
    "expire": Teller.expire,
    "expiry": Teller.expiry,
    "rename": Teller.rename,
    "tag": Teller.tag,
    "advertise": Teller.advertise,
    "approve": Teller.approve,
    "role": Teller.role,
    "user_end": Teller.user_end,
    "policy": Teller.policy,
    "delete": Teller.delete,
    "peer": Teller.peer,
    "peer_end": Teller.peer_end,
    "peer_switch": Teller.peer_switch,
    "peer_change": Teller.peer_change,
    "peer_place": Teller.peer_place,
    "connect": Teller.connect,
    "disconnect": Teller.disconnect,
    "export": Teller.export,
    "provider": Teller.provider,
    "device": Teller.device,
    "settings": Teller.settings,
    "receipt": Teller.receipt,
    "restore": Teller.restore,
}

_OFTEN: Final = ("node", "node", "node", "connect", "connect", "peer", "user", "again")
_NAMES: Final = (*TELLERS, *_OFTEN)
_NO_RESTORE: Final = tuple(name for name in _NAMES if name != "restore")


def steps(*, longest: int = 40, restores: bool = True) -> st.SearchStrategy[list[Step]]:
    """Any course of events, from one user, one node and one WireGuard-only peer on."""
    names = st.sampled_from(_NAMES if restores else _NO_RESTORE)
    small = st.integers(0, 20)
    beginning: list[Step] = [("user", 0, 0), ("node", 0, 0), ("peer", 0, 0)]
    return st.lists(st.tuples(names, small, small), max_size=longest).map(lambda rest: beginning + rest)


def events_of(course: Iterable[Step]) -> list[Event]:
    teller = Teller()
    for step in course:
        teller.tell(step)
    return teller.events


def records(events: Sequence[Event], *, holes: Sequence[int] = (0, 0, 2, 0, 1)) -> list[Recorded]:
    """The events as a log has them: positions with holes, a command for each, a chain of digests."""
    found: list[Recorded] = []
    position, digest = 0, ""
    versions: dict[str, int] = {}
    for number, event in enumerate(events):
        position += 1 + holes[number % len(holes)]
        command = f"command-{number}"
        stream = stream_of(event, command)
        versions[stream] = versions.get(stream, 0) + 1
        digest = hashlib.sha256(digest.encode() + msgspec.json.encode(event)).hexdigest()
        envelope = Envelope(
            stream=stream,
            version=versions[stream],
            at=Millis(START + number * 1_000),
            actor="tester",
            command_id=CommandId(command),
        )
        found.append(Recorded(position=Position(position), envelope=envelope, event=event, digest=digest))
    return found


def history(course: Iterable[Step]) -> list[Recorded]:
    """The records that a course of steps leaves."""
    return records(events_of(course))
