"""The engine signs what is in its log, and nothing that is not."""

import asyncio

import msgspec

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.adapters.checkpoints import MemoryCheckpoints
from engine.application.checkpoints import EVERY_RECORDS, Checkpoints
from engine.contracts import subjects
from engine.contracts.checkpoint import CheckpointReply, Verifier, read
from engine.contracts.merkle import Frontier
from engine.domain.values import TailnetName
from engine.ports import Fault, Message
from tests.kit.fakes import MemoryKeyRing
from tests.unit.application.world import Lab, running, user

T = TailnetName("t")


class BrokenFile:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.broken = True

    def add(self, note: str) -> None:
        if self.broken:
            raise Fault("full")
        self.notes.append(note)


async def root_of(lab: Lab) -> tuple[int, bytes, int, str]:
    tree = Frontier()
    records = await lab.records()
    for record in records:
        tree.add(bytes.fromhex(record.digest))
    return tree.size, tree.root(), records[-1].position, records[-1].digest


async def test_the_note_is_of_the_committed_log_and_signed() -> None:
    async with running() as lab:
        checkpoints = Checkpoints(lab.engine, MemoryKeyRing(), MemoryBus(Hub()), T, MemoryCheckpoints())
        for number in range(5):
            await lab.engine.handle(user(f"u{number}"))
        answer = await checkpoints.respond(Message("", b""))
        reply = msgspec.json.decode(answer.data, type=CheckpointReply)
        found, signed = read(reply.note, [Verifier.parse(reply.key)])
        assert signed
        assert (found.size, found.root, found.position, found.digest) == await root_of(lab)


async def test_what_is_not_committed_is_not_signed() -> None:
    async with running() as lab:
        checkpoints = Checkpoints(lab.engine, MemoryKeyRing(), MemoryBus(Hub()), T, MemoryCheckpoints())
        before = checkpoints.note()
        lab.store.gate.clear()
        task = asyncio.create_task(lab.engine.handle(user("u1")))
        await asyncio.sleep(0)
        assert checkpoints.note() == before
        lab.store.gate.set()
        await task
        assert checkpoints.note() != before


async def test_a_restart_signs_the_same_log_the_same_way() -> None:
    async with running() as lab:
        await lab.engine.handle(user("u1"))
        first = Checkpoints(lab.engine, MemoryKeyRing(), MemoryBus(Hub()), T, MemoryCheckpoints()).note()
    async with running(lab.log) as again:
        assert (
            Checkpoints(again.engine, MemoryKeyRing(), MemoryBus(Hub()), T, MemoryCheckpoints()).note()
            == first
        )


async def test_a_checkpoint_is_kept_and_told_once_for_what_has_grown() -> None:
    hub = Hub()
    file = MemoryCheckpoints()
    async with running() as lab:
        witness = await MemoryBus(hub).subscribe(subjects.log_checkpoint(T))
        checkpoints = Checkpoints(lab.engine, MemoryKeyRing(), MemoryBus(hub), T, file)
        await checkpoints.keep()
        await checkpoints.keep()
        assert len(file.notes) == 1
        assert (await anext(witness)).data.decode() == file.notes[0]
        await lab.engine.handle(user("u1"))
        await checkpoints.keep()
        assert len(file.notes) == 2


async def test_a_file_that_fails_is_tried_again() -> None:
    file = BrokenFile()
    async with running() as lab:
        checkpoints = Checkpoints(lab.engine, MemoryKeyRing(), MemoryBus(Hub()), T, file)
        await checkpoints.keep()
        file.broken = False
        await checkpoints.keep()
        assert len(file.notes) == 1


async def test_many_records_do_not_wait_and_the_end_is_signed() -> None:
    file = MemoryCheckpoints()
    async with running() as lab:
        checkpoints = Checkpoints(lab.engine, MemoryKeyRing(), MemoryBus(Hub()), T, file)
        stop = asyncio.Event()
        task = asyncio.create_task(checkpoints.run(stop))
        await asyncio.gather(*(lab.engine.handle(user(f"u{n}")) for n in range(EVERY_RECORDS // 2)))
        async with asyncio.timeout(5):
            while not file.notes:
                await asyncio.sleep(0.001)
        await lab.engine.handle(user("last"))
        stop.set()
        await task
        assert file.notes[-1] == checkpoints.note()
