"""The composition of the roles, as far as it needs no server."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from engine.config import Settings
from engine.ports import Fault
from frontends.cli import greeting, process, serve
from frontends.cli.failure import Failure


def test_one_serve_at_a_time_has_a_directory(tmp_path: Path) -> None:
    serve._lock(tmp_path)
    with pytest.raises(Failure) as failed:
        serve._lock(tmp_path)
    assert failed.value.exit_code == 1
    assert str(tmp_path) in failed.value.trouble.message


async def test_a_role_that_ends_unasked_is_a_fault_and_stops_the_others() -> None:
    stop = asyncio.Event()
    with pytest.raises(Fault, match="the engine ended unasked"):
        await process.until(stop, "engine", asyncio.sleep(0))
    assert stop.is_set()


async def test_a_role_that_ends_when_told_to_is_no_fault() -> None:
    stop = asyncio.Event()
    stop.set()
    await process.until(stop, "engine", asyncio.sleep(0))


async def test_the_first_signal_stops_and_the_second_cancels() -> None:
    async def wait() -> None:
        with process.stopping() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            await stop.wait()
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.create_task(wait()), 5)


def test_faults_become_one_sentence_each() -> None:
    async def fail() -> None:
        async with asyncio.TaskGroup() as group:
            for text in ("no disk", "no disk", "no bus"):
                group.create_task(_raise(text))

    async def _raise(text: str) -> None:
        raise Fault(text)

    with pytest.raises(Failure) as failed:
        process.run("info", fail())
    assert failed.value.trouble.message == "no disk; no bus"


def test_the_lines_to_type_next_can_be_typed() -> None:
    said = greeting.said(Settings(directory="/srv/netmap", server_url="https://example.net/"))
    assert "export NETMAP_DIR=/srv/netmap" in said
    assert "tailscale up --login-server https://example.net --auth-key" in said


@pytest.mark.parametrize("name", serve.ROLES)
def test_every_role_has_something_that_runs_it(name: str) -> None:
    assert callable(serve.role_of(name))


def test_the_greeting_says_how_a_shell_finds_the_program_only_if_it_does_not() -> None:
    settings = Settings(directory="/srv/netmap")
    assert "export PATH=/opt/netmap/bin:$PATH" in greeting.said(settings, "/opt/netmap/bin").replace("  ", "")
    assert "PATH" not in greeting.said(settings)
