"""A schedule of faults comes from its seed; the nemesis ends what it began, and leaves alone what is down already."""

import asyncio
import signal
from pathlib import Path

from tests.soak.faults import KINDS, Nemesis, Planned, schedule
from tests.soak.records import Fault, Writer, read

ROLES = ["nats1", "nats2", "postgres", "engine1", "engine2", "projection1", "f1", "f2"]
LINKS = ["projection1", "f1", "f2"]


class Recorder:
    """A subject that remembers."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def down(self, role: str) -> None:
        self.done.append(f"down {role}")

    async def up(self, role: str) -> None:
        self.done.append(f"up {role}")

    def signal(self, role: str, number: int) -> None:
        self.done.append(f"{signal.Signals(number).name} {role}")

    def wipe(self, role: str) -> None:
        self.done.append(f"wipe {role}")

    def link(self, name: str, state: str) -> None:
        self.done.append(f"{state} {name}")

    async def hop(self, share: float) -> None:
        self.done.append(f"hop {share}")


async def played(path: Path, *planned: Planned) -> tuple[list[str], list[Fault]]:
    subject, writer = Recorder(), Writer(path / "faults.jsonl")
    await Nemesis(subject, writer).run(planned)
    writer.close()
    return subject.done, list(read(path / "faults.jsonl", Fault))


def test_the_same_seed_makes_the_same_schedule_and_another_one_another() -> None:
    first = schedule(1, 900, 5, ROLES, LINKS)
    assert first == schedule(1, 900, 5, ROLES, LINKS)
    assert first != schedule(2, 900, 5, ROLES, LINKS)
    assert [fault.at for fault in first] == [5.0 * n for n in range(1, 181)]


def test_a_long_schedule_has_every_kind_and_every_process() -> None:
    found = schedule(1, 900, 5, ROLES, LINKS)
    assert {fault.kind for fault in found} == set(KINDS)
    assert {fault.target for fault in found if fault.kind in ("kill", "stop")} == set(ROLES)
    assert {fault.target for fault in found if fault.kind in ("cut", "stall")} == set(LINKS)
    assert {fault.target for fault in found if fault.kind == "wipe"} <= {"nats1", "nats2"}


def test_what_nothing_is_there_for_is_left_out() -> None:
    found = schedule(1, 900, 5, ["engine1"], [])
    assert {fault.kind for fault in found} == {"kill", "stop", "hop"}
    assert {fault.target for fault in found} == {"engine1", "clients"}


async def test_every_fault_ends_what_it_began(tmp_path: Path) -> None:
    done, told = await played(
        tmp_path,
        Planned(0, "kill", "f1", 0),
        Planned(0, "stop", "engine1", 0),
        Planned(0, "wipe", "nats1", 0),
        Planned(0, "cut", "f2", 0),
        Planned(0, "stall", "projection1", 0),
        Planned(0, "hop", "clients", 0.25),
    )
    assert sorted(done) == sorted(
        [
            *(
                "down f1",
                "up f1",
                "SIGSTOP engine1",
                "SIGCONT engine1",
                "down nats1",
                "wipe nats1",
                "up nats1",
            ),
            *("cut f2", "open f2", "stall projection1", "open projection1", "hop 0.25"),
        ]
    )
    assert {(fault.kind, fault.target) for fault in told} == {
        *(("kill", "f1"), ("stop", "engine1"), ("wipe", "nats1")),
        *(("cut", "f2"), ("stall", "projection1"), ("hop", "clients")),
    }


async def test_what_is_down_already_is_left_alone(tmp_path: Path) -> None:
    done, told = await played(tmp_path, Planned(0, "kill", "f1", 0.05), Planned(0.01, "stop", "f1", 0))
    assert done == ["down f1", "up f1"]
    assert [fault.kind for fault in told] == ["kill"]


async def test_it_says_when_the_last_fault_was_over(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "faults.jsonl")
    healed = await Nemesis(Recorder(), writer).run([Planned(0, "stop", "f1", 0), Planned(0, "cut", "f2", 0)])
    writer.close()
    assert healed >= max(fault.until for fault in read(tmp_path / "faults.jsonl", Fault))
    assert asyncio.all_tasks() == {asyncio.current_task()}
