"""Whatever dies, no client ever holds what it may not, and all of them soon hold what they should (S1, S1w, F2, F4).

Two frontends behind a balancer, clients on both, and somebody who changes the tailnet all the while. A frontend,
nats-server, the projection and the engine are killed in turn; every frame that any client got is judged at the end.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from engine.adapters.store.opening import open_reader
from engine.domain.events import ConnectionAdded, PolicySet
from engine.domain.values import Millis, Position
from engine.ports import Recorded
from tests.kit.cluster import Cluster
from tests.kit.control_client import server_key
from tests.kit.driver import Driver, peer_key, register_peer
from tests.kit.histories import Step, history
from tests.kit.lab.derp import derp_map
from tests.kit.operator import Operator, operator
from tests.kit.roaming import Roamer
from tests.kit.sights import Held, Sight, complaints, course, entitled

pytestmark = pytest.mark.real
CLIENTS: Final = 6
CANARY: Final = "canary"
"""A WireGuard-only peer that nobody is ever connected to."""
Short = tuple[set[tuple[int, str, str]], set[tuple[int, str, str]]]
NOTHING: Final = Held(frozenset(), frozenset())
CONVERGED_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.1


class Scene:
    """A running deployment, its clients, and who changes it; `nodes` are the clients' ids."""

    def __init__(self, cluster: Cluster, sender: Operator) -> None:
        self.cluster = cluster
        self.sender = sender
        self.clients: list[Roamer] = []
        self.driver: Driver
        self.nodes: dict[str, int] = {}

    async def build(self) -> None:
        """Make the tailnet: ann, a relay, the canary, and the clients' nodes."""
        port = next(iter(self.cluster.ports.values()))
        public = await server_key(self.cluster.address, port)
        await self.sender.command("user.create", {"name": "ann"})
        await self.sender.command("derp.set", {"derpMap": derp_map()})
        made = await self.sender.command("authkey.create", {"user": "ann", "reusable": True})
        key = str(made.result["key"])
        canary = await register_peer(self.sender, CANARY, 1)

        def roamer(name: str) -> Roamer:
            address = (self.cluster.address, self.cluster.port)
            return Roamer(name, address, public, lambda: self.driver.acknowledged)

        self.clients = [roamer(f"c{number}") for number in range(1, CLIENTS + 1)]
        names = [client.name for client in self.clients]
        self.driver = Driver(self.sender, lambda name: roamer(name).join(key), names, seed=5)
        self.driver.acknowledge(canary)
        for client in self.clients:
            client.watchwords = (
                CANARY,
                peer_key(CANARY),
                f'"{canary.result["ipv4"]}/32"',
                f'"wg{canary.id}"',
            )
            await client.join(key)
        async with asyncio.timeout(CONVERGED_SECONDS):
            while not {client.node_key for client in self.clients} <= (await self.rows()).keys():
                await asyncio.sleep(LOOK_SECONDS)  # nobody told us at which positions they joined
        rows = await self.rows()
        self.nodes = {client.node_key: rows[client.node_key]["id"] for client in self.clients}

    async def rows(self) -> dict[str, dict[str, Any]]:
        """Every node as operators see it, by node key."""
        reply = await self.sender.ask("node", "list", minPosition=self.driver.acknowledged)
        return {row["nodeKey"]: row for row in reply["nodes"]}

    async def frontends(self) -> set[str]:
        """The frontends that have clients of ours."""
        rows = await self.rows()
        return {rows[client.node_key]["frontend"] for client in self.clients}

    async def spread(self) -> None:
        """Let clients drop their connections until there are some on every frontend."""
        async with asyncio.timeout(CONVERGED_SECONDS):
            while await self.frontends() != set(self.cluster.ports):
                for client in self.clients[::2]:
                    client.hop()
                await asyncio.sleep(1)

    async def kill(self, *roles: str) -> None:
        """Kill processes and start them again, with changes before, meanwhile if there can be any, and after."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.driver.run(stop))
            await self.driver.reach(15)
            for role in roles:
                self.cluster.kill(role)
            if not {"nats", "engine"} & set(roles):
                await self.driver.reach(15)
            await asyncio.to_thread(self.cluster.start, *roles)
            await self.driver.reach(15)
            stop.set()

    async def converge(self) -> None:
        """Wait until every client holds what the log says, and sees every other client online."""
        events = [record.event for record in await self.log()]
        wanted = {key: entitled(events, node) for key, node in self.nodes.items()}
        last: list[str] = []
        try:
            async with asyncio.timeout(CONVERGED_SECONDS):
                while last := [what for client in self.clients for what in self._astray(client, wanted)]:
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not within {CONVERGED_SECONDS:g} s: {last}") from None
        for client in self.clients:
            assert await self._told_to_operators(client) == _short(wanted[client.node_key])

    def _astray(self, client: Roamer, wanted: Mapping[str, Held | None]) -> Iterator[str]:
        held, may = client.held or NOTHING, wanted[client.node_key] or NOTHING
        if held != may:
            yield f"{client.name} differs in {[*held.peers ^ may.peers, *held.wireguard ^ may.wireguard]}"
        others = set(self.nodes.values()) & {number for number, _, _ in may.peers}
        away = [number for number in others if not client.view.peers.get(number, {}).get("Online")]
        if away:
            yield f"{client.name} sees {away} offline"

    async def _told_to_operators(self, client: Roamer) -> Short:
        """What `q.netmap.get` says of the client's node."""
        node, position = self.nodes[client.node_key], self.driver.acknowledged
        netmap = await self.sender.ask("netmap", "get", node=node, minPosition=position)
        extras = netmap["wireguardOnlyPeers"]
        return (
            {(peer["id"], peer["nodeKey"], peer["name"]) for peer in netmap["peers"]},
            {(extra["id"], extra["ipv4MasqAddr"], extra["ipv6MasqAddr"]) for extra in extras},
        )

    async def log(self) -> list[Recorded]:
        """Everything in the log, by a reader that checks its chain."""
        reader = open_reader(f"sqlite://{self.cluster.directory}/events.db", tailnet="default")
        records: list[Recorded] = []
        while page := await reader.read(records[-1].position if records else Position(0)):
            records.extend(page)
        await reader.close()
        return records

    async def judge(self) -> None:
        """Hold every frame of every client against the log."""
        records = await self.log()
        for client in self.clients:
            stretches = course(records, self.nodes[client.node_key])
            assert complaints(client.sights, stretches) == [], client.name
            assert client.rejected == [], client.name
            assert client.held == stretches[-1].may, client.name

    async def control(self) -> None:
        """See that the judge would have found something: every client came back, and was told of what is hidden here."""
        records = [record for record in await self.log() if not isinstance(record.event, ConnectionAdded)]
        for client in self.clients:
            assert sum(sight.floor > 0 for sight in client.sights) > 1, f"{client.name} never came back"
            assert complaints(client.sights, course(records, self.nodes[client.node_key])), client.name
        unruled = [record for record in await self.log() if not isinstance(record.event, PolicySet)]
        for client in self.clients:
            assert complaints(client.sights, course(unruled, self.nodes[client.node_key])), client.name


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    with Cluster(folder, frontends=2, balanced=True) as cluster:
        cluster.start()
        async with operator(cluster.directory) as sender:
            made = Scene(cluster, sender)
            await made.build()
            running = [asyncio.create_task(client.run()) for client in made.clients]
            await made.spread()
            await made.converge()
            yield made
            for task in running:
                assert not task.done(), task
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def _short(held: Held | None) -> Short:
    """What operators are told of that."""
    assert held is not None
    return set(held.peers), {(extra.id, extra.ipv4_masq, extra.ipv6_masq) for extra in held.wireguard}


