"""The life of a WireGuard-only peer through plain NATS requests, without the command line.

Every request is sent twice under one Nats-Msg-Id: one effect, one answer. A connected client sees the effects only.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.contracts import subjects
from engine.contracts.requests import Accepted
from engine.domain.values import CommandId
from engine.ports import Message
from frontends.wire.noise import PrivateKey
from tests.kit.client_view import ClientView
from tests.kit.cluster import Cluster
from tests.kit.control_client import MapStream, connect, new_key
from tests.kit.lab.derp import derp_map
from tests.kit.operator import Operator, T, operator, problem_in
from tests.kit.scenario import DOCUMENT_KEY

pytestmark = pytest.mark.real
Json = dict[str, Any]
PEER_ID = 100_000_001
PEER: Json = {
    "name": "mullvad-exit",
    "user": "ann",
    "publicKey": DOCUMENT_KEY,
    "allowedIps": ["0.0.0.0/0", "::/0"],
    "endpoints": ["1.2.3.4:51820"],
    "extraConfig": {"exitNodeDNSResolvers": ["10.64.0.1"]},
}
ON_THE_WIRE: Json = {
    "Name": "mullvad-exit",
    "AllowedIPs": ["0.0.0.0/0", "::/0"],
    "Endpoints": ["1.2.3.4:51820"],
    "IsWireGuardOnly": True,
    "IsJailed": True,
    "ExitNodeDNSResolvers": [{"Addr": "10.64.0.1"}],
}


class Site:
    """A running deployment, an operator on NATS, and one connected client: node 1."""

    def __init__(self, sender: Operator, stream: MapStream) -> None:
        self.sender = sender
        self.stream = stream

    async def twice(self, name: str, body: Json, other: Json, *events: str) -> Accepted:
        """Send a command twice, and `other` under its id; the log then has exactly `events` of it."""
        key = self.sender.fresh()
        first = await self.sender.answer(name, body, key)
        assert problem_in(first) is None, first.data
        accepted = msgspec.json.decode(first.data, type=Accepted)
        assert (accepted.ok, accepted.command_id) == (True, key)
        assert (await self.sender.answer(name, body, key)).data == first.data
        reused = problem_in(await self.sender.answer(name, {**body, **other}, key))
        assert reused is not None
        assert (reused.code, reused.status) == ("command.id_reused", 409)
        assert (await self.sender.answer(name, body, key)).data == first.data
        assert await self.sender.events(key, accepted.position) == [
            *(f"{event}.v1" for event in events),
            "CommandHandled.v1",
        ]
        return accepted

    async def sees(self, *masquerade: str) -> None:
        """Read the next frame that says something of WireGuard-only peers: it brings this, or takes it away."""
        before = held(self.stream.view)
        view = await self.stream.until(lambda view: held(view) != before)
        if not masquerade:
            assert held(view) == {}
            return
        (found,) = held(view).values()
        assert tuple(found.get(f"SelfNodeV{v}MasqAddrForThisPeer", "") for v in (4, 6)) == masquerade
        said = {**found, "Name": found["Name"].partition(".")[0]}
        own = set(found["Addresses"])
        said["AllowedIPs"] = [prefix for prefix in found["AllowedIPs"] if prefix not in own]
        assert {name: said[name] for name in ON_THE_WIRE} == ON_THE_WIRE
        assert view.complaints() == []


def held(view: ClientView) -> dict[int, Json]:
    return {number: peer for number, peer in view.peers.items() if number >= PEER_ID}


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    with Cluster(folder) as cluster:
        cluster.start()
        async with operator(cluster.directory) as sender:
            await sender.command("user.create", {"name": "ann"})
            await sender.command("derp.set", {"derpMap": derp_map()})
            key = (await sender.command("authkey.create", {"user": "ann"})).result["key"]
            async with connect(cluster.address, cluster.port, PrivateKey(os.urandom(32))) as client:
                node_key = new_key()
                assert (await client.register(node_key, auth_key=str(key)))["MachineAuthorized"]
                stream = await client.map_stream(node_key)
                await stream.next()
                yield Site(sender, stream)


async def test_every_step_of_a_peers_life_happens_once(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        await s.twice("user.create", {"name": "bob"}, {"name": "eve"}, "UserCreated")
        key = await s.twice("authkey.create", {"user": "bob"}, {"user": "ann"}, "AuthKeyCreated")
        assert str(key.result["key"]).startswith("nmkey-")
        peer = await s.twice("peer.register", PEER, {"name": "other"}, "PeerRegistered")
        assert peer.id == PEER_ID
        pair: Json = {"node": 1, "peer": "mullvad-exit"}
        first, second = {"ipv4MasqAddr": "10.0.0.2"}, {"ipv4MasqAddr": "10.0.0.3", "ipv6MasqAddr": "fd00::3"}
        await s.twice("connection.add", {**pair, **first}, second, "ConnectionAdded")
        await s.sees("10.0.0.2", "")
        await s.twice("connection.update", {**pair, **second}, first, "ConnectionUpdated")
        await s.sees("10.0.0.3", "fd00::3")
        await s.twice("connection.remove", pair, {"node": 2}, "ConnectionRemoved")
        await s.sees()
        gone = await s.twice("peer.remove", {"peer": PEER_ID}, {"peer": "other"}, "PeerRemoved")
        await s.twice("node.rename", {"node": 1, "name": "last"}, {"name": "other"}, "NodeRenamed")
        view = await s.stream.until(lambda view: view.node and view.node["Name"].startswith("last."))
        frames_of_effects = ["first", "added", "updated", "removed", "renamed"]
        assert (view.frames, view.strangers) == (len(frames_of_effects), [])
        netmap = await s.sender.ask("netmap", "get", node=1, minPosition=gone.position)
        assert netmap["wireguardOnlyPeers"] == []


async def test_a_refused_request_is_refused_again_and_leaves_nothing(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        body = {"node": 1, "peer": "ghost", "ipv4MasqAddr": "10.0.0.2"}
        for _ in range(2):
            problem = problem_in(await s.sender.answer("connection.add", body, "k"))
            assert problem is not None
            assert (problem.code, problem.status, problem.command_id) == ("peer.not_found", 404, "k")
        head = await s.sender.ask("head", "get")
        assert await s.sender.events("k", head["position"]) == []
        await s.sender.command("peer.register", {**PEER, "name": "ghost"})
        accepted = await s.sender.command("connection.add", body, "k")
        assert await s.sender.events("k", accepted.position) == ["ConnectionAdded.v1", "CommandHandled.v1"]


async def result_of(results: AsyncIterator[Message], key: str) -> Message:
    async with asyncio.timeout(15):
        async for message in results:
            if message.subject == subjects.durable_result(T, CommandId(key)):
                return message
    raise AssertionError(key)


async def test_durable_commands_by_their_aliases_happen_once(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        results = await s.sender.bus.subscribe(f"{subjects.ROOT}.{T}.res.*")
        pair = {"node": 1, "peer": "mullvad-exit", "ipv4MasqAddr": "10.0.0.2"}
        for alias, name, body, key in (
            ("PeerRegistered", "peer.register", PEER, "d-1"),
            ("ConnectionAdded", "connection.add", pair, "d-2"),
        ):
            assert "error" not in await s.sender.put(alias, body, key)
            assert (await s.sender.put(alias, body, key))["duplicate"]
            result = await result_of(results, key)
            accepted = msgspec.json.decode(result.data, type=Accepted)
            assert (await s.sender.answer(name, body, key)).data == result.data
            wanted = [f"{alias}.v1", "CommandHandled.v1"]
            assert await s.sender.events(key, accepted.position) == wanted
        await s.sees("10.0.0.2", "")


async def test_a_durable_command_under_a_used_id_is_a_conflict(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        results = await s.sender.bus.subscribe(f"{subjects.ROOT}.{T}.res.*")
        await s.sender.command("peer.register", PEER, "used")
        assert "error" not in await s.sender.put("PeerRegistered", {**PEER, "name": "other"}, "used")
        problem = problem_in(await result_of(results, "used"))
        assert problem is not None
        assert problem.code == "command.id_reused"
