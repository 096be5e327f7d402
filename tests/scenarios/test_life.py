"""Scenarios of §8.2 about what is kept: ids, addresses, names, masquerade addresses, and who did what."""

import asyncio
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from engine.application.quiet import Quiet
from engine.contracts import subjects
from engine.contracts.soft import SoftFact, SoftState
from engine.domain.events import tag_of
from engine.domain.values import DEFAULT_TAILNET, Millis, NodeId
from engine.ports import Message
from tests.scenarios.stage import Site, running

POOL = {"ipv4": "10.64.0.0/24"}
SMALL = {
    "nodesV4": "100.64.0.0/29",
    "nodesV6": "fd7a:115c:a1e0:1::/64",
    "peersV4": "100.96.0.0/29",
    "peersV6": "fd7a:115c:a1e0:2::/64",
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path / 'events.db'}"


async def address(site: Site, peer: int) -> tuple[str, str]:
    [row] = (await site.ask("peer.list", peer=peer))["peers"]
    return row["ipv4"], row["ipv6"]


async def of_node(site: Site, node: int) -> tuple[str, str]:
    row = (await site.ask("node.get", node=node))["node"]
    return row["ipv4"], row["ipv6"]


async def test_n2_one_key_in_another_text_form_is_the_same_peer() -> None:
    async with running() as site:
        relay = await site.relay("exit", publicKey="xJsw8SNGxKwqPHgULHWY7Z2tPNBJPxKLbJ9FJxDfXr8=")
        digits = "c49b30f12346c4ac2a3c78142c7598ed9dad3cd0493f128b6c9f452710df5ebf"
        for text in (digits, f"nodekey:{digits}", digits.upper()):
            body = {"name": "again", "user": "ann", "publicKey": text}
            problem = await site.refused(
                "peer.register", **body, allowedIps=["10.0.0.0/24"], endpoints=["192.0.2.9:1"]
            )
            assert problem.code == "peer.key_taken", text
            assert str(relay) in problem.message


async def test_n3_ids_begin_at_the_documented_one_and_are_never_used_again() -> None:
    async with running() as site:
        found = [await site.relay("one"), await site.relay("two")]
        await site.command("peer.remove", peer=found[1])
        await site.restart()
        found.append(await site.relay("three"))
        assert found == [100_000_001, 100_000_002, 100_000_003]


async def test_n4_after_a_restart_nobody_gets_a_peers_address_in_either_family(url: str) -> None:
    async with running(url=url) as site:
        held = {a for name in ("r1", "r2") for a in await address(site, await site.relay(name))}
        held |= set(await of_node(site, await site.node("n1")))
        await site.restart()
        more = {a for name in ("r3", "r4") for a in await address(site, await site.relay(name))}
        more |= {a for name in ("n2", "n3") for a in await of_node(site, await site.node(name))}
        assert len(more) == 8
        assert not held & more


async def test_n5_an_address_that_was_given_back_rests_and_is_available_again(url: str) -> None:
    async with running(url=url) as site:
        await site.command("settings.set-pools", **SMALL)
        found = [await site.relay(f"r{n}") for n in range(4)]
        first = (await address(site, found[0]))[0]
        await site.command("peer.remove", peer=found[0])
        await site.restart()
        rest = [(await address(site, await site.relay(f"s{n}")))[0] for n in range(2)]
        assert first not in rest, "it was given away while others were free"
        assert (await address(site, await site.relay("last")))[0] == first
        problem = await site.refused(
            "peer.register",
            name="more",
            user="ann",
            publicKey="22" * 32,
            allowedIps=["10.0.0.0/24"],
            endpoints=["192.0.2.9:1"],
        )
        assert problem.code == "address.pool_exhausted"


async def test_n10_a_peer_goes_at_once_when_its_node_has_gone() -> None:
    async with running() as site:
        node, relay = await site.node("one"), await site.relay("exit")
        await site.connect(node, relay, "10.64.0.1")
        await site.command("node.remove", node=node)
        assert (await site.ask("connection.list"))["connections"] == []
        await site.command("peer.remove", peer=relay)


