"""The poll URL: what it answers, to whom, and what it notes."""

import asyncio

import pytest

from engine.domain.events import ConnectionExported
from tests.unit.admin.stage import RELAY, Api, api, basic

EXPORT = "/wg/export/exit"


async def staged(at: Api) -> None:
    """Two nodes at one peer, a third at another."""
    for name in ("laptop", "phone", "desk"):
        await at.joins(name)
    for name, digits in (("exit", "ab"), ("other", "cd")):
        await at.does(
            "peer.register",
            {
                "name": name,
                "user": 1,
                "publicKey": f"nodekey:{digits * 32}",
                "allowedIps": RELAY["allowedIps"],
                "endpoints": [f"192.0.2.1:{ord(name[0])}"],
            },
        )
    for node, peer in ((1, "exit"), (2, "exit"), (3, "other")):
        await at.does("connection.add", {"node": node, "peer": peer, "ipv4MasqAddr": f"10.64.0.{node}"})


async def exports(at: Api) -> list[tuple[int, str]]:
    return [
        (record.event.node, record.envelope.actor)
        for record in await at.lab.records()
        if isinstance(record.event, ConnectionExported)
    ]


async def test_it_is_what_the_command_line_prints() -> None:
    async with api() as at:
        await staged(at)
        reply = await at.call("GET", EXPORT)
        assert reply.status == 200
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        assert reply.headers["cache-control"] == "no-cache"
        lines = reply.text.splitlines()
        assert [line for line in lines if line.startswith("AllowedIPs")] == [
            "AllowedIPs = 10.64.0.1/32",
            "AllowedIPs = 10.64.0.2/32",
        ]
        digest = lines[-1].removeprefix("# netmap checksum: sha256:")
        assert reply.headers["etag"] == f'W/"{digest}"'
        by_id = await at.call("GET", "/wg/export/100000001")
        assert by_id.text == reply.text


@pytest.mark.parametrize("style", ["wg-quick", "wg-set", "routeros", "opnsense", "unifi"])
async def test_every_format_has_the_same_tag(style: str) -> None:
    async with api() as at:
        await staged(at)
        reply = await at.call("GET", f"{EXPORT}?format={style}&interface=wg-far")
        assert reply.headers["etag"] == (await at.call("GET", EXPORT)).headers["etag"]
        assert ("wg-far" in reply.text) == (style in ("wg-set", "routeros"))


async def test_who_has_it_already_hears_304_until_it_changes() -> None:
    async with api() as at:
        await staged(at)
        tag = (await at.call("GET", EXPORT)).headers["etag"]
        for header in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
            reply = await at.call("GET", EXPORT, if_none_match=header)
            assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
        assert (await at.call("GET", EXPORT, if_none_match='"x"')).status == 200
        await at.does("node.rename", {"node": 1, "name": "lappy"})
        assert (await at.call("GET", EXPORT, if_none_match=tag)).status == 304
        await at.does("connection.remove", {"node": 1, "peer": "exit"})
        changed = await at.call("GET", EXPORT, if_none_match=tag)
        assert changed.status == 200
        assert "10.64.0.1" not in changed.text


async def test_a_key_for_an_export_sees_its_own_peer_alone() -> None:
    async with api() as at:
        await staged(at)
        key = await at.new_key(scope="export", peer="exit")
        assert (await at.call("GET", EXPORT, key="", authorization=basic("router", key))).status == 200
        nothing = await at.call("GET", "/wg/export/nobody", key=key)
        assert nothing.status == 404
        for path in ("/wg/export/other", "/wg/export/100000002", "/wg/export/1", f"{EXPORT}?node=nobody"):
            reply = await at.call("GET", path, key=key)
            assert (reply.status, reply.body) == (404, nothing.body), path
        assert (await at.call("POST", EXPORT, key=key)).status == 405


