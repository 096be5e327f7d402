"""Scenarios F1 to F6: what the integration tests of the older fork ask of a server and its clients."""

import ipaddress
from typing import Final

from tests.scenarios.stage import EXIT, FIRST, Site, running

MASQ: Final = {"ipv4MasqAddr": "10.64.0.100", "ipv6MasqAddr": "fd7a:115c:a1e0::100"}
LOCATION: Final = {
    "country": "Sweden",
    "countryCode": "SE",
    "city": "Stockholm",
    "cityCode": "STO",
    "latitude": 59.3293,
    "longitude": 18.0686,
    "priority": 100,
}


async def nodes(site: Site, *names: str) -> list[int]:
    return [await site.node(name) for name in names]


async def test_f1_a_registered_peer_is_in_the_netmaps_of_connected_nodes_only() -> None:
    async with running() as site:
        found = await nodes(site, "one", "two", "three")
        clients = [site.client(node) for node in found]
        relay = await site.relay("exit", extraConfig={"suggestExitNode": True})
        assert relay >= FIRST
        for node, masq in zip(found[:2], ("10.64.0.1", "10.64.0.2"), strict=True):
            await site.connect(node, relay, masq)
        for client in clients[:2]:
            peer = client.relays[relay]
            assert peer["AllowedIPs"] == [*peer["Addresses"], *EXIT]
            assert "suggest-exit-node" in peer["CapMap"]
        assert clients[2].relays == {}


async def test_f2_a_deleted_peer_disappears_from_netmaps() -> None:
    async with running() as site:
        [node] = await nodes(site, "one")
        client, relay = site.client(node), await site.relay("exit")
        await site.connect(node, relay, "10.64.0.1")
        assert relay in client.relays
        await site.command("peer.remove", peer=relay, cascade=True)
        assert client.relays == {}
        assert client.frames[-1]["PeersRemoved"] == [relay]
        assert site.client(node).relays == {}


async def test_f3_a_peer_gets_one_address_of_each_family_and_clients_see_them() -> None:
    async with running() as site:
        [node] = await nodes(site, "one")
        relay = await site.relay("exit")
        await site.connect(node, relay, "10.64.0.1")
        ipv4, ipv6 = map(ipaddress.ip_interface, site.client(node).relays[relay]["Addresses"])
        assert ipv4 in ipaddress.ip_network("100.64.0.0/10")
        assert ipv6 in ipaddress.ip_network("fd7a:115c:a1e0::/48")
        [row] = (await site.ask("peer.list"))["peers"]
        assert [row["ipv4"], row["ipv6"]] == [str(ipv4.ip), str(ipv6.ip)]


async def test_f4_a_connection_without_a_masquerade_address_is_refused() -> None:
    async with running() as site:
        [node] = await nodes(site, "one")
        client, relay = site.client(node), await site.relay("exit")
        client.forget()
        problem = await site.refused("connection.add", node=node, peer=relay)
        assert (problem.code, problem.field) == ("masq.none", "ipv4MasqAddr")
        assert "--ipv4-masq-addr" in (problem.hint or "")
        assert (client.frames, client.relays) == ([], {})


async def test_f5_a_client_is_told_everything_that_was_given() -> None:
    async with running() as site:
        [node] = await nodes(site, "one")
        client = site.client(node)
        relay = await site.relay(
            "exit",
            allowedIps=["0.0.0.0/0", "::/0", "10.64.0.0/24"],
            endpoints=["203.0.113.1:51820"],
            extraConfig={
                "exitNodeDNSResolvers": ["10.64.0.1", "fc00:bbbb::1"],
                "suggestExitNode": True,
                "tags": ["tag:relay", "tag:sweden"],
                "location": LOCATION,
            },
        )
        accepted = await site.connect(node, relay, "10.64.0.100", ipv6MasqAddr="fd7a:115c:a1e0::100")
        assert [warning.partition(":")[0] for warning in accepted.warnings] == ["masq.tailnet"]
        peer = client.relays[relay]
        assert (peer["IsWireGuardOnly"], peer["IsJailed"]) == (True, True)
        assert peer["SelfNodeV4MasqAddrForThisPeer"] == "10.64.0.100"
        assert peer["SelfNodeV6MasqAddrForThisPeer"] == "fd7a:115c:a1e0::100"
        assert peer["AllowedIPs"] == [*peer["Addresses"], "0.0.0.0/0", "::/0", "10.64.0.0/24"]
        assert peer["Endpoints"] == ["203.0.113.1:51820"]
        assert peer["CapMap"] == {"suggest-exit-node": None}
        assert peer["ExitNodeDNSResolvers"] == [{"Addr": "10.64.0.1"}, {"Addr": "fc00:bbbb::1"}]
        assert peer["Tags"] == ["tag:relay", "tag:sweden"]
        said = {name.lower(): value for name, value in peer["Hostinfo"]["Location"].items()}
        assert said == {name.lower(): value for name, value in LOCATION.items()}
        assert peer["Hostinfo"]["Hostname"] == "exit"


async def test_f6a_a_peer_without_any_connection_is_registered() -> None:
    async with running() as site:
        [node] = await nodes(site, "one")
        client = site.client(node)
        client.forget()
        relay = await site.relay("exit")
        assert [row["id"] for row in (await site.ask("peer.list"))["peers"]] == [relay]
        assert client.frames == []


async def test_f6b_two_nodes_have_a_masquerade_address_each_at_one_peer() -> None:
    async with running() as site:
        found = await nodes(site, "one", "two")
        relay = await site.relay("exit")
        for node, masq in zip(found, ("10.64.0.1", "10.64.0.2"), strict=True):
            await site.connect(node, relay, masq)
        seen = [site.client(node).relays[relay]["SelfNodeV4MasqAddrForThisPeer"] for node in found]
        assert seen == ["10.64.0.1", "10.64.0.2"]


async def test_f6c_to_f6g_a_peer_goes_when_its_last_connection_has_gone() -> None:
    async with running() as site:
        found = await nodes(site, "one", "two")
        one, two = map(site.client, found)
        relay = await site.relay("exit")
        for node, masq in zip(found, ("10.64.0.1", "10.64.0.2"), strict=True):
            await site.connect(node, relay, masq)
        refused = await site.refused("peer.remove", peer=relay)
        assert (refused.code, refused.status) == ("peer.connected", 409)
        await site.disconnect(found[1], relay)
        assert (relay in one.relays, relay in two.relays) == (True, False)
        assert (await site.refused("peer.remove", peer=relay)).code == "peer.connected"
        await site.disconnect(found[0], relay)
        assert one.relays == {}
        await site.command("peer.remove", peer=relay)
        assert (await site.ask("peer.list"))["peers"] == []
