"""Pages whose commands are typed: what a `console` block says is what happens.

Rule 1: a `console` block is typed as it stands: a line with `$ ` and its continuations is a command for a shell, and
        what stands below it must be among what the command says; `…` stands for anything, ` … ` for any gap too.
Rule 2: a block whose fence names a file (`ini se-got.conf`) is that file.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from frontends.wire.noise import PrivateKey
from tests.kit.control_client import connect, new_key
from tests.kit.procs import environment
from tests.kit.serving import Serving

_FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NODES = ("laptop", "phone")


class Block(NamedTuple):
    """A fenced block: its language, the file that it is, its text."""

    language: str
    file: str
    text: str


class Typed(NamedTuple):
    """A command, and the lines that stand below it."""

    command: str
    said: list[str]


def blocks(page: str) -> list[Block]:
    return [Block(*(part or "" for part in found)) for found in _FENCE.findall(page)]


def typed(text: str) -> list[Typed]:
    """Split a console block: a command goes on while a line ends in a backslash, or a quote is open."""
    found: list[Typed] = []
    open_command = False
    for line in text.splitlines():
        if not open_command and line.startswith("$ "):
            found.append(Typed(line[2:], []))
        elif open_command:
            found[-1] = Typed(f"{found[-1].command}\n{line}", [])
        elif line.strip():
            found[-1].said.append(line)
            continue
        last = found[-1].command
        open_command = last.endswith("\\") or last.count("'") % 2 == 1
    return found


def missing(said: Sequence[str], output: str) -> list[str]:
    """Return the lines that are not among the output's (rule 1); how wide a gap is does not matter."""
    lines = [_narrow(line) for line in output.splitlines()]
    return [line for line in said if not any(map(_pattern(line).fullmatch, lines))]


def _pattern(line: str) -> re.Pattern[str]:
    gap = re.escape(" ")
    told = re.escape(_narrow(line)).replace(f"{gap}…{gap}", f"{gap}(?:.*{gap})?")
    return re.compile(told.replace("…", ".*"))


def _narrow(line: str) -> str:
    """Make every gap one space."""
    return " ".join(line.split())


def typed_page(page: str, serving: Serving, folder: Path) -> int:
    """Type everything on a page, in its order; return how many commands there were."""
    ran = 0
    problems: list[str] = []
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for command, said in typed(block.text):
                result = shell(serving, command, folder)
                lacking = missing(said, result.stdout)
                if result.returncode or lacking:
                    problems.append(
                        f"$ {command}\n{result.stdout}{result.stderr}exit {result.returncode}, not said: {lacking}"
                    )
                ran += 1
    assert not problems, "\n".join(problems)
    return ran


def shell(serving: Serving, command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = environment({"NETMAP_DIR": str(serving.directory), "PATH": path})
    argv = ["bash", "-c", command]
    return subprocess.run(argv, env=env, cwd=folder, capture_output=True, text=True, timeout=30, check=False)


async def join(listen: str, key: str, name: str) -> None:
    """Register a node as a client does."""
    host, _, port = listen.rpartition(":")
    async with connect(host, int(port), PrivateKey(os.urandom(32))) as client:
        answer = await client.register(new_key(), auth_key=key, hostinfo={"Hostname": name})
        assert answer["MachineAuthorized"]


def furnish(serving: Serving) -> None:
    """Make the user and the nodes that the page speaks of."""
    assert serving.types("netmap user create alice").returncode == 0
    made = serving.types("netmap preauthkey create --user alice --reusable").stdout
    found = re.search(r"nmkey-\S+", made)
    assert found is not None, made
    for name in _NODES:
        asyncio.run(join(serving.listen, found[0], name))