async def test_one_change_reaches_the_clients_of_both_frontends(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        assert await s.frontends() == {"f1", "f2"}
        await s.sender.command("node.rename", {"node": "c1", "name": "renamed"})
        async with asyncio.timeout(CONVERGED_SECONDS):
            while not all(_knows(client, "renamed") for client in s.clients[1:]):
                await asyncio.sleep(LOOK_SECONDS)
        await s.judge()


def _knows(client: Roamer, name: str) -> bool:
    return client.held is not None and any(peer[2] == name for peer in client.held.peers)


async def test_nobody_ever_holds_what_it_may_not_while_everything_dies_in_turn(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        for roles in (("f1",), ("nats",), ("projection",), ("engine",), ("nats", "f2"), ("engine", "f1")):
            await s.kill(*roles)
            await s.converge()
            await s.spread()
        await s.converge()
        await s.judge()
        await s.control()


COURSE: Final[list[Step]] = [
    ("user", 0, 0),
    ("node", 0, 0),
    ("node", 0, 0),
    ("peer", 0, 0),
    ("peer", 0, 0),  # connected to nobody
    ("connect", 0, 0),
    ("rename", 1, 0),
    ("disconnect", 0, 0),
]
LOG: Final = history(COURSE)
STRETCHES: Final = course(LOG, 1)
_, ALONE, TWO, CONNECTED, RENAMED, PARTED = (stretch.may or NOTHING for stretch in STRETCHES)
END: Final = LOG[-1].envelope.at


(EXTRA,) = CONNECTED.wireguard
CANARY_EXTRA: Final = EXTRA._replace(id=EXTRA.id + 1)


def shown(*held: Held, at: int = END, floor: int = 0) -> list[Sight]:
    return [Sight(at=Millis(at), floor=Position(floor), held=each) for each in held]


def changed(**fields: Any) -> Held:
    """What a connected client holds, but with something else about its WireGuard-only peer."""
    return CONNECTED._replace(wireguard=frozenset({EXTRA._replace(**fields)}))


def test_a_good_history_has_no_complaints() -> None:
    assert complaints(shown(ALONE, TWO, CONNECTED, RENAMED, PARTED), STRETCHES) == []
    assert complaints(shown(TWO, TWO, PARTED), STRETCHES) == []
    assert complaints(shown(CONNECTED, at=STRETCHES[3].at), STRETCHES) == []
    assert complaints(shown(RENAMED, floor=STRETCHES[4].position), STRETCHES) == []


@pytest.mark.parametrize(
    ("sights", "complaint"),
    [
        (shown(TWO._replace(wireguard=frozenset({CANARY_EXTRA}))), "holds [100000002], to which it is not"),
        (shown(CONNECTED, at=STRETCHES[3].at - 1), "holds [100000001], to which it is not entitled"),
        (shown(PARTED, RENAMED), "frame 1: holds [100000001], to which it is not entitled"),
        (shown(RENAMED, CONNECTED), "frame 1: goes back to what was before"),
        (shown(CONNECTED, TWO, PARTED), "frame 1: goes back to what was before"),
        (shown(CONNECTED, floor=STRETCHES[4].position), "goes back to what was before"),
        (shown(changed(ipv4_masq="10.0.0.9")), "never entitled to at one position"),
        (shown(changed(key="nodekey:00")), "never entitled to at one position"),
        (shown(changed(is_expired=True)), "never entitled to at one position"),
    ],
)
def test_what_a_client_may_not_hold_is_complained_about(sights: list[Sight], complaint: str) -> None:
    assert complaint in " ".join(complaints(sights, STRETCHES))


def test_what_a_frame_may_not_say_is_complained_about() -> None:
    (sight,) = shown(TWO)
    for bad, complaint in (
        (sight._replace(watchwords=(CANARY,)), "a watchword: canary"),
        (sight._replace(told=frozenset({2, CANARY_EXTRA.id})), "says something about [100000002]"),
        (sight._replace(strangers=frozenset({7})), "takes away [7]"),
    ):
        assert complaint in " ".join(complaints([bad], STRETCHES))
