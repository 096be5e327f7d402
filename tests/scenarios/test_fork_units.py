"""Scenarios F7 to F26: what the unit tests of the older fork ask of its store, asked here of lists and netmaps.

There the store answers directly; here it is the log, the projection's lists and what clients hold.
"""

from collections.abc import Sequence
from typing import Any

from tests.scenarios.stage import Client, Site, running

Rows = list[dict[str, Any]]


async def people(site: Site, count: int) -> tuple[list[int], list[Client]]:
    nodes = [await site.node(f"n{number}") for number in range(1, count + 1)]
    return nodes, [site.client(node) for node in nodes]


async def relays(site: Site, count: int) -> list[int]:
    return [await site.relay(f"r{number}") for number in range(1, count + 1)]


async def link(site: Site, relay: int, nodes: Sequence[int]) -> None:
    for node in nodes:
        await site.connect(node, relay, f"10.64.{relay % 250}.{node}")


async def connections(site: Site, **wanted: int) -> Rows:
    found: Rows = (await site.ask("connection.list", **wanted))["connections"]
    return found


def seen(clients: Sequence[Client]) -> list[set[int]]:
    return [set(client.relays) for client in clients]


async def test_f7_without_peers_every_list_and_netmap_is_without_them() -> None:
    async with running() as site:
        _, clients = await people(site, 1)
        assert (await site.ask("peer.list"))["peers"] == []
        assert await connections(site) == []
        assert seen(clients) == [set()]


async def test_f8_a_peer_is_found_from_both_nodes_that_are_connected() -> None:
    async with running() as site:
        nodes, clients = await people(site, 2)
        [relay] = await relays(site, 1)
        await link(site, relay, nodes)
        assert seen(clients) == [{relay}, {relay}]
        assert [[row["peer"] for row in await connections(site, node=node)] for node in nodes] == [
            [relay]
        ] * 2


async def test_f9_peers_with_overlapping_nodes_are_each_found_right() -> None:
    async with running() as site:
        nodes, clients = await people(site, 3)
        one, two, three = await relays(site, 3)
        await link(site, one, nodes[:2])
        await link(site, two, nodes[1:])
        await link(site, three, nodes)
        assert seen(clients) == [{one, three}, {one, two, three}, {two, three}]
        told = [[row["node"] for row in await connections(site, peer=relay)] for relay in (one, two, three)]
        assert told == [nodes[:2], nodes[1:], nodes]


async def test_f10_nodes_see_each_other_as_before() -> None:
    async with running() as site:
        nodes, clients = await people(site, 3)
        before = [dict(client.view.peers) for client in clients]
        [relay] = await relays(site, 1)
        await link(site, relay, nodes[:1])
        after = [{n: p for n, p in client.view.peers.items() if n != relay} for client in clients]
        assert after == before
        assert [set(held) for held in after] == [set(nodes) - {node} for node in nodes]


async def test_f11_a_peer_is_fetched_by_id_and_listed_for_its_nodes() -> None:
    async with running() as site:
        nodes, clients = await people(site, 3)
        [relay] = await relays(site, 1)
        await link(site, relay, nodes[:2])
        [row] = (await site.ask("peer.list", peer=relay))["peers"]
        assert (row["name"], row["connectedNodes"]) == ("r1", ["1(n1)", "2(n2)"])
        assert await connections(site, node=nodes[2]) == []
        assert seen(clients) == [{relay}, {relay}, set()]


async def test_f12_nodes_come_to_see_a_peer_one_after_the_other() -> None:
    async with running() as site:
        nodes, clients = await people(site, 2)
        [relay] = await relays(site, 1)
        await link(site, relay, nodes[:1])
        assert seen(clients) == [{relay}, set()]
        await link(site, relay, nodes[1:])
        assert seen(clients) == [{relay}, {relay}]


async def test_f13_what_was_disconnected_and_deleted_is_gone_everywhere() -> None:
    async with running() as site:
        nodes, clients = await people(site, 2)
        [relay] = await relays(site, 1)
        await link(site, relay, nodes)
        for node in nodes:
            await site.disconnect(node, relay)
        await site.command("peer.remove", peer=relay)
        assert (await connections(site), (await site.ask("peer.list"))["peers"]) == ([], [])
        assert seen(clients) == [set(), set()]
        await site.restart()
        assert (await site.ask("node.list"))["wireguard_only_peers"] == []


async def test_f14_peers_are_listed_by_their_owner() -> None:
    async with running("ann", "bob") as site:
        mine = [await site.relay("a1"), await site.relay("a2")]
        yours = [await site.relay("b1", user="bob")]
        wanted = {None: mine + yours, 1: mine, 2: yours, "bob": yours}
        for user, ids in wanted.items():
            found = await site.ask("peer.list", **({} if user is None else {"user": user}))
            assert [row["id"] for row in found["peers"]] == ids


async def test_f15_a_node_sees_nodes_and_peers_side_by_side() -> None:
    async with running() as site:
        nodes, clients = await people(site, 2)
        [relay] = await relays(site, 1)
        await link(site, relay, nodes)
        assert [set(client.view.peers) for client in clients] == [{nodes[1], relay}, {nodes[0], relay}]


