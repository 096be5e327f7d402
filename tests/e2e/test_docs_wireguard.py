"""The user's page on WireGuard-only peers: every command on it works, in its order, against a server of its own.

Rule 1: a `console` block is typed as it stands: a line with `$ ` and its continuations is a command for a shell, and
        what stands below it must be among what the command says.
Rule 2: a block whose fence names a file (`ini se-got.conf`) is that file.
Rule 3: the commands of the original document are on the page word for word.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from frontends.wire.noise import PrivateKey
from tests.e2e.test_serve import Serving
from tests.kit.control_client import connect, new_key
from tests.kit.procs import environment
from tests.unit.cli import test_document

pytestmark = pytest.mark.real
PAGE = Path(__file__).parents[2] / "docs" / "wireguard-only-peers.md"
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


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    made.start()
    yield made
    if made.proc is not None:
        made.proc.close()


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


def test_every_command_of_the_page_works_in_its_order(serving: Serving, tmp_path: Path) -> None:
    furnish(serving)
    folder = tmp_path / "here"
    folder.mkdir()
    ran = 0
    for block in blocks(PAGE.read_text(encoding="utf-8")):
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for command, said in typed(block.text):
                result = shell(serving, command, folder)
                assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
                assert set(said) <= set(result.stdout.splitlines()), f"{command}\n{result.stdout}"
                ran += 1
    assert ran > 20
    assert "<svg" in (folder / "laptop.svg").read_text()
    private = re.search(r"PrivateKey = (\S+)", (folder / "se-got.conf").read_text())
    assert private is not None
    assert private[1] not in serving.types("netmap events list -o json").stdout
    assert private[1] not in serving.log.read_text()


def test_the_commands_of_the_original_document_are_on_the_page_word_for_word() -> None:
    page = PAGE.read_text(encoding="utf-8")
    connections = test_document.CONNECT.replace(
        '"10.64.0.101"', '"10.64.0.101" \\'
    )  # it lacks that backslash
    for original in (test_document.REGISTER, connections, test_document.DISCONNECT):
        assert original.strip().replace("$ headscale ", "$ netmap ") in page


def test_a_block_is_split_as_a_person_would_type_it() -> None:
    text = "$ a \\\n  b\nsaid\n$ c '{\n  1\n}'\n\n$ d\n"
    assert typed(text) == [Typed("a \\\n  b", ["said"]), Typed("c '{\n  1\n}'", []), Typed("d", [])]
