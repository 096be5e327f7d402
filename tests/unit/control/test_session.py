"""S1: after every single frame a client holds exactly what it may hold at that version, whatever came in between."""

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.contracts.netmap import (
    Change,
    ClassObject,
    ClassSetObject,
    ConnectionExtra,
    ExtrasObject,
    NetmapObject,
    NodeObject,
    RouteObject,
    Snapshot,
    SteeredRouters,
    UserObject,
    key_of,
)
from engine.contracts.soft import SoftFact
from engine.domain.events import ExtraConfig
from engine.domain.values import Millis, NodeId, PeerId, Position, UserId
from engine.policy.policy import Reach, SshUse, Target
from frontends.control.peerlist import PeerLists
from frontends.control.replica import Replica
from frontends.control.session import End, Session
from frontends.control.view import View
from frontends.wire.mapframe import Decoder, Encoder, join
from tests.kit.client_view import ClientView
from tests.unit.control import rulebook
from tests.unit.control.entitled_filters import BY_NAME, said
from tests.unit.control.entitlement import entitlement
from tests.unit.control.objects import EPOCH, TIME, a_class, a_set, delta, external, node, program, tailnet
from tests.unit.control.world import World

NUMBERS = tuple(NodeId(number) for number in (1, 2, 3, 64, 65))
NODES = st.sampled_from(NUMBERS)
NAMES = ("u1", "u2", "t:tag:a+tag:b")
CLASSES = st.sampled_from(NAMES)
SETS = st.sampled_from(["all", "s1", "s2"])
CAPVERS = (102, 104, 109, 142)
PEERS = st.sampled_from([PeerId(100_000_001), PeerId(100_000_002)])
ROUTERS = st.lists(NODES, min_size=1, max_size=3, unique=True)
OFFERS = ((), (), ("10.1.0.0/16",), ("10.0.0.0/8", "fd00:1::/64"))
EXITS = ((), (), ("0.0.0.0/0", "::/0"), ("0.0.0.0/0",))
STATES: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"parked_key": f"nodekey:{7:064x}"},
    {"expired_at": 1_700_000_400_000},
    {"drained": True},
)
CANARY = "nodekey:" + "ca" * 32


class Client:
    """A map session and what its client makes of the frames."""

    def __init__(self, number: NodeId, capver: int) -> None:
        self.session = Session(number, capver)
        self.decoder = Decoder(1 << 24)
        self.view = ClientView(capver)