async def test_f16_a_connection_is_read_back_with_both_addresses() -> None:
    async with running() as site:
        [node], _ = await people(site, 1)
        [relay] = await relays(site, 1)
        await site.connect(node, relay, "10.64.0.1", ipv6MasqAddr="fc00:bbbb::1")
        [row] = await connections(site, node=node, peer=relay)
        assert (row["ipv4MasqAddr"], row["ipv6MasqAddr"]) == ("10.64.0.1", "fc00:bbbb::1")


async def test_f17_a_connection_that_is_not_there_is_said_to_be_absent() -> None:
    async with running() as site:
        [node], _ = await people(site, 1)
        [relay] = await relays(site, 1)
        assert await connections(site, node=node, peer=relay) == []
        assert (await site.refused("connection.remove", node=node, peer=relay)).code == "connection.not_found"
        problem = await site.refused("connection.update", node=node, peer=relay, ipv4MasqAddr="10.64.0.1")
        assert (problem.code, problem.status) == ("connection.not_found", 404)


async def test_f18_a_connection_is_ended() -> None:
    async with running() as site:
        [node], _ = await people(site, 1)
        [relay] = await relays(site, 1)
        await link(site, relay, [node])
        await site.disconnect(node, relay)
        assert await connections(site) == []


async def test_f19_the_connections_of_a_node_are_listed() -> None:
    async with running() as site:
        nodes, _ = await people(site, 2)
        found = await relays(site, 3)
        for relay in found[:2]:
            await link(site, relay, nodes[:1])
        await link(site, found[2], nodes[1:])
        assert [row["peer"] for row in await connections(site, node=nodes[0])] == found[:2]


async def test_f20_a_node_without_connections_has_an_empty_list() -> None:
    async with running() as site:
        nodes, _ = await people(site, 2)
        [relay] = await relays(site, 1)
        await link(site, relay, nodes[:1])
        assert await connections(site, node=nodes[1]) == []


async def test_f21_all_connections_are_listed() -> None:
    async with running() as site:
        nodes, _ = await people(site, 2)
        found = await relays(site, 2)
        for relay in found:
            await link(site, relay, nodes)
        pairs = [(row["node"], row["peer"]) for row in await connections(site)]
        assert pairs == [(node, relay) for node in nodes for relay in found]


async def test_f22_other_masquerade_addresses_take_the_place_of_the_first() -> None:
    async with running() as site:
        [node], [client] = await people(site, 1)
        [relay] = await relays(site, 1)
        await site.connect(node, relay, "10.64.0.1", ipv6MasqAddr="fc00:bbbb::1")
        await site.command("connection.update", node=node, peer=relay, ipv4MasqAddr="10.64.0.9")
        [row] = await connections(site)
        assert (row["ipv4MasqAddr"], row["ipv6MasqAddr"]) == ("10.64.0.9", "")
        held = client.relays[relay]
        assert (held["SelfNodeV4MasqAddrForThisPeer"], held.get("SelfNodeV6MasqAddrForThisPeer")) == (
            "10.64.0.9",
            None,
        )


async def test_f23_who_sees_whom_follows_the_connections_and_nothing_else() -> None:
    async with running("ann", "bob") as site:
        nodes = [await site.node(f"n{n}", user=("ann", "bob")[n % 2]) for n in range(1, 5)]
        clients = [site.client(node) for node in nodes]
        found = [await site.relay(f"r{n}", user=("ann", "bob")[n % 2]) for n in range(1, 5)]
        matrix = {(node, relay) for node in nodes for relay in found if (node * relay) % 3 == 1}
        assert matrix
        for node, relay in sorted(matrix):
            await link(site, relay, [node])
        held = {(node, relay) for node, ids in zip(nodes, seen(clients), strict=True) for relay in ids}
        assert held == matrix


async def test_f24_with_its_connection_a_node_loses_sight_of_the_peer() -> None:
    async with running() as site:
        nodes, clients = await people(site, 2)
        [relay] = await relays(site, 1)
        await link(site, relay, nodes)
        await site.disconnect(nodes[0], relay)
        assert seen(clients) == [set(), {relay}]


async def test_f25_the_document_of_all_nodes_has_peers_connections_and_their_number() -> None:
    async with running() as site:
        nodes, _ = await people(site, 2)
        found = await relays(site, 2)
        await link(site, found[0], nodes)
        document = await site.ask("node.list")
        assert [peer["id"] for peer in document["wireguard_only_peers"]] == found
        pairs = [(pair["node_id"], pair["wg_peer_id"]) for pair in document["wireguard_connections"]]
        assert pairs == [(node, found[0]) for node in nodes]
        [user] = (await site.ask("user.list"))["users"]
        assert (user["nodes"], user["wireguardOnlyPeers"]) == (2, 2)


async def test_f26_the_document_of_an_empty_tailnet_has_no_connections() -> None:
    async with running() as site:
        document = await site.ask("node.list")
        assert (document["nodes"], document["wireguard_connections"]) == ([], [])