async def test_n12_a_renamed_peer_keeps_its_ids_and_its_place_at_clients() -> None:
    async with running() as site:
        node, relay = await site.node("one"), await site.relay("exit")
        await site.connect(node, relay, "10.64.0.1")
        client = site.client(node)
        before = client.relays[relay]
        await site.command("peer.rename", peer=relay, name="other")
        after = client.relays[relay]
        assert (before["Name"].partition(".")[0], after["Name"].partition(".")[0]) == ("exit", "other")
        fixed = ("ID", "StableID", "Key", "Addresses", "AllowedIPs", "Endpoints")
        assert [after[name] for name in fixed] == [before[name] for name in fixed]


async def test_n20_a_pool_gives_takes_back_and_says_when_it_is_empty() -> None:
    async with running() as site:
        relay = await site.relay("exit")
        await site.command("peer.set-masq-pool", peer=relay, ipv4="10.64.0.0/29")
        nodes = [await site.node(f"n{n}") for n in range(6)]
        given = [(await site.connect(node, relay)).result["ipv4MasqAddr"] for node in nodes[:5]]
        assert given == [f"10.64.0.{n}" for n in range(2, 7)]
        problem = await site.refused("connection.add", node=nodes[5], peer=relay)
        assert problem.code == "masq.pool_exhausted"
        assert "10.64.0.0/29" in problem.message
        await site.disconnect(nodes[1], relay)
        await site.restart()
        assert (await site.connect(nodes[5], relay)).result["ipv4MasqAddr"] == "10.64.0.3"


async def test_n21_whoever_comes_at_once_shares_no_masquerade_address_and_no_address(url: str) -> None:
    async with running(url=url) as site:
        relay = await site.relay("exit")
        await site.command("peer.set-masq-pool", peer=relay, ipv4=POOL["ipv4"])
        nodes = [await site.node(f"n{n}") for n in range(12)]
        made, _, _ = await asyncio.gather(
            asyncio.gather(*(site.connect(node, relay) for node in nodes)),
            asyncio.gather(*(site.relay(f"r{n}") for n in range(12))),
            asyncio.gather(*(site.node(f"m{n}") for n in range(12))),
        )
        assert len({answer.result["ipv4MasqAddr"] for answer in made}) == 12
        rows = [*(await site.ask("node.list"))["nodes"], *(await site.ask("peer.list"))["peers"]]
        for family in ("ipv4", "ipv6"):
            assert len({row[family] for row in rows}) == len(rows) == 37
        assert len({row["id"] for row in rows}) == len(rows)