class Frames(RuleBasedStateMachine):
    """Random changes; sessions that are told at random moments."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, NetmapObject] = {}
        self.generation = 0
        self.encoder = Encoder()
        self.replica = Replica()
        self.view = View(self.replica)
        self.view.journal._limit = 24
        self.lists = PeerLists(self.view, self.encoder.compress)
        self.clients: dict[tuple[int, int], Client] = {}
        self.names = list(rulebook.ENTRIES)
        """The entries of the policy, in order."""
        start: list[NetmapObject] = [
            tailnet(resolvers=("9.9.9.9",)),
            external(100_000_999, key=CANARY, name="canary"),
            external(100_000_001),
            *(UserObject(id=UserId(number), name=f"user{number}") for number in (1, 2)),
            a_set("all", *NAMES),
            a_set("s1", *NAMES[:1]),
            *rulebook.ENTRIES.values(),
            *rulebook.SHELLS.values(),
            program(*rulebook.ENTRIES),
            *(self.a_class(name, sees=("all",), rules=(rulebook.EVERYBODY,)) for name in NAMES),
            *(node(number, NAMES[number % 3]) for number in NUMBERS),
            *(
                ExtrasObject(node=n, connections=(ConnectionExtra(peer=PeerId(100_000_001)),))
                for n in NUMBERS[:2]
            ),
        ]
        changes = tuple(Change(key=key_of(value), at=Position(1), value=value) for value in start)
        self.objects |= {change.key: change.value for change in changes if change.value is not None}
        self.update(self.replica.load(Snapshot(epoch=EPOCH, position=Position(1), objects=changes)))

    def update(self, touched: frozenset[str]) -> None:
        self.lists.update(self.view.update(touched))

    def put(self, *values: NetmapObject, gone: tuple[str, ...] = ()) -> None:
        if any(isinstance(value, NodeObject) and key_of(value) not in self.objects for value in values):
            # A node's id is never used again. Here there are few, so whoever holds the old one lets go of it first:
            # a client that saw both as one would keep a home DERP that the new one does not have.
            self.tell_everybody()
        change = delta(self.replica, values, gone)
        for one in change.changes:
            if one.value is None:
                self.objects.pop(one.key, None)
            else:
                self.objects[one.key] = one.value
        self.update(self.replica.receive(change)[1])

    @staticmethod
    def a_class(name: str, **fields: Any) -> ClassObject:
        return a_class(name, local_names=rulebook.LOCAL_NAMES.get(name, ()), **fields)

    @rule(number=NODES, name=CLASSES, routes=st.sampled_from(OFFERS), exits=st.sampled_from(EXITS))
    def join(self, number: NodeId, name: str, routes: tuple[str, ...], exits: tuple[str, ...]) -> None:
        self.put(node(number, name, routes=routes, exit_routes=exits))

    @rule(number=NODES, name=CLASSES, again=st.booleans())
    def rename_or_rotate(self, *, number: NodeId, name: str, again: bool) -> None:
        key = f"nodekey:{number + (1000 if again else 0):064x}"
        self.put(node(number, name, name=f"other{number}", node_key=key))

    @rule(number=NODES, name=CLASSES, expiry=st.sampled_from([0, 1_700_000_500_000]))
    def expire(self, number: NodeId, name: str, expiry: int) -> None:
        self.put(node(number, name, expired=True, expiry=expiry))

    @rule(number=NODES)
    def delete(self, number: NodeId) -> None:
        self.put(gone=(f"node/{number}", f"extras/{number}"))

    @rule(
        name=CLASSES,
        sees=st.sets(SETS),
        reached=rulebook.reaches,
        able=rulebook.capabilities,
        ssh=rulebook.shell_uses,
    )
    def relate(
        self,
        name: str,
        sees: set[str],
        reached: dict[str, tuple[Target, ...]],
        able: tuple[str, ...],
        ssh: tuple[SshUse, ...],
    ) -> None:
        rules = rulebook.ordered(self.names, reached)
        self.put(self.a_class(name, sees=sorted(sees), rules=rules, capabilities=able, ssh=ssh))

    @rule(names=rulebook.programs)
    def write(self, names: list[str]) -> None:
        """As another policy does: other entries, in another order; what classes had of the others is gone."""
        gone = tuple(f"entry/{name}" for name in self.names if name not in names)
        self.names = names
        classes = [value for value in self.objects.values() if isinstance(value, ClassObject)]
        kept = [msgspec.structs.replace(value, rules=self.in_order(value.rules)) for value in classes]
        self.put(*(rulebook.ENTRIES[name] for name in names), program(*names), *kept, gone=gone)

    def in_order(self, rules: tuple[Reach, ...]) -> tuple[Reach, ...]:
        return tuple(reach for name in self.names for reach in rules if reach.entry == name)

    @rule(name=SETS, classes=st.sets(CLASSES), is_source=st.booleans())
    def gather(self, *, name: str, classes: set[str], is_source: bool) -> None:
        held = {value for value in classes if f"class/{value}" in self.objects}
        self.put(a_set(name, *held, is_source=is_source))

    @rule(
        prefix=st.sampled_from(rulebook.PREFIXES),
        routers=ROUTERS,
        sets=st.sets(SETS),
        steered=st.lists(st.tuples(st.sets(SETS), ROUTERS), max_size=2),
    )
    def route(
        self,
        prefix: str,
        routers: list[NodeId],
        sets: set[str],
        steered: list[tuple[set[str], list[NodeId]]],
    ) -> None:
        ways = tuple(
            SteeredRouters(tuple(sorted(names)), tuple(sorted(set(others) & set(routers))))
            for names, others in steered
            if set(others) & set(routers)
        )
        self.put(
            RouteObject(prefix=prefix, routers=tuple(sorted(routers)), sets=tuple(sorted(sets)), steered=ways)
        )

    @rule(prefix=st.sampled_from(rulebook.PREFIXES))
    def unroute(self, prefix: str) -> None:
        self.put(gone=(f"route/{prefix}",))

    @rule(name=SETS)
    def forget_set(self, name: str) -> None:
        self.put(gone=(f"set/{name}",))

    @rule(number=NODES, name=CLASSES, sets=st.sets(SETS))
    def come_with_its_class(self, number: NodeId, name: str, sets: set[str]) -> None:
        """As the first node of a class does: the node, its class and the sets in one delta."""
        self.put(node(number, name), self.a_class(name, sees=("all",)), *self.in_sets(name, sets))

    def in_sets(self, name: str, wanted: set[str]) -> list[ClassSetObject]:
        """Those sets that a class enters or leaves, as they are then."""
        held = [value for value in self.objects.values() if isinstance(value, ClassSetObject)]
        moved = [value for value in held if (name in value.classes) is not (value.id in wanted)]
        return [
            msgspec.structs.replace(value, classes=tuple(sorted({name} ^ set(value.classes))))
            for value in moved
        ]

    @rule(name=CLASSES)
    def forget_class(self, name: str) -> None:
        """As the last node of a class does when it goes; here the nodes stay, and stand alone."""
        self.put(*self.in_sets(name, set()), gone=(f"class/{name}",))

    @rule(number=st.integers(1, 2), name=st.sampled_from(["ann", "bob"]))
    def name_user(self, number: int, name: str) -> None:
        self.put(UserObject(id=UserId(number), name=name))

    @rule(
        base=st.sampled_from(["tail.example.com", "other.example.com"]),
        auto_updates=st.booleans(),
        resolvers=st.sampled_from([(), ("9.9.9.9",), ("9.9.9.9", "2620:fe::fe")]),
    )
    def set_tailnet(self, *, base: str, auto_updates: bool, resolvers: tuple[str, ...]) -> None:
        self.put(tailnet(base, auto_updates=auto_updates, resolvers=resolvers))

    @rule(
        number=PEERS,
        allowed=st.sampled_from([("10.9.0.0/16",), ("0.0.0.0/0", "::/0", "fd09::/64")]),
        ports=st.integers(1, 2),
        extra=st.builds(ExtraConfig, suggest_exit_node=st.booleans(), tags=st.sampled_from([(), ("tag:a",)])),
        state=st.sampled_from(STATES),
    )
    def put_external(
        self, *, number: int, allowed: tuple[str, ...], ports: int, extra: ExtraConfig, state: dict[str, Any]
    ) -> None:
        endpoints = tuple(f"192.0.2.{n}:51820" for n in range(ports))
        self.put(external(number, allowed_ips=allowed, endpoints=endpoints, extra=extra, **state))

    @rule(number=PEERS)
    def remove_external(self, number: int) -> None:
        self.put(gone=(f"peer/{number}",))

    @rule(
        number=NODES,
        peers=st.sets(PEERS),
        masq=st.sampled_from(["", "10.9.0.9"]),
        left=st.sampled_from([None, (), ("10.9.0.0/16", "fd09::/64")]),
        jailed=st.booleans(),
    )
    def connect(
        self, *, number: NodeId, peers: set[PeerId], masq: str, left: tuple[str, ...] | None, jailed: bool
    ) -> None:
        if not peers:
            self.put(gone=(f"extras/{number}",))
            return
        connections = tuple(
            ConnectionExtra(
                peer=n,
                ipv4_masq=masq,
                ipv6_masq="fd09::9" if masq else "",
                allowed_ips=left,
                jailed=jailed,
            )
            for n in sorted(peers)
        )
        self.put(ExtrasObject(node=number, connections=connections, demotes=bool(masq)))

    @rule(number=NODES, ports=st.integers(0, 2))
    def come_and_go(self, number: NodeId, ports: int) -> None:
        for online in (False, True, False):
            self.report(number=number, online=online, ports=ports, host=False)
            self.tell_everybody()

    @rule(number=NODES, online=st.booleans(), ports=st.integers(0, 2), host=st.booleans())
    def report(self, *, number: NodeId, online: bool, ports: int, host: bool) -> None:
        self.generation += 1
        self.update(
            self.replica.merge(
                [
                    SoftFact(
                        node=number,
                        origin="f2",
                        generation=self.generation,
                        sequence=1,
                        online=online,
                        last_seen=Millis(0 if online else 1_700_000_000_000 + self.generation),
                        disco_key=f"discokey:{number + ports:064x}",
                        endpoints=tuple(f"198.51.100.{n}:41641" for n in range(ports)),
                        home_derp=900 + ports,
                        capver=140 + ports,
                        hostinfo=msgspec.Raw(b'{"OS":"macOS"}' if host else b"{}"),
                    )
                ]
            )
        )

    @rule(at=st.integers(1_700_001_000_000, 1_700_009_000_000))
    def lapse(self, at: int) -> None:
        self.update(self.replica.lapse("f2", Millis(at)))

    @rule()
    def revive(self) -> None:
        self.update(self.replica.revive("f2"))

    @rule(number=NODES, capver=st.sampled_from(CAPVERS))
    def tell(self, number: NodeId, capver: int) -> None:
        client = self.clients.get((number, capver))
        if client is None:
            self.open(number, capver)
            return
        text = client.session.next(self.view, TIME)
        if isinstance(text, End):
            del self.clients[number, capver]
        elif text is not None:
            self.check(client, text)
        else:
            self.compare(client)

    @initialize()
    def begin(self) -> None:
        self.tell_everybody()

    @rule()
    def tell_everybody(self) -> None:
        for number in NUMBERS:
            for capver in CAPVERS:
                self.tell(number, capver)

    def open(self, number: NodeId, capver: int) -> None:
        client = Client(number, capver)
        whole = client.session.first(self.view, self.lists, TIME)
        if whole is End.GONE:
            assert self.entitled(client) is None
            return
        assert not isinstance(whole, End)
        tail = (self.encoder.compress(whole.tail),) if whole.tail else ()
        frame = join(self.encoder.compress(whole.head), *whole.peers, *tail)
        (text,) = client.decoder.receive(frame)
        self.clients[number, capver] = client
        self.check(client, text)

    def check(self, client: Client, text: bytes) -> None:
        assert CANARY.encode() not in text
        before = set(client.view.peers)
        frame = client.view.apply(text)
        assert before.issuperset(frame.get("PeersRemoved", ()))
        assert "ControlTime" in frame
        assert frame.get("Peers", [None])
        self.compare(client)
        now = self.entitled(client)
        assert now is not None
        for profile in frame.get("UserProfiles", []):
            assert now.profiles[profile["ID"]] == profile

    def entitled(self, client: Client) -> Any:
        facts: dict[int, SoftFact] = {n: fact for n in NUMBERS if (fact := self.replica.fact(n)) is not None}
        return entitlement(World(self.objects, facts), client.session.node, client.session.capver)

    def compare(self, client: Client) -> None:
        now, view = self.entitled(client), client.view
        assert now is not None
        assert view.peers == now.peers
        assert view.node == now.node
        if client.session.capver >= BY_NAME:
            assert said(view.rules) == said(now.rules)
        else:
            assert view.rules == now.rules
        assert view.ssh == now.ssh
        assert (view.dns, view.derp, view.domain) == (now.dns, now.derp, now.domain)
        held = {n: view.profiles.get(n) for n in now.profiles}
        assert held == now.profiles
        assert not view.strangers

    @invariant()
    def views_are_small(self) -> None:
        assert len(self.view.journal._batches) <= 25


Frames.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestEveryFrameIsTheExactEntitlement = Frames.TestCase
