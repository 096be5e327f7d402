"""The processes of several frontends: what they are told, what follows when one dies, when all are to end."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.config import Settings
from engine.ports import Fault
from frontends.cli import children
from frontends.cli.children import Children, cores, port_held

LIMIT = 10.0
CHILD = """
import json, os, pathlib, signal, sys
settings = json.loads(sys.stdin.readline())
folder = pathlib.Path(settings["directory"])
(folder / f"{settings['frontend']}.{os.getpid()}").write_text(json.dumps(settings))
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "mute" not in sys.argv:
    print("ready", flush=True)
sys.stdin.read()
"""


def program(*words: str) -> list[str]:
    return [sys.executable, "-c", CHILD, *words]


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT):
        while not holds():
            await asyncio.sleep(0.01)


def started(folder: Path, name: str) -> list[int]:
    return [int(path.suffix[1:]) for path in folder.glob(f"{name}.*")]


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def test_each_has_its_own_id_and_port_for_metrics_and_all_end_together(tmp_path: Path) -> None:
    settings = Settings(directory=str(tmp_path), nats_password="secret", metrics_port=9_000)
    made, stop = Children(2, program()), asyncio.Event()
    running = asyncio.create_task(made.run(settings, stop))
    assert "f1, f2" in made.missing()
    await until(lambda: not made.missing())
    told = {path.name[:2]: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert {name: (t["frontend"], t["metrics_port"]) for name, t in told.items()} == {
        "f1": ("f1", 9_001),
        "f2": ("f2", 9_002),
    }
    assert told["f1"]["nats_password"] == "secret"
    processes = started(tmp_path, "f?")
    assert all("secret" not in Path(f"/proc/{process}/cmdline").read_text() for process in processes)
    stop.set()
    async with asyncio.timeout(LIMIT):
        await running
    assert not any(is_there(process) for process in processes)


async def test_one_that_dies_is_not_ready_and_is_started_again(tmp_path: Path) -> None:
    made, stop = Children(2, program()), asyncio.Event()
    running = asyncio.create_task(made.run(Settings(directory=str(tmp_path)), stop))
    await until(lambda: not made.missing())
    (first,) = started(tmp_path, "f1")
    os.kill(first, signal.SIGKILL)
    await until(made.missing)
    assert made.missing().endswith(": f1")
    await until(lambda: not made.missing())
    assert len(started(tmp_path, "f1")) == 2
    assert len(started(tmp_path, "f2")) == 1
    stop.set()
    await running


async def test_one_that_does_not_go_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "STOP_SECONDS", 0.2)
    made, stop = Children(1, program("stubborn")), asyncio.Event()
    running = asyncio.create_task(made.run(Settings(directory=str(tmp_path)), stop))
    await until(lambda: not made.missing())
    (process,) = started(tmp_path, "f1")
    stop.set()
    async with asyncio.timeout(LIMIT):
        await running
    assert not is_there(process)


async def test_a_second_signal_kills_at_once(tmp_path: Path) -> None:
    made = Children(1, program("stubborn"))
    running = asyncio.create_task(made.run(Settings(directory=str(tmp_path)), asyncio.Event()))
    await until(lambda: not made.missing())
    (process,) = started(tmp_path, "f1")
    running.cancel()
    async with asyncio.timeout(LIMIT):
        await asyncio.gather(running, return_exceptions=True)
    assert not is_there(process)


async def test_who_does_not_say_that_it_is_ready_is_not(tmp_path: Path) -> None:
    made, stop = Children(1, program("mute")), asyncio.Event()
    running = asyncio.create_task(made.run(Settings(directory=str(tmp_path)), stop))
    await until(lambda: started(tmp_path, "f1"))
    assert made.missing()
    stop.set()
    await running


async def test_the_port_is_taken_for_those_who_share_it_and_for_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children, "PORT_SECONDS", 0.0)
    async with port_held(Settings(listen_port=0)) as held:
        assert (held.share_port, held.listen_port > 0) == (True, True)
        with socket.socket() as alone, pytest.raises(OSError, match="in use"):
            alone.bind(("127.0.0.1", held.listen_port))
        with socket.socket() as shared:
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            shared.bind(("127.0.0.1", held.listen_port))
            shared.listen()
            with pytest.raises(Fault, match=str(held.listen_port)):
                async with port_held(held):  # as if of another tailnet
                    pass


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1
