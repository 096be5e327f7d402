"""What would undo a command that is in the log, as a projection answers."""

import pytest

from engine.domain.values import NodeId, Position
from tests.kit.histories import Step
from tests.unit.projections.test_queries import desk

COURSE: list[Step] = [("user", 0, 0), ("node", 0, 0), ("peer", 0, 0), ("connect", 0, 0), ("rename", 0, 3)]


async def test_what_was_set_is_set_back_and_what_was_made_is_ended() -> None:
    async with desk(*COURSE) as at:
        records = await at.log.reader().read(Position(0))
        by_type = {type(record.event).__name__: record.position for record in records}
        renamed = await at.ask("event", "undo", at=by_type["NodeRenamed"])
        connected = await at.ask("event", "undo", at=by_type["ConnectionAdded"])
        joined = await at.ask("event", "undo", at=by_type["NodeRegistered"])
    [back] = renamed["steps"]
    assert (back["command"], back["body"]["node"]) == ("node.rename", 1)
    assert back["body"]["name"] != at.live.state.tailnet.nodes[NodeId(1)].name
    assert (renamed["obstacles"], renamed["lasting"]) == ([], [])
    assert renamed["events"]
    assert [step["command"] for step in connected["steps"]] == ["connection.remove"]
    assert joined["steps"] == [{"command": "node.remove", "body": {"node": 1}}]


async def test_what_was_set_otherwise_since_stands_in_the_way() -> None:
    async with desk(*COURSE) as at:
        position = at.live.state.position
        await at.write(("rename", 0, 4))
        reply = await at.ask("event", "undo", at=position)
    assert reply["obstacles"] == ["name of node 1 has been set otherwise since"]
    assert reply["steps"]


async def test_what_cannot_come_back_is_said() -> None:
    async with desk(*COURSE) as at:
        await at.write(("delete", 0, 0))
        reply = await at.ask("event", "undo", at=at.live.state.position)
    assert reply["steps"] == []
    assert "an id is never used again" in " ".join(reply["lasting"])


@pytest.mark.parametrize(
    ("place", "code"), [("-2h", "undo.position"), (0, "undo.position"), (999, "record.not_found")]
)
async def test_only_a_record_can_be_undone(place: int | str, code: str) -> None:
    async with desk(*COURSE) as at:
        assert await at.refused("event", "undo", at=place) == code