async def test_n21_of_two_who_want_one_masquerade_address_at_once_one_gets_it(url: str) -> None:
    async with running(url=url) as site:
        relay, nodes = await site.relay("exit"), [await site.node(name) for name in ("one", "two")]
        answers = await asyncio.gather(
            *(site.connect(node, relay, "10.64.0.1") for node in nodes), return_exceptions=True
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["Accepted", "RefusedError"]
        assert len((await site.ask("connection.list"))["connections"]) == 1


async def test_n22_connections_by_a_selector_follow_the_tags_of_nodes() -> None:
    async with running() as site:
        owners = '{"tagOwners":{"tag:vpn":["ann@"],"tag:db":["ann@"]}}'
        await site.command("policy.set", text=owners)
        relay = await site.relay("exit")
        await site.command("peer.set-masq-pool", peer=relay, ipv4=POOL["ipv4"])
        tagged, plain = await site.node("one", tags=["tag:vpn"]), await site.node("two", tags=["tag:db"])
        clients = [site.client(tagged), site.client(plain)]
        await site.command("connection.add-selector", selector="tag:vpn", peer=relay)
        assert [set(client.relays) for client in clients] == [{relay}, set()]
        await site.command("node.tag", node=plain, tags=["tag:vpn"])
        await site.command("node.tag", node=tagged, tags=["tag:db"])
        assert [set(client.relays) for client in clients] == [set(), {relay}]
        late = await site.node("three", tags=["tag:vpn"])
        assert set(site.client(late).relays) == {relay}
        await site.command("connection.remove-selector", selector="tag:vpn", peer=relay)
        assert [set(client.relays) for client in site.clients] == [set()] * 3


async def test_n31_every_change_is_in_the_log_once_with_who_made_it_and_why() -> None:
    async with running() as site:
        node, relay = await site.node("one"), await site.relay("first")
        changes: tuple[tuple[str, dict[str, object], str], ...] = (
            (
                "connection.add",
                {"node": node, "peer": relay, "ipv4MasqAddr": "10.64.0.1"},
                "ConnectionAdded.v1",
            ),
            (
                "connection.update",
                {"node": node, "peer": relay, "ipv4MasqAddr": "10.64.0.2"},
                "ConnectionUpdated.v1",
            ),
            ("peer.update", {"peer": relay, "endpoints": ["192.0.2.1:1"]}, "PeerUpdated.v1"),
            ("peer.rename", {"peer": relay, "name": "other"}, "PeerRenamed.v1"),
            ("peer.drain", {"peer": relay}, "PeerDrained.v1"),
            ("peer.disable", {"peer": relay}, "PeerDisabled.v1"),
            ("peer.enable", {"peer": relay}, "PeerEnabled.v1"),
            ("connection.remove", {"node": node, "peer": relay}, "ConnectionRemoved.v1"),
            ("peer.remove", {"peer": relay}, "PeerRemoved.v1"),
        )
        for key, (name, body, tag) in enumerate(changes):
            for _ in range(2):  # sent twice, done once
                await site.command(name, key=f"key-{key}", actor="bob", **body)
            mine = [record for record in site.records if record.envelope.command_id == f"key-{key}"]
            counted = Counter(tag_of(record.event) for record in mine)
            assert counted == {tag: 1, "CommandHandled.v1": 1}, name
            assert {(record.envelope.actor, record.envelope.reason) for record in mine} == {("bob", "a test")}
            shown = await site.ask("event.list", types=[tag], limit=1_000)
            assert [row["actor"] for row in shown["events"] if row["commandId"] == f"key-{key}"] == ["bob"]


async def test_n32_an_ephemeral_node_that_has_gone_quiet_gives_back_what_it_had() -> None:
    async with running() as site:
        relay = await site.relay("exit")
        await site.command("peer.set-masq-pool", peer=relay, ipv4="10.64.0.0/30")
        guest = await site.node("guest", ephemeral=True)
        others = [await site.node(name) for name in ("two", "three")]
        await site.connect(guest, relay)
        assert (
            await site.refused("connection.add", node=others[1], peer=relay)
        ).code == "masq.pool_exhausted"
        client = site.client(others[0])
        quiet = Quiet(site.engine, site.clock, 60.0)
        await quiet.tick()
        for _ in range(7):
            site.clock.advance(10)
            quiet.hear(heartbeat())
            await quiet.tick()
        await site.pump()
        assert (await site.ask("connection.list"))["connections"] == []
        assert guest not in client.view.peers
        assert (await site.connect(others[1], relay)).result["ipv4MasqAddr"] == "10.64.0.2"


def heartbeat() -> Message:
    fact = SoftFact(node=NodeId(99), origin="f1", generation=1, sequence=1)
    state = SoftState(origin="f1", at=Millis(0), facts=(fact,))
    return Message(subjects.soft(DEFAULT_TAILNET, "f1", "state"), msgspec.json.encode(state))


async def test_n11_a_user_with_peers_is_deleted_only_with_all_that_belongs_to_it() -> None:
    async with running("ann", "bob") as site:
        node, relay = await site.node("one"), await site.relay("exit", user="bob")
        await site.connect(node, relay, "10.64.0.2")
        client = site.client(node)
        problem = await site.refused("user.delete", user="bob")
        assert (problem.code, problem.status) == ("user.in_use", 409)
        assert set(client.relays) == {relay}
        await site.command("user.delete", user="bob", cascade=True)
        assert client.relays == {}
        await site.restart()
        assert [held.relays for held in site.clients] == [{}]
        assert (await site.ask("peer.list"))["peers"] == []
        assert (await site.ask("connection.list"))["connections"] == []
        assert [user["name"] for user in (await site.ask("user.list"))["users"]] == ["ann"]
