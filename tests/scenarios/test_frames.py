"""Scenarios of §8.2 about what is on the wire: which frames clients get of a change, what is in them, and who gets none."""

import ipaddress
import json
from typing import Any

import pytest

from tests.kit.scenario import peer_key
from tests.scenarios.stage import EXIT, NEWEST, Client, Site, running

PARTS = (
    "Peers",
    "PeersChanged",
    "PeersChangedPatch",
    "PeersRemoved",
    "Node",
    "PacketFilters",
    "UserProfiles",
)


async def scene(site: Site, count: int = 1, **more: Any) -> tuple[int, Client, list[int]]:
    """A node with so many WireGuard-only peers, its client, and their ids."""
    node = await site.node("one")
    client = site.client(node)
    relays = [await site.relay(f"exit{number}", **more) for number in range(count)]
    for number, relay in enumerate(relays):
        await site.connect(node, relay, f"10.64.{number}.2")
    client.forget()
    return node, client, relays


def told(client: Client) -> list[dict[str, Any]]:
    """What each frame since `forget` says of peers and rules, in its own words."""
    return [{name: frame[name] for name in PARTS if name in frame} for frame in client.frames]


def ids(frame: dict[str, Any], part: str) -> list[int]:
    name = "NodeID" if part == "PeersChangedPatch" else "ID"
    return [entry[name] for entry in frame.get(part, ())]


async def test_n8_a_new_policy_takes_no_peer_from_a_node_that_has_only_that() -> None:
    async with running() as site:
        await site.command("policy.set", text='{"acls":[]}')
        _, client, [relay] = await scene(site)
        assert set(client.view.peers) == {relay}
        rules = {"action": "accept", "src": ["*"], "dst": ["*:22"]}
        for text in (json.dumps({"acls": [rules]}), '{"acls":[]}', ""):
            await site.command("policy.set", text=text)
            assert set(client.view.peers) == {relay}
        assert not [frame for frame in client.frames if "Peers" in frame or "PeersRemoved" in frame]
        assert not [frame for frame in client.frames if relay in ids(frame, "PeersChanged")]


async def test_n9_a_frame_names_the_peer_that_changed_and_no_other() -> None:
    async with running() as site:
        node, client, relays = await scene(site, 3)
        await site.command("peer.update", peer=relays[1], endpoints=["192.0.2.1:1"])
        late = await site.relay("late")
        await site.connect(node, late, "10.64.9.2")
        await site.disconnect(node, relays[0])
        other = await site.node("two")
        assert [
            {part: ids(frame, part) if part != "PeersRemoved" else frame[part] for part in frame}
            for frame in [
                {k: v for k, v in frame.items() if k.startswith("Peers")} for frame in client.frames
            ]
        ] == [
            {"PeersChangedPatch": [relays[1]]},
            {"PeersChanged": [late]},
            {"PeersRemoved": [relays[0]]},
            {"PeersChanged": [other]},
        ]


async def test_n13_key_and_endpoints_travel_as_a_patch() -> None:
    async with running() as site:
        _, client, [relay] = await scene(site)
        key = peer_key("another")
        await site.command("peer.update", peer=relay, endpoints=["192.0.2.1:1"])
        await site.command("peer.update", peer=relay, publicKey=key)
        assert told(client) == [
            {"PeersChangedPatch": [{"NodeID": relay, "Endpoints": ["192.0.2.1:1"]}]},
            {"PeersChangedPatch": [{"NodeID": relay, "Key": key}]},
        ]
        assert (client.relays[relay]["Key"], client.relays[relay]["Endpoints"]) == (key, ["192.0.2.1:1"])


@pytest.mark.parametrize(
    ("command", "body", "field", "value"),
    [
        ("peer.update", {"allowedIps": ["10.9.0.0/16"]}, "PrimaryRoutes", ["10.9.0.0/16"]),
        ("connection.update", {"ipv4MasqAddr": "10.64.0.9"}, "SelfNodeV4MasqAddrForThisPeer", "10.64.0.9"),
        ("connection.update", {"jailed": False}, "IsJailed", None),
        ("connection.update", {"allowedIps": ["10.64.0.0/25"]}, "PrimaryRoutes", ["10.64.0.0/25"]),
    ],
)
async def test_n13_what_no_patch_can_say_travels_as_the_whole_peer(
    command: str, body: dict[str, Any], field: str, value: object
) -> None:
    async with running() as site:
        node, client, [relay] = await scene(site, allowedIps=["10.64.0.0/24"])
        await site.command(command, peer=relay, **body | ({"node": node} if command[0] == "c" else {}))
        [frame] = [entry for entry in told(client) if entry.keys() - {"PacketFilters"}]
        assert frame.keys() - {"PacketFilters"} == {"PeersChanged"}
        assert ids(frame, "PeersChanged") == [relay]
        assert client.relays[relay].get(field) == value


@pytest.mark.parametrize("capver", [59, 93])
async def test_n15_a_client_that_knows_no_jail_is_told_nothing_of_a_peer(capver: int) -> None:
    async with running() as site:
        node, _, [relay] = await scene(site)
        old, new = site.client(node, capver), site.client(node, 94)
        assert (old.view.peers, set(new.view.peers)) == ({}, {relay})
        assert "wireguard" not in json.dumps(old.frames).lower()
        await site.command("peer.update", peer=relay, endpoints=["192.0.2.1:1"])
        assert len(old.frames) == 1, "a frame was sent for a peer that is not shown"


