"""A user is erased from a served tailnet: nothing that the server has written, and nothing that it answers, names it any more.

The canary goes through every way in: a user's name, display name and e-mail address, a node's host name, a new name for it, the
answers to the commands, the stream of events, kept moments, a backup and an export.
"""

import asyncio
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.adapters.bus.nats import open_bus
from engine.config import Settings
from engine.contracts import requests, subjects
from engine.domain.values import DEFAULT_TAILNET
from frontends.wire.noise import PrivateKey
from tests.e2e.test_event_stream import caught_up, typed
from tests.e2e.test_serve import Serving, serving
from tests.kit.control_client import connect, new_key
from tests.kit.traces import says, traces

pytestmark = pytest.mark.real
__all__ = ("serving",)

NAME, SHOWN, MAIL, HOST, LABEL = "canaryanna", "Canarydisplay", "canarymail", "canaryhost", "canarylabel"
WORDS = (NAME, SHOWN, MAIL, HOST, LABEL)
POLICY = '{"acls": [{"action": "accept", "src": ["bert@"], "dst": ["*:*"]}]}'
ANSWERS = (
    "user list",
    "node list",
    "events list --after 0 --receipts --limit 1000",
    "events list --receipts --limit 1000",
    "netmap show --node 2",
    "policy get",
    "events stream get",
)
MANY = 1_900
"""Commands of one event and one receipt: more records than lie between two kept moments."""


async def join(serving: Serving, key: str, hostname: str) -> None:
    """Register a node as a client does."""
    host, port = serving.listen.split(":")
    async with connect(host, int(port), PrivateKey(os.urandom(32))) as client:
        answer = await client.register(new_key(), auth_key=key, hostinfo={"Hostname": hostname})
        assert answer["MachineAuthorized"], answer


async def many(serving: Serving) -> None:
    """Send commands until a moment is kept."""
    settings = Settings(directory=str(serving.directory))
    bus = await open_bus(settings, "operator", name="many")
    subject = subjects.command(DEFAULT_TAILNET, "settings", "set-auto-updates")
    gate = asyncio.Semaphore(64)

    async def one(number: int) -> None:
        async with gate:
            body = msgspec.json.encode({"on": number % 2 == 0})
            headers = {requests.COMMAND_ID: f"many-{os.urandom(8).hex()}"}
            await bus.request(subject, body, timeout=20, headers=headers)

    try:
        await asyncio.gather(*(one(number) for number in range(MANY)))
    finally:
        await bus.close()


def fill(serving: Serving, tmp_path: Path) -> None:
    """Let the canary into everything."""
    typed(serving, f"user create {NAME} --display-name '{SHOWN} Q' --email {MAIL}@example.com")
    typed(serving, "user create bert")
    (tmp_path / "policy.hujson").write_text(POLICY)
    typed(serving, f"policy set {tmp_path / 'policy.hujson'}")
    for number, name in enumerate((HOST, "phone"), 1):
        key = typed(serving, f"preauthkey create --user {number}")["result"]["key"]
        asyncio.run(join(serving, key, name))
    typed(serving, f"node rename 1 {LABEL}")
    typed(serving, f"user set-role {NAME} owner")
    asyncio.run(many(serving))


def answers(serving: Serving, *more: str) -> dict[str, str]:
    """What the server says to whoever asks."""
    found = {}
    for line in (*ANSWERS, *more):
        done = serving.types(f"netmap {line} -o json")
        assert done.returncode == 0, (line, done.stderr)
        found[line] = done.stdout + done.stderr
    return found


def naming(said: dict[str, str]) -> list[str]:
    return [line for line, text in said.items() if any(says(text.encode(), word) for word in WORDS)]


def test_nothing_names_an_erased_user(serving: Serving, tmp_path: Path) -> None:
    serving.start("--frontends", "1")
    fill(serving, tmp_path)
    caught_up(serving)
    (event,) = typed(serving, "events list --type NodeRenamed")
    renamed = event["position"]
    then = (f"netmap show --node 2 --at {renamed}", f"user list --at {renamed}", f"node list --at {renamed}")
    backup = tmp_path / "with.zip"
    typed(serving, f"backup {backup} --with-keys")
    typed(serving, f"backup {tmp_path / 'without.zip'} --without-names")

    # A negative control: before, the names are found wherever they can be.
    before = traces(serving.directory, *WORDS)
    assert any("moments" in path for path in before), before
    assert any("jetstream" in path.lower() for path in before), before
    assert not [path for path in before if path.startswith("events.db")], "sealed as they are written"
    assert set(naming(answers(serving, *then))) >= {"user list", "node list", *then[1:]}
    netmap_before = typed(serving, then[0])

    refused = serving.types(f"netmap user erase {NAME} --yes")
    assert (refused.returncode, "user.in_use" in refused.stderr or "belong" in refused.stderr) == (5, True)
    done = typed(serving, f"user erase {NAME} --yes --cascade")
    assert not says(json.dumps(done).encode(), NAME)
    caught_up(serving)

    said = answers(serving, *then)
    assert naming(said) == []
    assert "erased:1" in said[then[1]]
    assert "erased_1" in said[then[2]]
    assert shape(typed(serving, then[0])) == shape(netmap_before)
    typed(serving, "events verify")
    assert serving.interrupt() == 0
    left = traces(serving.directory, *WORDS)
    assert left == []
    assert typed(serving, "events verify --offline")["checkpoints"] > 1
    assert traces(tmp_path, *WORDS) == ["serve.log"] * (serving.log.read_bytes().find(NAME.encode()) >= 0)

    serving.start("--frontends", "1")
    caught_up(serving)
    assert naming(answers(serving, *then)) == []
    assert typed(serving, "user erase 1 --yes")["id"] == 1
    check_backups(serving, tmp_path, backup)


def check_backups(serving: Serving, tmp_path: Path, backup: Path) -> None:
    """Without the keys nothing is restored by surprise; with them the user is back, unless it is forgotten."""
    without = f"restore {tmp_path / 'without.zip'} --dir {tmp_path / 'none'}"
    refused = serving.types(f"netmap {without}")
    assert (refused.returncode, "restore.nameless" in refused.stderr) == (5, True), refused.stderr
    assert not (tmp_path / "none" / "events.db").exists()
    with zipfile.ZipFile(backup) as archive:
        assert set(json.loads(archive.read("subjects.json"))) == {"1", "2"}
    for words, named in (("", True), ("--forget 1", False)):
        folder = tmp_path / f"restored{len(words)}"
        typed(serving, f"restore {backup} --dir {folder} {words}")
        rows = typed(serving, f"backup {folder / 'again.zip'} --dir {folder} --offline")
        assert rows["names"]
        with zipfile.ZipFile(folder / "again.zip") as archive:
            assert (json.loads(archive.read("subjects.json"))["1"] is not None) == named


def shape(netmap: Any) -> Any:
    """A netmap without names."""
    match netmap:
        case dict():
            return {key: shape(value) for key, value in netmap.items()}
        case list():
            return [shape(value) for value in netmap]
        case str() if any(word.lower() in netmap.lower() for word in (*WORDS, "erased")):
            return "a name"
        case _:
            return netmap