async def test_a_key_for_one_nodes_export_sees_that_node_alone() -> None:
    async with api() as at:
        await staged(at)
        key = await at.new_key(scope="export", peer="exit", node="phone")
        for path in (EXPORT, f"{EXPORT}?node=2", f"{EXPORT}?node=phone"):
            text = (await at.call("GET", path, key=key)).text
            assert "10.64.0.2" in text
            assert "10.64.0.1" not in text
            assert "laptop" not in text
        assert (await at.call("GET", f"{EXPORT}?node=1", key=key)).status == 404
        assert {node for node, _ in await exports(at)} == {2}


async def test_a_node_that_is_not_connected_any_more_leaves_an_empty_list() -> None:
    async with api() as at:
        await staged(at)
        await at.does("connection.remove", {"node": 2, "peer": "exit"})
        reply = await at.call("GET", f"{EXPORT}?node=phone")
        assert reply.status == 200
        assert "[Peer]\n" not in reply.text
        assert "# netmap checksum: sha256:" in reply.text


@pytest.mark.parametrize(
    "query", ["format=qr", "format=x", "interface=a%3Bb", "interface=%24x", "interface=" + "x" * 65]
)
async def test_what_cannot_be_meant_is_refused_without_repeating_it(query: str) -> None:
    async with api() as at:
        await staged(at)
        reply = await at.call("GET", f"{EXPORT}?{query}")
        assert reply.status == 400
        assert query.rpartition("=")[2] not in reply.text.replace("wg-quick", "") or query == "format=x"


async def test_a_poll_is_noted_once_with_the_key_as_actor() -> None:
    async with api() as at:
        await staged(at)
        key = await at.new_key(scope="export", peer="exit")
        actor = f"api-{key[10:22]}"
        tag = (await at.call("GET", EXPORT, key=key)).headers["etag"]
        assert await exports(at) == [(1, actor), (2, actor)]
        before = len(await at.lab.records())
        for _ in range(3):
            assert (await at.call("GET", EXPORT, key=key, if_none_match=tag)).status == 304
            assert (await at.call("GET", EXPORT, key=key)).status == 200
        assert len(await at.lab.records()) == before


async def test_a_new_key_is_told_noted_and_no_longer_stale() -> None:
    async with api() as at:
        await staged(at)
        tag = (await at.call("GET", EXPORT)).headers["etag"]
        auth_key = (await at.does("authkey.create", {"user": 1})).result["key"]
        await at.registers(1, 9, "laptop", authKey=auth_key)
        connection = at.lab.engine.tailnet.connections
        assert [held.key_stale_since > 0 for held in connection.values()] == [True, False, False]
        assert (await at.call("GET", EXPORT, if_none_match=tag)).status == 200
        assert not any(held.key_stale_since for held in connection.values())


async def test_looking_at_the_head_notes_nothing() -> None:
    async with api() as at:
        await staged(at)
        reply = await at.call("HEAD", EXPORT)
        assert (reply.status, "etag" in reply.headers) == (200, True)
        assert await exports(at) == []


async def test_a_key_for_an_export_notes_nothing_of_others() -> None:
    """The frontend asks for no such thing; the engine does not count on it."""
    async with api() as at:
        await staged(at)
        bound = await at.new_key(scope="export", peer="exit", node=1)
        prefix = bound[10:22]
        from engine.domain.commands import RecordExport
        from engine.domain.wgcommands import ToldConnection
        from frontends.admin.errors import Refused

        one, two = ToldConnection(node=1), ToldConnection(node=2)
        for command in (
            RecordExport(peer=100_000_002),
            RecordExport(peer="exit", connections=(one,)),
            RecordExport(peer=100_000_001),
            RecordExport(peer=100_000_001, connections=(one, two)),
        ):
            with pytest.raises(Refused) as refused:
                await at.asking.send(prefix, command, command_id="", reason="")
            assert refused.value.problem.code == "apikey.scope"
        await at.asking.send(
            prefix, RecordExport(peer=100_000_001, connections=(one,)), command_id="", reason=""
        )
        assert await exports(at) == [(1, f"api-{prefix}")]


async def test_many_routers_poll_at_once() -> None:
    async with api() as at:
        await staged(at)
        replies = await asyncio.gather(*(at.call("GET", EXPORT) for _ in range(20)))
        assert {reply.status for reply in replies} == {200}
