"""Ephemeral nodes go when they have been quiet for long; nobody goes because the bus was cut."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from engine.application.quiet import LEASE_SECONDS, Quiet
from engine.contracts import subjects
from engine.contracts.soft import SoftFact, SoftState
from engine.domain.commands import RegisterNode
from engine.domain.values import DEFAULT_TAILNET, MachineKey, Millis, NodeId, NodeKey
from engine.ports import Message
from tests.unit.application.world import Lab, order, running, user

AFTER = 1_800.0


@asynccontextmanager
async def lab() -> AsyncIterator[tuple[Lab, Quiet]]:
    """Node 1 is ephemeral, node 2 is not."""
    async with running() as made:
        await made.engine.handle(user("ann"))
        for number, ephemeral in ((1, True), (2, False)):
            command = RegisterNode(
                machine_key=MachineKey(f"mkey:{number:064x}"),
                node_key=NodeKey(f"nodekey:{number + 16:064x}"),
                user="ann",
                ephemeral=ephemeral,
            )
            await made.engine.handle(order(command, f"n{number}"))
        yield made, Quiet(made.engine, made.clock, AFTER)


def said(*, online: bool | None = None, origin: str = "f1", sequence: int = 1, by: str = "") -> Message:
    """A frontend's word: a heartbeat, or that both nodes are online or not."""
    facts = tuple(
        SoftFact(node=NodeId(number), origin=origin, generation=1, sequence=sequence, online=bool(online))
        for number in ((1, 2) if online is not None else ())
    )
    return word(msgspec.json.encode(SoftState(origin=origin, at=Millis(0), facts=facts)), by or origin)


def word(data: bytes, frontend: str = "f1") -> Message:
    return Message(subjects.soft(DEFAULT_TAILNET, frontend, "state"), data)


async def pass_time(lab: Lab, quiet: Quiet, seconds: float, heard: Message | None) -> None:
    """Let time pass in steps shorter than a lease, with a word of the frontend at each."""
    for _ in range(int(seconds / 10)):
        lab.clock.advance(10)
        if heard is not None:
            quiet.hear(heard)
        await quiet.tick()


async def test_a_quiet_ephemeral_node_is_deleted_and_no_other() -> None:
    async with lab() as (made, quiet):
        quiet.hear(said(online=True))
        await quiet.tick()
        quiet.hear(said(online=False, sequence=2))
        await pass_time(made, quiet, AFTER - 10, said())
        assert set(made.engine.tailnet.nodes) == {1, 2}
        await pass_time(made, quiet, 10, said())
        assert set(made.engine.tailnet.nodes) == {2}
        last = (await made.records())[-1].envelope
        assert (last.actor, last.cause) == ("engine", "ephemeral")


async def test_a_node_that_is_online_stays_for_ever() -> None:
    async with lab() as (made, quiet):
        quiet.hear(said(online=True))
        await pass_time(made, quiet, 3 * AFTER, said())
        assert set(made.engine.tailnet.nodes) == {1, 2}


async def test_a_node_of_a_dead_frontend_goes_while_others_live() -> None:
    async with lab() as (made, quiet):
        quiet.hear(said(online=True, origin="dead"))
        await pass_time(made, quiet, AFTER + LEASE_SECONDS + 10, said(origin="alive"))
        assert set(made.engine.tailnet.nodes) == {2}


async def test_nobody_goes_while_no_frontend_is_heard() -> None:
    async with lab() as (made, quiet):
        await pass_time(made, quiet, 3 * AFTER, None)
        assert set(made.engine.tailnet.nodes) == {1, 2}
        await pass_time(made, quiet, AFTER - 10, said())
        assert set(made.engine.tailnet.nodes) == {1, 2}, "its time ran while nobody was heard"


async def test_what_cannot_be_read_is_nobody_s_word() -> None:
    async with lab() as (made, quiet):
        await pass_time(made, quiet, 3 * AFTER, word(b'{"origin": 5}'))
        assert set(made.engine.tailnet.nodes) == {1, 2}


async def test_nobody_speaks_in_another_frontends_name() -> None:
    async with lab() as (made, quiet):
        await pass_time(made, quiet, 3 * AFTER, said(by="f2"))
        assert set(made.engine.tailnet.nodes) == {1, 2}, "a frontend was heard that said nothing"
        quiet.hear(said())
        await quiet.tick()
        quiet.hear(said(online=True, by="f2"))
        await pass_time(made, quiet, AFTER, said())
        assert set(made.engine.tailnet.nodes) == {2}