@pytest.mark.parametrize("capver", [59, 93])
async def test_n15_a_node_with_a_client_that_knows_no_jail_is_not_connected(capver: int) -> None:
    async with running() as site:
        node, relay = await site.node("old", capver=capver), await site.relay("exit")
        problem = await site.refused("connection.add", node=node, peer=relay, ipv4MasqAddr="10.64.0.2")
        assert problem.code == "connection.capver"


async def test_n15_a_client_that_translates_no_ipv6_gets_ipv4_and_both_default_routes() -> None:
    async with running() as site:
        node = await site.node("old", capver=103)
        relay = await site.relay("exit", allowedIps=[*EXIT, "10.64.0.0/24", "fc00:bbbb::/64"])
        answer = await site.connect(node, relay, "10.64.0.2", ipv6MasqAddr="fc00:dddd::2")
        assert "masq.capver" in [warning.partition(":")[0] for warning in answer.warnings]
        old, new = (site.client(node, capver).relays[relay] for capver in (103, 104))
        assert old["AllowedIPs"] == [*old["Addresses"], *EXIT, "10.64.0.0/24"]
        assert old["SelfNodeV4MasqAddrForThisPeer"] == "10.64.0.2"
        assert "SelfNodeV6MasqAddrForThisPeer" not in old
        assert new["SelfNodeV6MasqAddrForThisPeer"] == "fc00:dddd::2"
        assert new["AllowedIPs"] == [*old["AllowedIPs"], "fc00:bbbb::/64"]


async def test_n16_a_peer_belongs_on_the_wire_to_nobody_who_has_a_node() -> None:
    async with running("ann", "bob") as site:
        await site.command("policy.set", text='{"tagOwners":{"tag:db":["ann@"]}}')
        nodes = [
            await site.node("a"),
            await site.node("b", user="bob"),
            await site.node("t", tags=["tag:db"]),
        ]
        relays = [await site.relay("r1"), await site.relay("r2", user="bob")]
        for number, node in enumerate(nodes):
            for relay in relays:
                await site.connect(node, relay, f"10.64.0.{number + 2}")
        for client in map(site.client, nodes):
            people = {peer["User"] for n, peer in client.view.peers.items() if n not in relays}
            people.add(client.view.node["User"] if client.view.node else 0)
            theirs = {peer["User"] for peer in client.relays.values()}
            assert len(theirs) == 1
            assert not theirs & people
            assert client.view.profiles[theirs.pop()]["LoginName"] == "wireguard-peers"


@pytest.mark.parametrize("capver", [104, NEWEST])
async def test_n17_nothing_that_a_peer_may_have_as_its_source_is_a_source(capver: int) -> None:
    everybody = {
        "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
        "grants": [
            {"src": ["*"], "dst": ["*"], "app": {"tailscale.com/cap/drive": [{}]}},
            {"src": ["100.64.0.0/10"], "dst": ["*"], "ip": ["tcp:22"]},
        ],
    }
    async with running() as site:
        await site.command("policy.set", text=json.dumps(everybody))
        node, _, [relay] = await scene(site)
        other = await site.node("two")
        client = site.client(node, capver)
        own = [ipaddress.ip_interface(text).ip for text in client.relays[relay]["Addresses"]]
        invented = [ipaddress.ip_address("100.64.99.99"), ipaddress.ip_address("100.96.7.7")]
        sources = [source for rule in client.view.rules for source in rule["SrcIPs"]]
        assert sources, "nobody at all is a source: this shows nothing"
        for source in sources:
            if not source.startswith("cap:"):
                network = ipaddress.ip_network(source)
                assert not any(address in network for address in [*own, *invented]), source
        assert not [name for name in client.relays[relay].get("CapMap", {}) if "set/" in name]
        assert other in client.view.peers


async def test_n29_a_drained_peer_is_offline_until_that_is_undone() -> None:
    async with running() as site:
        _, client, [relay] = await scene(site)
        held = []
        for command in ("peer.drain", "peer.undrain"):
            await site.command(command, peer=relay)
            held.append(client.relays[relay]["Online"])
        assert held == [False, True]
        assert told(client) == [
            {"PeersChangedPatch": [{"NodeID": relay, "Online": value}]} for value in (False, True)
        ]


async def test_n30_a_parked_peer_keeps_id_and_routes_and_comes_back_with_its_key() -> None:
    async with running() as site:
        _, client, [relay] = await scene(site)
        before = client.relays[relay]
        await site.command("peer.disable", peer=relay)
        parked = client.relays[relay]
        assert parked["Key"] != before["Key"]
        changed = {name for name in before.keys() | parked.keys() if before.get(name) != parked.get(name)}
        assert changed == {"Key", "Endpoints", "Online"}
        await site.command("peer.enable", peer=relay)
        assert client.relays[relay] == before
        assert [ids(frame, "PeersChangedPatch") for frame in client.frames] == [[relay], [relay]]
        assert not [frame for frame in client.frames if "PeersChanged" in frame or "PeersRemoved" in frame]


async def test_n33_a_connection_is_told_to_its_node_and_costs_nobody_else_an_octet() -> None:
    async with running() as site:
        nodes = [await site.node(f"n{number}") for number in range(6)]
        clients = [site.client(node) for node in nodes]
        relays = [await site.relay(f"exit{number}") for number in range(8)]
        for client in clients:
            client.forget()
        for relay in relays:
            await site.connect(nodes[2], relay, f"10.64.{relay % 250}.2")
        await site.command("connection.update", node=nodes[2], peer=relays[0], ipv4MasqAddr="10.65.0.1")
        await site.disconnect(nodes[2], relays[1])
        assert [client.octets > 0 for client in clients] == [number == 2 for number in range(6)]
        assert len(clients[2].frames) == 10
