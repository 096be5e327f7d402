"""What would follow from commands, and what became of a whole tailnet, as a projection answers."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from projections.netmap.state import snapshot_of
from tests.unit.projections.test_queries import desk


async def test_what_would_follow_is_told_and_nothing_is_done() -> None:
    async with desk() as at:
        before = snapshot_of(at.live.state)
        commands = [
            {"command": "node.rename", "body": {"node": 1, "name": "other"}},
            {"command": "node.rename", "body": {"node": 99, "name": "nobody"}},
        ]
        reply = await at.ask("netmap", "suppose", commands=commands)
        renamed, refused = reply["outcomes"]
        assert renamed["ok"]
        assert (refused["ok"], refused["problem"]["code"]) == (False, "node.not_found")
        assert {row["node"] for row in reply["changes"]} == {1, 2}
        assert (reply["nodes"], reply["unseen"]) == (2, 0)
        assert snapshot_of(at.live.state) == before
        one = await at.ask("netmap", "suppose", commands=commands, node=2)
        assert {row["node"] for row in one["changes"]} == {2}


async def test_what_would_have_followed_then_is_told_of_then() -> None:
    async with desk() as at:
        position = at.live.state.position
        await at.write(("rename", 0, 3))
        commands = [{"command": "connection.remove", "body": {"node": 1, "peer": 100_000_001}}]
        reply = await at.ask("netmap", "suppose", commands=commands, at=position)
        assert reply["position"] == position
        assert [row["change"]["what"] for row in reply["changes"]] == ["removed"]


async def test_what_cannot_be_supposed_is_an_error() -> None:
    async with desk() as at:

        def one(command: str, **body: object) -> list[dict[str, object]]:
            return [{"command": command, "body": body}]

        assert await at.refused("netmap", "suppose") == "suppose.nothing"
        assert await at.refused("netmap", "suppose", commands=one("no.such")) == "suppose.command"
        assert await at.refused("netmap", "suppose", commands=one("login.approve")) == "suppose.command"
        assert await at.refused("netmap", "suppose", commands=one("node.rename", node=1)) == "suppose.body"
        wrong = one("node.rename", node=1, name="x", more=1)
        assert await at.refused("netmap", "suppose", commands=wrong) == "suppose.body"


async def test_what_became_of_the_tailnet_is_told_by_kind() -> None:
    async with desk() as at:
        position = at.live.state.position
        assert (await at.ask("tailnet", "diff", **{"from": position}))["changes"] == []
        await at.write(("rename", 0, 3), ("node", 0, 0), ("disconnect", 0, 0))
        reply = await at.ask("tailnet", "diff", **{"from": position})
        found = [(row["what"], row["kind"], row.get("id", 0)) for row in reply["changes"]]
        assert found == [("changed", "node", 1), ("added", "node", 3), ("removed", "connection", 0)]
        assert set(reply["changes"][0]["after"]) == {"name", "fqdn"}
        back = await at.ask("tailnet", "diff", **{"from": position, "to": position})
        assert back["changes"] == []
        assert await at.refused("tailnet", "diff") == "query.from_missing"


async def test_it_is_told_of_which_position_it_was_supposed_though_the_log_goes_on() -> None:
    """The copy is made at once; what is decided on it waits here until the present has moved."""
    free, busy = threading.Event(), ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(busy)
    busy.submit(free.wait)
    async with desk() as at:
        position = at.live.state.position
        commands = [{"command": "node.rename", "body": {"node": 1, "name": "other"}}]
        asking = asyncio.create_task(at.ask("netmap", "suppose", commands=commands))
        async with asyncio.timeout(5):
            while not busy._work_queue.qsize():
                await asyncio.sleep(0)
        await at.write(("rename", 1, 3))
        free.set()
        reply = await asking
        assert at.live.state.position > position
    assert reply["position"] == position
